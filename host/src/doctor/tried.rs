//! What inferhost's own plugins have been run on before they were given away, so that nobody takes a path that compiles
//! for one that was seen to work. Changed where `configs/results` gains a machine.

/// By plugin.
const TRIED: [(&str, &str); 4] = [
    ("candle", "on Linux x86-64 CPUs"),
    (
        "ort",
        "on Linux x86-64 CPUs; CUDA and TensorRT providers: what they say where they cannot run, never on a GPU",
    ),
    ("torch", "on Linux x86-64 CPUs; CUDA: what it says where it cannot run, never on a GPU"),
    (
        "tensorrt",
        "real libraries 11.1 to 11.4 (lean) up to the missing driver; builds, engines and sessions against stand-ins alone, \
         never with NVIDIA's builder or on a GPU",
    ),
];

/// What the plugin of that name has been run on; none for others' plugins.
pub(super) fn tried(plugin: &str) -> Option<&'static str> {
    TRIED.iter().find(|(name, _)| *name == plugin).map(|(_, tried)| *tried)
}

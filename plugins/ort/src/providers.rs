//! Which of the runtime's execution providers a session gets, and whether the graph's nodes really went to them.

use crate::options::{Device, Options, Provider};
use crate::placement::Placement;
use inferhost_plugin_api::Error;
use ort::ep::{self, ExecutionProviderDispatch};

const CUDA: &str = "CUDAExecutionProvider";
const TENSORRT: &str = "TensorrtExecutionProvider";
const CPU: &str = "CPUExecutionProvider";

/// What a session is to be given, the preferred one first. One that cannot be had is an error, never left out.
pub(crate) fn wanted(options: &Options) -> Vec<ExecutionProviderDispatch> {
    let cpu = ep::CPU::default().with_arena_allocator(options.arena).build();
    let Device::Cuda(number) = options.device else { return vec![cpu] };
    let number = i32::from(number);
    let mut cuda = ep::CUDA::default().with_device_id(number).with_tf32(options.tf32);
    if let Some(limit) = options.arena_limit_mb {
        cuda = cuda.with_memory_limit(limit.bytes());
    }
    if options.cuda_graph {
        cuda = cuda.with_cuda_graph(true);
    }
    let tensorrt = (options.provider() == Provider::Tensorrt)
        .then(|| ep::TensorRT::default().with_device_id(number).build().error_on_failure());
    tensorrt.into_iter().chain([cuda.build().error_on_failure(), cpu]).collect()
}

/// The name of the first of them.
pub(crate) fn first(options: &Options) -> &'static str {
    match (options.device, options.provider()) {
        (Device::Cpu, _) => CPU,
        (Device::Cuda(_), Provider::Cuda) => CUDA,
        (Device::Cuda(_), Provider::Tensorrt) => TENSORRT,
    }
}

/// Refuses a session of which a part fell back to the CPU, unless that was allowed; `artifact` is the precision that
/// the graph's writer gave it.
///
/// # Errors
/// [`Unsupported`](inferhost_plugin_api::ErrorKind::Unsupported) with the operators that fell back, and what to open
/// instead.
pub(crate) fn check(placement: &Placement, options: &Options, artifact: Option<&str>) -> Result<(), Error> {
    if options.device == Device::Cpu || options.cpu_fallback {
        return Ok(());
    }
    let device = options.device;
    if !placement.is_known() {
        return Err(Error::unsupported(format!(
            "this ONNX Runtime does not say what it runs on {device}; take a released version, or set cpu_fallback = true"
        )));
    }
    let on_device = placement.nodes_of(CUDA) + placement.nodes_of(TENSORRT);
    if on_device == 0 {
        let count = placement.nodes_of(CPU);
        return Err(Error::unsupported(format!(
            "ONNX Runtime left all {count} nodes to the CPU and none to {device}; open it with device = cpu, or set \
             cpu_fallback = true to allow it"
        )));
    }
    let fallen = placement.fallen_back();
    if fallen.is_empty() {
        return Ok(());
    }
    let count = fallen.count();
    let operators = if count == 1 { "operator" } else { "operators" };
    let remedy = instead(&fallen, artifact).map(|instead| format!("{instead}, or ")).unwrap_or_default();
    Err(Error::unsupported(format!(
        "ONNX Runtime left {count} {operators} to the CPU that {device} has no kernels for: {fallen}; {remedy}set cpu_fallback \
         = true to allow it"
    )))
}

/// The error for a session that the runtime will not capture.
pub(crate) fn cannot_capture(placement: &Placement) -> Error {
    let copies = placement.copies();
    Error::unsupported(format!(
        "cuda_graph needs a graph that runs on the GPU as a whole, but this one has copies between host and device in it ({copies}) or control flow; set cuda_graph = false"
    ))
}

/// Which artifact has kernels for everything. CUDA has `GroupQueryAttention` in 16 bits alone, and no products of
/// activations that are quantised as they come (ONNX Runtime 1.29 to 1.31).
fn instead(fallen: &crate::placement::Operators, artifact: Option<&str>) -> Option<String> {
    let dynamic = ["DynamicQuantizeMatMul", "DynamicQuantizeLinear", "MatMulInteger"];
    if dynamic.iter().any(|operator| fallen.has(operator)) {
        return Some("take artifact onnx-int8-weight?dialect=portable, whose activations stay floats".into());
    }
    if !fallen.has("GroupQueryAttention") {
        return None;
    }
    Some(match artifact {
        Some(precision) => format!(
            "it has GroupQueryAttention in 16 bits alone, so take artifact onnx-{precision}?dialect=portable or onnx-fp16"
        ),
        None => "it has GroupQueryAttention in 16 bits alone, so take a graph of float16".into(),
    })
}

/// What the session's details say of its nodes.
pub(crate) fn details(placement: &Placement) -> Vec<(String, String)> {
    let (fallen, purpose, copies) = (placement.fallen_back(), placement.on_purpose(), placement.copies());
    let copied = (copies.to_host + copies.from_host > 0).then(|| copies.to_string());
    let told = [
        ("providers", placement.is_known().then(|| placement.to_string())),
        ("cpu_operators", (!fallen.is_empty()).then(|| fallen.to_string())),
        ("cpu_shape_operators", (!purpose.is_empty()).then(|| purpose.to_string())),
        ("device_copies", copied),
    ];
    told.into_iter().filter_map(|(key, value)| Some((key.to_string(), value?))).collect()
}

//! ONNX Runtime asked for a GPU where something of it is missing: one line with the library's name and what to install.
//! What needs the package for GPUs (0.3 GB) is tested where it was fetched, and said to be skipped elsewhere.

mod standin;

use crate::support::{Ended, Host, TINY, has_onnx_runtime, skipped};
use std::path::{Path, PathBuf};

fn generate(host: &Host, options: &[&str]) -> Ended {
    let mut args = vec!["generate", "--plugin", "ort", "--model", TINY, "--tokens", "tokens.json"];
    args.extend(options.iter().flat_map(|option| ["--option", option]));
    host.write("tokens.json", "[[1, 2]]");
    host.run(&args)
}

/// The libraries of onnxruntime-gpu, the newest version that is there.
fn of_gpu() -> Option<PathBuf> {
    let runtimes = std::env::var_os("INFERHOST_RUNTIMES").map(PathBuf::from);
    let runtimes = runtimes.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.runtimes"));
    let versions = std::fs::read_dir(runtimes.join("onnxruntime-gpu")).into_iter().flatten().flatten();
    let newest = versions.map(|version| version.path()).max();
    if newest.is_none() {
        skipped("ONNX Runtime for GPUs without a GPU: onnxruntime-gpu is not in .runtimes");
    }
    newest
}

fn library_in(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder).unwrap().flatten().map(|file| file.path());
    let is_library =
        |file: &PathBuf| file.file_name().unwrap().to_string_lossy().starts_with("libonnxruntime.so");
    files.filter(is_library).max().expect("a folder of ONNX Runtime holds its library")
}

#[test]
fn a_library_for_the_cpu_alone_says_which_one_is_needed() {
    if !has_onnx_runtime() {
        return;
    }
    let host = Host::new();
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.runtimes/onnxruntime/1.31.1");
    let library = format!("library={}", library.display());
    for (provider, named) in [("cuda", "CUDA"), ("tensorrt", "TensorRT")] {
        let provider = format!("provider={provider}");
        let part = format!("has no {named} in it");
        generate(&host, &["device=cuda", &library, &provider])
            .fails(3, &["runtime_missing", "cannot use cuda:0", &part, "onnxruntime-gpu"]);
    }
}

#[test]
fn options_of_a_gpu_on_the_cpu_are_refused() {
    let host = Host::new();
    for option in ["provider=tensorrt", "arena_limit_mb=64", "cuda_graph=true"] {
        let key = option.split('=').next().unwrap();
        generate(&host, &[option]).fails(2, &[key, "but device is cpu"]);
    }
}

#[test]
fn a_library_without_its_providers_beside_it_names_them() {
    let Some(folder) = of_gpu() else { return };
    let host = Host::new();
    let library = library_in(&folder);
    // A copy: through a link, the runtime would find what lies beside the file itself.
    let alone = host.path("libonnxruntime.so");
    std::fs::copy(library, &alone).unwrap();
    let option = format!("library={}", alone.display());
    generate(&host, &["device=cuda", &option])
        .fails(3, &["runtime_missing", "libonnxruntime_providers_shared.so is missing", "onnxruntime-gpu"]);
}

#[test]
fn cuda_libraries_that_are_missing_are_named() {
    let Some(folder) = of_gpu() else { return };
    let host = Host::new();
    let option = format!("library={}", folder.display());
    let ended = generate(&host, &["device=cuda", &option]);
    if ended.code == Some(0) {
        return skipped("what a machine without CUDA says: this one has it");
    }
    ended.fails(3, &["runtime_missing", "cannot use cuda:0 by CUDA: "]);
    let last = ended.stderr.lines().last().unwrap();
    assert!(
        ["install", "update the driver", "no NVIDIA GPU"].iter().any(|part| last.contains(part)),
        "{last}"
    );
}

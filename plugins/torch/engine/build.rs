//! Compiles the C++ shim against libtorch's headers, which lie where `LIBTORCH` says.

use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=shim");
    let libtorch = PathBuf::from(std::env::var_os("LIBTORCH").unwrap_or_default());
    let include = libtorch.join("include");
    assert!(
        include.join("torch/headeronly/version.h").is_file(),
        "no headers of libtorch in {}; run scripts/runtimes.sh torch, or set LIBTORCH",
        include.display()
    );
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .files(["shim/mode.cpp", "shim/linear.cpp"])
        .warnings(false)
        .compile("inferhost_torch_shim");
}

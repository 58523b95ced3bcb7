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
        .files(["shim/mode.cpp", "shim/linear.cpp", "shim/program.cpp"])
        .warnings(false)
        .compile("inferhost_torch_shim");
    stand_in();
}

/// The library that stands in for `libtorch.so` (see `src/program/libtorch.rs`): a file that the engine embeds.
fn stand_in() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("libtorch.so");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    let mut compiler = cc::Build::new().warnings(false).debug(false).get_compiler().to_command();
    compiler
        .args(["-shared", "-fPIC", "-nostdlib", "-s", "-Wl,-soname,libtorch.so", "shim/libtorch.c", "-o"])
        .arg(&out);
    let status = compiler.status();
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{compiler:?}: {status:?}");
}

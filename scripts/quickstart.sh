#!/usr/bin/env bash
# Builds inferhost, gets ONNX Runtime, runs configs/quickstart.toml on two runtimes and prints where the report is.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v cargo >/dev/null || { echo "quickstart: cargo not found; install Rust 1.95 or newer (rustup.rs)" >&2; exit 1; }
command -v cc >/dev/null || { echo "quickstart: no C compiler (cc); install one: apt-get install gcc" >&2; exit 1; }

# All but the torch plugin's engine, which is compiled against half a gigabyte of libtorch.
cargo build --release --locked
scripts/runtimes.sh ort
target="${CARGO_TARGET_DIR:-target}"
"$target/release/inferhost" run configs/quickstart.toml "$@"

#!/usr/bin/env bash
# What the host costs: the latency its worker reports for a prefill on ONNX Runtime, against the least a program can
# do with the same graph and library (plugins/ort/examples/minimal_loop.rs), in turns so that both meet the same
# machine. Prints the ratio for tiny-gpt2 and GPT-2 124M.
#
#   scripts/bench/overhead.sh [--rounds 15] [--threads 1] [--model NAME ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

library_folder=$(scripts/runtimes.sh ort)
cargo build --quiet --release --locked --workspace
cargo build --quiet --release --locked -p inferhost-plugin-ort --example minimal_loop
python3 scripts/bench/overhead.py "${CARGO_TARGET_DIR:-target}/release" "$library_folder" "$@"

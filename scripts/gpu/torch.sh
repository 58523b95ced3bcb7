#!/usr/bin/env bash
# The torch plugin on a GPU: the conformance suite, then decode beside transformers on the same weights, with the share of
# the memory floor. Needs no network and no Rust: the binaries are built elsewhere and carried there.
#
#   scripts/gpu/torch.sh [--binaries target/release] [--model gpt2-124m] [--out FOLDER] [--device cuda:0]
#
# BINARIES holds inferhost, libinferhost_plugin_torch.so, libinferhost_torch_engine.so and libinferhost_plugin_candle.so.
# PYTHON (default: python3) has torch 2.11.0 with CUDA, transformers and numpy; its torch is also the libtorch that the
# plugin runs on. With --device cpu it shows, where there is no GPU, that the script itself works.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

die() {
  echo "torch.sh: $*" >&2
  exit 1
}

binaries=target/release model=gpt2-124m out="" device=cuda:0
while [[ $# -gt 0 ]]; do
  case $1 in
    --binaries) binaries=$2 ;;
    --model) model=$2 ;;
    --out) out=$2 ;;
    --device) device=$2 ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0" && exit ;;
    *) die "unknown option $1; see --help" ;;
  esac
  shift 2 || die "an option lacks its value; see --help"
done
python=${PYTHON:-python3}
[[ -x $binaries/inferhost ]] || die "no inferhost in $binaries; build it (cargo build --release --workspace) and carry it here"
library=$("$python" -c 'import os, torch; print(os.path.dirname(torch.__file__))') || die "$python has no torch; set PYTHON"
out=${out:-runs/gpu-torch-$(date +%Y%m%d-%H%M%S)}
mkdir -p "$out"

for dtype in f64 f32 bf16 f16; do
  case $dtype in f64) tolerance=1e-9 ;; f32) tolerance=2e-5 ;; *) tolerance=0.3 ;; esac
  options=(--option "device=$device" --option "dtype=$dtype" --option "library=$library")
  "$binaries/inferhost" conformance --plugin torch --golden tests/golden "${options[@]}" --tolerance "$tolerance" \
    >"$out/conformance-$dtype.txt" || echo "conformance in $dtype FAILED: $out/conformance-$dtype.txt"
  echo "$device $dtype: $(tail -1 "$out/conformance-$dtype.txt")"
done
exec "$python" scripts/gpu/torch_decode.py --binaries "$binaries" --model "$model" --out "$out" --device "$device" --library "$library"

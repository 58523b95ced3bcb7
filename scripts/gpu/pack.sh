#!/usr/bin/env bash
# Packs what a machine with a GPU needs, in pieces that can be carried there one by one: release binaries, configs, golden
# models, the scripts; ONNX Runtime for CUDA; a trained model for the accuracy gate. There, run.sh does the rest.
#
#   scripts/gpu/pack.sh [--to FOLDER] [--binaries FOLDER] [--onnxruntime ort-gpu|ort|none]
#                       [--model FOLDER --text FILE] [--piece-mib N]
#
#   --to FOLDER        where the bundle goes [.gpu-bundle]; run again, only what has changed is written anew
#   --binaries FOLDER  takes these in place of building [target/release, built first]
#   --onnxruntime R    which of scripts/runtimes.sh' runtimes [ort-gpu]; ort is that for the CPU
#   --model, --text    a trained model's folder and a text for it, for the accuracy gate [none]
#   --piece-mib N      most MiB of a piece, 1 to 60 [48: with this repository's files a piece comes to less than 64 MiB]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

die() {
  echo "pack.sh: $*" >&2
  exit 2
}

to=.gpu-bundle binaries="" onnxruntime=ort-gpu model="" text="" mib=48
while [[ $# -gt 0 ]]; do
  case $1 in
    -h | --help) sed -n '2,13s/^# \{0,1\}//p' "$0" && exit ;;
    --to | --binaries | --onnxruntime | --model | --text | --piece-mib) [[ $# -gt 1 ]] || die "$1 lacks its value; see --help" ;;
    *) die "unknown option $1; see --help" ;;
  esac
  case $1 in
    --to) to=$2 ;;
    --binaries) binaries=$2 ;;
    --onnxruntime) onnxruntime=$2 ;;
    --model) model=$2 ;;
    --text) text=$2 ;;
    --piece-mib) mib=$2 ;;
  esac
  shift 2
done
[[ $mib =~ ^[1-9][0-9]{0,6}$ && $mib -ge 1 && $mib -le 60 ]] || die "--piece-mib $mib: expected 1 to 60"
[[ $onnxruntime =~ ^(ort-gpu|ort|none)$ ]] || die "--onnxruntime $onnxruntime: expected ort-gpu, ort or none"
[[ -z $model || -f $model/config.json ]] || die "--model $model: no config.json there"
[[ ${model:+x} == "${text:+x}" ]] || die "--model and --text go together"
[[ -z $text || -f $text ]] || die "--text $text: no such file"
for tool in strip python3; do command -v "$tool" >/dev/null || die "no '$tool' found; install it (Debian: apt install binutils python3)"; done

if [[ -z $binaries ]]; then
  export LIBTORCH="${LIBTORCH:-$(scripts/runtimes.sh torch)/torch}"
  cargo build --release --workspace --locked
  binaries=${CARGO_TARGET_DIR:-target}/release
fi
[[ -x $binaries/inferhost ]] || die "no inferhost in $binaries; leave out --binaries to build it"

mkdir -p "$to"
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

programs() {
  local file bin=$stage/programs/bin
  mkdir -p "$bin" "$stage/programs/tests"
  cp "$binaries/inferhost" "$bin/"
  for file in "$binaries"/libinferhost_plugin_*.so "$binaries"/libinferhost_torch_engine.so; do
    case $file in
      */libinferhost_plugin_api.so | */libinferhost_plugin_faulty.so) continue ;;
    esac
    [[ -f $file ]] || die "no ${file##*/} in $binaries; build the workspace (cargo build --release --workspace)"
    cp "$file" "$bin/"
  done
  strip --strip-unneeded "$bin"/*
  mkdir -p "$stage/programs/scripts/gpu" "$stage/programs/configs"
  cp scripts/gpu/*.sh scripts/gpu/*.py scripts/gpu/*.toml "$stage/programs/scripts/gpu/"
  cp configs/*.toml configs/*.json "$stage/programs/configs/"
  cp -r tests/golden "$stage/programs/tests/golden"
  echo "programs: $(cd "$bin" && echo *)"
}

cut_archive() { # name folder
  python3 scripts/gpu/bundle.py cut "$1" "$2" --to "$to" --piece-mib "$mib"
}

programs
cut_archive programs "$stage/programs"
if [[ $onnxruntime != none ]]; then
  # …/<package>/<version>
  library=$(scripts/runtimes.sh "$onnxruntime")
  package=$(basename "$(dirname "$library")")
  mkdir -p "$stage/$package"
  cp -r "$library" "$stage/$package/"
  cut_archive "$package" "$stage/$package"
fi
if [[ -n $model ]]; then
  mkdir -p "$stage/model/trained"
  cp "$model"/*.json "$model"/*.safetensors "$stage/model/trained/"
  find "$model" -maxdepth 1 -name '*.txt' -exec cp {} "$stage/model/trained/" \;
  cp "$text" "$stage/model/corpus.txt"
  cut_archive model "$stage/model"
fi
cp scripts/gpu/run.sh scripts/gpu/bundle.py "$to/"
# Beside the archives, so that a commit that changes no program changes no piece.
git describe --always --dirty --abbrev=40 >"$to/COMMIT" 2>/dev/null || echo unknown >"$to/COMMIT"
echo "bundle: $to ($(du -sh "$to" | cut -f1)); carry it whole or piece by piece, then there: bash run.sh"

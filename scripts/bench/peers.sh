#!/usr/bin/env bash
# How fast inferhost's ONNX Runtime and PyTorch backends are beside what a user would run instead: transformers, as it
# is and compiled, an optimum export on onnxruntime, llama.cpp. All run the same random GPT-2 124M on the same CPUs with
# the same number of threads, in turns, after each was shown to compute the same; prints ratios with their spread, the
# share of the memory floor, and whether the targets are met.
#
#   scripts/bench/peers.sh [--threads 2] [--rounds 5] [--quick] [--xl] [--json FILE] [--part ratios|steps|prepare ...]
#   scripts/bench/peers.sh --only torch     # the ratios of one plugin's backends, with the peers that these need
#   scripts/bench/peers.sh --install-only
#
# torch.compile needs the headers of PEERS_PYTHON (Debian: apt install python3-dev) and a C++ compiler; where it does
# not work, that is said, and the ratios that need it are not measured. Its first run compiles for minutes.
#
# The peers are installed once, into .runtimes/peers/venv (5 GB; compiles llama.cpp, which takes minutes); weights in
# their formats take 3 GB in .runtimes/peers. Environment:
#   PEERS_FOLDER         another folder than .runtimes/peers
#   PEERS_PYTHON         a Python that has torch, transformers, optimum-onnx, onnxruntime and onnx; installs nothing
#   PEERS_LLAMA_PYTHON   a Python that has llama-cpp-python and gguf; default: PEERS_PYTHON
#   PEERS_BINARIES       a folder with the inferhost binary and its plugins; builds nothing
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

die() {
  echo "peers.sh: $*" >&2
  exit 1
}

need_tools() {
  command -v python3 >/dev/null || die "python3 is missing; install it (Debian: apt install python3 python3-venv)"
  python3 -m venv --help >/dev/null 2>&1 && python3 -c "import ensurepip" 2>/dev/null ||
    die "python3 cannot make environments with pip; install both (Debian: apt install python3-venv python3-pip)"
  command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null ||
    die "no C++ compiler, which llama.cpp needs; install one (Debian: apt install g++)"
}

failed_install() { # log
  die "pip could not install the peers: $(grep -i 'error' "$1" | tail -1 || true) (all of it in $1)"
}

# Makes the environment unless its stamp says that these very versions are in it.
install() { # environment
  local requirements=scripts/bench/peering/requirements.txt stamp="$1/installed.txt" log="$1.log"
  cmp --quiet "$requirements" "$stamp" && return
  need_tools
  echo "peers.sh: installing the peers into $1; minutes; log in $log" >&2
  mkdir -p "$(dirname "$1")"
  python3 -m venv --clear "$1"
  # The CPU build of torch is a tenth the size; where its index cannot be reached, PyPI's CUDA build does the same.
  { "$1/bin/pip" install --retries 1 --timeout 30 --index-url https://download.pytorch.org/whl/cpu \
    "$(grep '^torch==' "$requirements")" || true; } >"$log" 2>&1
  # Compiled here, for this CPU; a wheel that pip kept of another build would lack the header's correction.
  CMAKE_ARGS="${CMAKE_ARGS:-} -DCMAKE_CXX_FLAGS=-include$PWD/scripts/bench/peering/llama_tile_config.h" \
    "$1/bin/pip" install --no-cache-dir --no-binary llama-cpp-python "$(grep '^llama-cpp-python' "$requirements")" \
    >>"$log" 2>&1 || failed_install "$log"
  "$1/bin/pip" install --requirement "$requirements" >>"$log" 2>&1 || failed_install "$log"
  cp "$requirements" "$stamp"
}

# The binaries, built where they are missing.
binaries() {
  local folder="${CARGO_TARGET_DIR:-target}/release"
  if [[ -z ${PEERS_BINARIES:-} ]]; then
    cargo build --quiet --release --locked --workspace >&2 || die "cargo could not build inferhost"
  fi
  (cd "${PEERS_BINARIES:-$folder}" && pwd)
}

if [[ ${1:-} == -h || ${1:-} == --help ]]; then sed -n '2,20s/^# \{0,1\}//p' scripts/bench/peers.sh; exit; fi

folder=$(mkdir -p "${PEERS_FOLDER:-.runtimes/peers}" && cd "${PEERS_FOLDER:-.runtimes/peers}" && pwd)
if [[ -z ${PEERS_PYTHON:-} ]]; then
  install "$folder/venv"
  PEERS_PYTHON=$folder/venv/bin/python
fi
if [[ ${1:-} == --install-only ]]; then exit; fi
ort_folder=$(scripts/runtimes.sh ort)
# The engine of the torch plugin is compiled against it.
torch_folder=$(scripts/runtimes.sh torch)
binary_folder=$(binaries)
exec python3 scripts/bench/peers.py --folder "$folder" --binaries "$binary_folder" --ort "$ort_folder" \
  --torch "$torch_folder" --python "$PEERS_PYTHON" --llama-python "${PEERS_LLAMA_PYTHON:-$PEERS_PYTHON}" "$@"

#!/usr/bin/env bash
# Everything on a machine with a GPU, from the bundle that pack.sh wrote: unpacks what has arrived, then doctor, memory
# bandwidth, conformance of every backend in every precision, greedy tokens against 64 bits, the accuracy gate, a matrix; prints
# a short table last. Needs Python 3.12 with torch 2.11 (libtorch, and CUDA's libraries beside it), no network and no Rust.
#
#   run.sh [--bundle FOLDER] [--work FOLDER] [--out FOLDER] [--config NAME|FILE] [--device cuda:0|cpu]
#          [--limit SECONDS] [--export FILE] [--incomplete] [--peers]
#
#   --bundle FOLDER   manifest.json and pieces [this script's folder]; call again as pieces arrive
#   --work FOLDER     where all is unpacked, with the cache of models and graphs [inferhost-gpu]
#   --out FOLDER      results [WORK/results]
#   --config NAME     a matrix of configs/, or a file [study-gpu; on the CPU scripts/gpu/cpu.toml]
#   --limit SECONDS   for this call; the next one goes on where it ended [540]
#   --export FILE     packs the results into one file, .tar.xz
#   --incomplete      runs the matrix though pieces are missing
#   --peers           decode beside transformers on the same weights, too (needs transformers)
#
# PYTHON names another python3. LIBTORCH, ORT_DYLIB_PATH, INFERHOST_RUNTIMES (TensorRT's builder and parser are sought there
# too) and LD_LIBRARY_PATH are kept where they are set. Exit codes: 0 all is well, 1 a step failed, 2 bad arguments, 3 pieces
# are missing, 75 the time limit ended it.
set -euo pipefail

die() {
  echo "run.sh: $*" >&2
  exit 2
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
typed=$( (($# == 0)) || printf ' %q' "$@")
bundle=$here work=inferhost-gpu out="" config="" device=cuda:0 limit=540 incomplete=no more=()
while [[ $# -gt 0 ]]; do
  case $1 in
    -h | --help) sed -n '2,22s/^# \{0,1\}//p' "$0" && exit ;;
    --incomplete) incomplete=yes && shift && continue ;;
    --peers) more+=("$1") && shift && continue ;;
    --bundle | --work | --out | --config | --device | --limit | --export) [[ $# -gt 1 ]] || die "$1 lacks its value; see --help" ;;
    *) die "unknown option $1; see --help" ;;
  esac
  case $1 in
    --bundle) bundle=$2 ;;
    --work) work=$2 ;;
    --out) out=$2 ;;
    --config) config=$2 ;;
    --device) device=$2 ;;
    --limit) limit=$2 ;;
    --export) more+=("$1" "$2") ;;
  esac
  shift 2
done
[[ $device =~ ^(cpu|cuda(:[0-9]+)?)$ ]] || die "--device $device: expected cpu, cuda or cuda:N"
[[ $limit =~ ^(0|[1-9][0-9]{0,6})$ ]] || die "--limit $limit: expected a number of seconds"
command -v "$python" >/dev/null || die "there is no $python; set PYTHON"
[[ -f $bundle/manifest.json ]] || die "$bundle holds no manifest.json; name the folder that pack.sh wrote with --bundle"

mkdir -p "$work"
work=$(cd "$work" && pwd)
out=${out:-$work/results}
mkdir -p "$out"
code=0
"$python" "$here/bundle.py" unpack --from "$bundle" --to "$work" || code=$?
[[ $code == 0 || $code == 3 ]] || exit "$code"
[[ $code != 3 || $incomplete == yes ]] || more+=(--waiting)
programs=$work/programs
[[ -d $programs ]] || { echo "run.sh: nothing can be run before the pieces of programs are here" >&2 && exit 3; }

if [[ -z $config && $device == cpu ]]; then config=$programs/scripts/gpu/cpu.toml; fi
config=${config:-study-gpu}
[[ $config == *.toml ]] || config=$programs/configs/$config.toml
[[ -f $config ]] || die "there is no config $config; there are: $(cd "$programs/configs" && echo *.toml)"
[[ ! -f $out/programs ]] || cmp -s "$out/programs" "$programs/.unpacked" ||
  die "$out holds results of other programs; name another folder with --out"
cp "$programs/.unpacked" "$out/programs"
[[ ! -f $bundle/COMMIT ]] || cp "$bundle/COMMIT" "$out/COMMIT"
# What was typed, in quotes that a shell reads, for whoever reads the results.
echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) run.sh$typed" >>"$out/command.txt"

# The first folder of a pattern; nothing where there is none.
first() {
  local folder
  for folder in "$@"; do [[ ! -d $folder ]] || { echo "$folder" && return; }; done
}

# torch is found without being loaded: its libraries, and CUDA's in the folders beside it.
torch=$("$python" -c 'import importlib.util as u; s = u.find_spec("torch"); print(s.submodule_search_locations[0] if s else "")')
libraries=()
if [[ -n $torch ]]; then
  for folder in "$torch"/lib "$torch"/../nvidia/*/lib; do [[ ! -d $folder ]] || libraries+=("$(cd "$folder" && pwd)"); done
else
  echo "run.sh: note: $python has no torch; the torch backends are left out, and CUDA's libraries must be found by the system"
fi
export LIBTORCH=${LIBTORCH:-$torch}
[[ -n $LIBTORCH ]] || unset LIBTORCH
onnxruntime=$(first "$work"/onnxruntime-gpu/*/ "$work"/onnxruntime/*/)
export ORT_DYLIB_PATH=${ORT_DYLIB_PATH:-$onnxruntime}
[[ -n $ORT_DYLIB_PATH ]] || unset ORT_DYLIB_PATH
joined=$(IFS=: && echo "${libraries[*]-}")
export LD_LIBRARY_PATH=$joined${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export INFERHOST_RUNTIMES=${INFERHOST_RUNTIMES:-$work}
export INFERHOST_PLUGIN_DIR=$programs/bin INFERHOST_CACHE_DIR=$work/cache

code=0
"$python" "$programs/scripts/gpu/steps.py" --work "$work" --out "$out" --config "$config" --device "$device" \
  --limit $((limit > SECONDS ? limit - SECONDS : 0)) "${more[@]}" || code=$?
exit "$code"

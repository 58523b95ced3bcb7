#!/usr/bin/env bash
# Takes what run.sh brought back into configs/results/<gpu>/<matrix>/, to be committed: manifest.json, summary.csv, report.md
# with its plots, the table, the conformance and what else was checked, and the exact command.
#
#   scripts/gpu/collect.sh RESULTS [--to configs/results] [--name GPU]
#
# RESULTS is run.sh' folder, or the .tar.xz of its --export. A run folder that is not whole is refused: every planned run
# recorded, the manifest ended, the report made. --name names the machine where its manifest has no GPU, or another name.
set -euo pipefail

die() {
  echo "collect.sh: $*" >&2
  exit 2
}

to="" name="" results=""
while [[ $# -gt 0 ]]; do
  case $1 in
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0" && exit ;;
    --to | --name) [[ $# -gt 1 ]] || die "$1 lacks its value; see --help" ;;
    -*) die "unknown option $1; see --help" ;;
    *) [[ -z $results ]] || die "one folder at a time: $results, $1" && results=$1 && shift && continue ;;
  esac
  case $1 in
    --to) to=$2 ;;
    --name) name=$2 ;;
  esac
  shift 2
done
[[ -n $results ]] || die "what is to be collected? see --help"
[[ -e $results ]] || die "$results: no such file or folder"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
exec python3 "$root/scripts/gpu/collect.py" "$results" --to "${to:-$root/configs/results}" --name "$name"

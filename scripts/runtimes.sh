#!/usr/bin/env bash
# Fetches pinned runtime libraries into .runtimes/<package>/<version>/, each once, from PyPI wheels whose SHA-256
# is written below. Nothing is installed into Python: pip only downloads, and only library and licence files are
# unpacked.
#
#   scripts/runtimes.sh                  # ort, the default version
#   scripts/runtimes.sh ort 1.30.0       # another pinned version, to swap one for the other
#   scripts/runtimes.sh ort 1.24.4 --unpinned   # any version PyPI has, its hash not checked
#
# INFERHOST_RUNTIMES names another folder than .runtimes. Needs python3 with pip.
set -euo pipefail

# package version platform sha256
readonly PINS="
onnxruntime 1.31.1 linux-x86_64  5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f
onnxruntime 1.31.1 linux-aarch64 da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3
onnxruntime 1.31.1 macos-arm64   60b6b69bfe580eab576cacc5d132a0e9cf2a37fcfd18d46dd191042b1d1ed0d7
onnxruntime 1.31.1 windows-x64   c3d91b5de31e2fc82d71bd65b2b22bddee8b49057a3a36338e9a868e0ea90c05
onnxruntime 1.30.0 linux-x86_64  fd54b314ea385bcecac69ab431f020ba503e3878dad4ebb645fec5a24b041242
onnxruntime 1.30.0 linux-aarch64 bac3aee7b40acd805659fd81a2acd6096312d5b0f014c97ddfe75fb4c1644627
onnxruntime 1.30.0 macos-arm64   f36c87ec504f4f328e968ee322e4ba9682abe66280b3425625afcbed5333fed7
onnxruntime 1.30.0 windows-x64   0edd0145a6e3fce8a1276491dc784d615e3c58bcb952c9b4e5c876d5c6a12ad7
onnxruntime 1.29.0 linux-x86_64  85f8e8406c52658735fe5c7fbfd3ebaa1ed340768324f6252e4274e374580a23
onnxruntime 1.29.0 linux-aarch64 16925ef8497e2c07e4b5ae15b504079b3ab3f65e22c58efd10dde0f3caea969a
onnxruntime 1.29.0 macos-arm64   07c5907474dec4a2792fd7626b753dc66707808385a6d9eecf993db0066a9d0f
onnxruntime 1.29.0 windows-x64   0d4f427afac434b0070fe992b540ddf20a7aff2265f760f314d91331935b6b98
"

die() {
  echo "runtimes.sh: $*" >&2
  exit 1
}

# The name this script gives the machine, and the tag PyPI gives wheels for it.
platform() {
  case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) echo "linux-x86_64 manylinux_2_28_x86_64" ;;
    Linux-aarch64) echo "linux-aarch64 manylinux_2_28_aarch64" ;;
    Darwin-arm64) echo "macos-arm64 macosx_14_0_arm64" ;;
    MINGW*-x86_64 | MSYS*-x86_64) echo "windows-x64 win_amd64" ;;
    *) die "no pinned runtimes for $(uname -s) on $(uname -m); download a library and set library=…" ;;
  esac
}

need_pip() {
  command -v python3 >/dev/null || die "python3 is missing; install it (Debian: apt install python3 python3-pip)"
  python3 -m pip --version >/dev/null 2>&1 && return
  python3 -m ensurepip --user >/dev/null 2>&1 && python3 -m pip --version >/dev/null 2>&1 && return
  die "python3 has no pip; install it (Debian: apt install python3-pip)"
}

pinned_hash() { # package version platform
  awk -v p="$1" -v v="$2" -v m="$3" '$1 == p && $2 == v && $3 == m { print $4 }' <<<"$PINS"
}

# Checks the wheel and unpacks what a host needs of it.
unpack() { # wheel sha256-or-empty folder
  python3 - "$@" <<'PYTHON'
import hashlib, pathlib, re, sys, zipfile

wheel, expected, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
found = hashlib.sha256(pathlib.Path(wheel).read_bytes()).hexdigest()
if expected and found != expected:
    sys.exit(f"runtimes.sh: {wheel} has SHA-256 {found}, expected {expected}; nothing was installed")
wanted = re.compile(r"^[^/]+/capi/(lib)?onnxruntime[^/]*\.(so|dylib|dll)[.\d]*$|(^|/)(LICENSE|ThirdPartyNotices)[^/]*$")
with zipfile.ZipFile(wheel) as archive:
    for name in filter(wanted.search, archive.namelist()):
        file = folder / name.rsplit("/", 1)[-1]
        # The Python module is a library too, and twice as large.
        if "pybind11" not in file.name:
            file.write_bytes(archive.read(name))
if not any("onnxruntime" in file.name and "providers" not in file.name for file in folder.iterdir()):
    sys.exit(f"runtimes.sh: {wheel} holds no onnxruntime library of its own; take a newer version")
PYTHON
}

install() { # package version unpinned?
  local package=$1 version=$2 unpinned=$3 machine tag hash work
  local target="$root/$package/$version"
  if [[ -d $target ]]; then
    echo "$target"
    return
  fi
  read -r machine tag <<<"$(platform)"
  [[ -n $machine ]] || exit 1
  hash=$(pinned_hash "$package" "$version" "$machine")
  if [[ -z $hash && $unpinned != yes ]]; then
    die "$package $version has no pinned hash for $machine; take one of: $(pinned_versions "$package" "$machine")or add --unpinned"
  fi
  need_pip
  mkdir -p "$root/$package"
  work=$(mktemp -d "$root/$package/.fetch.XXXXXX")
  # shellcheck disable=SC2064  # the folder of this very call is meant
  trap "rm -rf '$work'" EXIT
  # One Python version for all: the library does not depend on it, but its wheel's hash does.
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 \
    --platform "$tag" --dest "$work" "$package==$version" ||
    die "pip could not download $package $version for $tag"
  mkdir "$work/unpacked"
  unpack "$work/"*.whl "$hash" "$work/unpacked"
  # Another call may have been faster.
  [[ -d $target ]] || mv "$work/unpacked" "$target"
  rm -rf "$work"
  echo "$target"
}

pinned_versions() { # package platform
  awk -v p="$1" -v m="$2" '$1 == p && $3 == m { printf "%s ", $2 }' <<<"$PINS"
}

main() {
  local runtime="" version="" unpinned=no argument
  for argument in "$@"; do
    case $argument in
      --unpinned) unpinned=yes ;;
      -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0" && exit ;;
      -*) die "unknown option $argument; see --help" ;;
      *) if [[ -z $runtime ]]; then runtime=$argument; else version=$argument; fi ;;
    esac
  done
  case ${runtime:-ort} in
    ort) install onnxruntime "${version:-1.31.1}" "$unpinned" ;;
    *) die "unknown runtime '$runtime'; there is: ort" ;;
  esac
}

root=${INFERHOST_RUNTIMES:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.runtimes}
main "$@"

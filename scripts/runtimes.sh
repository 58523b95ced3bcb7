#!/usr/bin/env bash
# Fetches pinned runtime libraries into .runtimes/<package>/<version>/, each once, from PyPI wheels whose SHA-256
# is written below. Nothing is installed into Python: pip only downloads, and only library and licence files are
# unpacked.
#
#   scripts/runtimes.sh                  # ort, the default version
#   scripts/runtimes.sh torch            # libtorch 2.11.0 for the CPU, with its headers (0.6 GB of downloads)
#   scripts/runtimes.sh tensorrt-lean    # the runtime of TensorRT without its builder (45 MB; runs plans built elsewhere)
#   scripts/runtimes.sh ort-gpu          # ONNX Runtime with its CUDA and TensorRT providers (CUDA 13, cuDNN 9)
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
onnxruntime-gpu 1.31.1 linux-x86_64 e26c475fe361b2015f45b4b824bd13f0bb20204e59b62814e6f0acd5f3d491a6
onnxruntime-gpu 1.31.1 windows-x64  fd98341ba71c093153f0dcfc53eb69d57f706866fb45e94e5b0cde5d97a50dbf
tensorrt-lean-cu13-libs 11.4.0.106 linux-x86_64  e022b8d0e21f19258657aec6760e1de8b454ed176f76217e3f7ec2036c5a9410
tensorrt-lean-cu13-libs 11.4.0.106 linux-aarch64 2b22174a7056f341efeffb2025aa759c870c438ebf45a8821e88f5d95d165d1f
tensorrt-lean-cu13-libs 11.4.0.106 windows-x64   71fc012b81d593d284931b9c69ea998f8ae1eab361584c369e4033f8a4cdccf9
tensorrt-lean-cu13-libs 11.3.0.99 linux-x86_64  35c8c86e7323f867d5a28a4e15b51203a146cf8052d8babe86d6f0bff759e10c
tensorrt-lean-cu13-libs 11.3.0.99 linux-aarch64 5ff8a85c7cfaef99e0a1fee2403e0f6cb2cba3a1b811740e193f2922cb929b3d
tensorrt-lean-cu13-libs 11.3.0.99 windows-x64   f4ff2d060b21ff117324be6624ae98bfa958860a38934181966998fdc667299a
tensorrt-lean-cu13-libs 11.2.1.2 linux-x86_64  52641b1d5370af7035338aafdca81c0e493b7adffa82a5b45e016871b4df558e
tensorrt-lean-cu13-libs 11.2.1.2 linux-aarch64 be627f4f0f062c5977a242f4413336c2438024da80ce09f5a1d0909b595a616f
tensorrt-lean-cu13-libs 11.2.1.2 windows-x64   9ef2bbb572d5e0904b41324fc4a1b4e3850969156acfcae22d40b9df6f49593e
tensorrt-lean-cu13-libs 11.1.0.106 linux-x86_64  6a4968caea22d333c2eb4507d50f76257dc5ec78a27fb91a9ec600d9543e56bc
tensorrt-lean-cu13-libs 11.1.0.106 linux-aarch64 98955ddc55fadd2b4a4598bed3c7649d2637e1a3ce1737c98724c89392f4634f
tensorrt-lean-cu13-libs 11.1.0.106 windows-x64   63997f4eed037dbc575a8802a6f8076f316f8b8515f42e56233ace534aa44c36
torch 2.11.0 linux-x86_64  7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a
torch 2.11.0 linux-aarch64 d91aac77f24082809d2c5a93f52a5f085032740a1ebc9252a7b052ef5a4fddc6
torch 2.11.0 macos-arm64   7b6a60d48062809f58595509c524b88e6ddec3ebe25833d6462eeab81e5f2ce4
torch 2.11.0 windows-x64   73e24aaf8f36ab90d95cd1761208b2eb70841c2a9ca1a3f9061b39fc5331b708
nvidia-cuda-runtime 13.0.96 linux-x86_64  7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548
nvidia-cuda-runtime 13.0.96 linux-aarch64 ef9bcbe90493a2b9d810e43d249adb3d02e98dd30200d86607d8d02687c43f55
nvidia-cuda-cupti 13.0.85 linux-x86_64  4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8
nvidia-cuda-cupti 13.0.85 linux-aarch64 796bd679890ee55fb14a94629b698b6db54bcfd833d391d5e94017dd9d7d3151
"

die() {
  echo "runtimes.sh: $*" >&2
  exit 1
}

# The name this script gives the machine, and the tags PyPI gives wheels for it.
platform() {
  case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) echo "linux-x86_64 manylinux_2_28_x86_64 manylinux_2_25_x86_64 manylinux_2_17_x86_64" ;;
    Linux-aarch64) echo "linux-aarch64 manylinux_2_28_aarch64 manylinux_2_25_aarch64 manylinux_2_17_aarch64 manylinux_2_35_aarch64" ;;
    Darwin-arm64) echo "macos-arm64 macosx_14_0_arm64" ;;
    MINGW*-x86_64 | MSYS*-x86_64) echo "windows-x64 win_amd64" ;;
    *) die "no pinned runtimes for $(uname -s) on $(uname -m); download a library and set library=…" ;;
  esac
}

# The wheels of a runtime, first its own. PyPI's libtorch for Linux is the CUDA build, whose CPU half needs two of
# CUDA's libraries even where there is no GPU.
wheels() { # package version platform
  echo "$1==$2"
  case $1-$2-$3 in
    torch-2.11.0-linux-*) echo "nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85" ;;
  esac
}

# The folder that a package's versions lie in, where plugins look for them.
folder() { # package
  case $1 in
    tensorrt-lean-cu13-libs) echo "tensorrt-lean" ;;
    *) echo "$1" ;;
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

# Checks a wheel and unpacks what a host, or a compiler, needs of it.
unpack() { # package wheel sha256-or-empty folder
  python3 - "$@" <<'PYTHON'
import hashlib, pathlib, re, sys, zipfile, zlib

package, wheel, expected, folder = sys.argv[1], sys.argv[2], sys.argv[3], pathlib.Path(sys.argv[4])
with open(wheel, "rb") as file:
    found = hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else hashlib.sha256(file.read()).hexdigest()
if expected and found != expected:
    sys.exit(f"runtimes.sh: {wheel} has SHA-256 {found}, expected {expected}; nothing was installed")
LIBRARY = r"\.(so|dylib|dll|lib)[.\d]*$"
# As in Python's own folder, where libtorch looks for CUDA's libraries; not what is for a GPU or for Python alone.
AS_THEY_LIE = {
    "torch": r"torch/(include/|version\.py$|lib/(?!.*(cuda|nvshmem|nvrtc|python|libshm))[^/]*" + LIBRARY + ")",
    "nvidia-cuda-runtime": r"nvidia/.*/libcudart\.so[.\d]*$",
    "nvidia-cuda-cupti": r"nvidia/.*/libcupti\.so[.\d]*$",
}
# The Python module is a library too, and twice as large.
ONNXRUNTIME = r"[^/]+/capi/(lib)?onnxruntime(?!.*pybind11)[^/]*" + LIBRARY
FLAT = {
    "onnxruntime": ONNXRUNTIME,
    "onnxruntime-gpu": ONNXRUNTIME,
    "tensorrt-lean-cu13-libs": r"tensorrt_lean_libs/[^/]*" + LIBRARY,
}
licence = re.compile(r"(^|/)(LICENSE|License|ThirdPartyNotices|NOTICE)[^/]*$")
wanted, flat = re.compile(AS_THEY_LIE.get(package) or FLAT[package]), package in FLAT


def unpack(archive):
    libraries = 0
    for name in archive.namelist():
        if not (wanted.match(name) or licence.search(name)) or name.endswith("/"):
            continue
        if name.startswith("/") or ".." in name.split("/") or "\\" in name or ":" in name:
            sys.exit(f"runtimes.sh: {wheel} holds {name!r}, which leads out of its folder; nothing was installed")
        file = folder / (name.rsplit("/", 1)[-1] if flat else name)
        file.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(name) as source, open(file, "wb") as to:
            while block := source.read(1 << 24):
                to.write(block)
        libraries += bool(re.search(LIBRARY, name)) and "providers" not in name
    return libraries


try:
    with zipfile.ZipFile(wheel) as archive:
        libraries = unpack(archive)
except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
    sys.exit(f"runtimes.sh: {wheel} is no whole wheel ({error}); nothing was installed, run this again")
if not libraries:
    sys.exit(f"runtimes.sh: {wheel} holds no library of {package}; take another version")
PYTHON
}

install() { # package version unpinned?
  local package=$1 version=$2 unpinned=$3 machine tags wheel name hash work versions target
  versions="$root/$(folder "$package")"
  target="$versions/$version"
  if [[ -d $target ]]; then
    echo "$target"
    return
  fi
  read -r machine tags <<<"$(platform)"
  [[ -n $machine ]] || exit 1
  if [[ -z $(pinned_hash "$package" "$version" "$machine") && $unpinned != yes ]]; then
    die "$package $version has no pinned hash for $machine; take one of: $(pinned_versions "$package" "$machine")or add --unpinned"
  fi
  need_pip
  mkdir -p "$versions"
  # What a killed call left behind.
  find "$versions" -maxdepth 1 -name '.fetch.*' -mtime +0 -exec rm -rf {} +
  work=$(mktemp -d "$versions/.fetch.XXXXXX")
  # shellcheck disable=SC2064  # the folder of this very call is meant
  trap "rm -rf '$work'" EXIT
  mkdir "$work/unpacked"
  for wheel in $(wheels "$package" "$version" "$machine"); do
    name=${wheel%%==*}
    hash=$(pinned_hash "$name" "${wheel##*==}" "$machine")
    mkdir "$work/$name"
    # One Python version for all: the library does not depend on it, but its wheel's hash does.
    # shellcheck disable=SC2046  # one option for each tag
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 \
      $(printf -- '--platform %s ' $tags) --dest "$work/$name" "$wheel" || die "pip could not download $wheel for $machine"
    [[ -n $hash ]] || echo "runtimes.sh: note: $wheel is not pinned, so its SHA-256 was not checked" >&2
    unpack "$name" "$work/$name/"*.whl "$hash" "$work/unpacked"
    rm -rf "${work:?}/$name"
  done
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
      -h | --help) sed -n '2,13s/^# \{0,1\}//p' "$0" && exit ;;
      -*) die "unknown option $argument; see --help" ;;
      "") die "an empty argument; see --help" ;;
      *)
        [[ -z $version ]] || die "too many arguments: $argument; see --help"
        if [[ -z $runtime ]]; then runtime=$argument; else version=$argument; fi
        ;;
    esac
  done
  [[ -z $version || $version =~ ^[0-9][0-9A-Za-z.+-]*$ ]] || die "'$version' is no version; give one as 1.31.1"
  case ${runtime:-ort} in
    ort) install onnxruntime "${version:-1.31.1}" "$unpinned" ;;
    ort-gpu) install onnxruntime-gpu "${version:-1.31.1}" "$unpinned" ;;
    tensorrt-lean) install tensorrt-lean-cu13-libs "${version:-11.4.0.106}" "$unpinned" ;;
    torch) install torch "${version:-2.11.0}" "$unpinned" ;;
    *) die "unknown runtime '$runtime'; there are: ort, ort-gpu, tensorrt-lean, torch" ;;
  esac
}

root=${INFERHOST_RUNTIMES:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.runtimes}
main "$@"

#!/usr/bin/env python3
"""Makes kernels.ptx of kernels.cu, and checks it with the assembler of a newer toolkit.

Needs Linux on x86-64, Python 3 with pip and the network; NVIDIA's compilers come from PyPI, into a temporary folder.
NVRTC 12.0 writes PTX 8.0, which every driver of CUDA 12 and later takes, for compute capability 7.5, the least that
TensorRT 11 runs on. The first line names the source's hash, which a test compares.
"""

import ctypes
import hashlib
import pathlib
import subprocess
import sys
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
WHEELS = {
    "nvidia-cuda-nvrtc-cu12==12.0.140": "8e94e991d85c422de4da87bdc7472fdc1364367bd4aace7000b559cd33122071",
    "nvidia-cuda-nvcc==13.5.37": "f5c4f7ead5d964fb4af42bbf1e6d3ec3c1e6e9d83b53749f691d387e7fcaa3a7",
}
OPTIONS = ["--gpu-architecture=compute_75", "--std=c++17"]
DEVICES = ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"]


def fetch(folder):
    """Downloads the pinned wheels and unpacks them."""
    pins = folder / "requirements.txt"
    pins.write_text("".join(f"{name} --hash=sha256:{digest}\n" for name, digest in WHEELS.items()))
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    subprocess.run([*pip, "--dest", folder, "--requirement", pins], check=True)
    for wheel in folder.glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(folder)


def compiled(source, folder):
    """The PTX of `source`, by NVRTC."""
    # Its own library of builtins is found by the loader only when it is already there.
    (builtins,) = folder.rglob("libnvrtc-builtins.so*")
    ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
    (library,) = folder.rglob("libnvrtc.so*")
    nvrtc = ctypes.CDLL(str(library))
    program = ctypes.c_void_p()
    if nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, b"kernels.cu", 0, None, None) != 0:
        sys.exit("NVRTC made no program")
    options = (ctypes.c_char_p * len(OPTIONS))(*[option.encode() for option in OPTIONS])
    failed = nvrtc.nvrtcCompileProgram(program, len(OPTIONS), options) != 0

    def text(name):
        size = ctypes.c_size_t()
        getattr(nvrtc, f"nvrtcGet{name}Size")(program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        getattr(nvrtc, f"nvrtcGet{name}")(program, buffer)
        return buffer.value.decode()

    if failed:
        sys.exit(text("ProgramLog"))
    return text("PTX")


def main():
    source = (HERE / "kernels.cu").read_bytes()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        fetch(folder)
        body = compiled(source, folder)
        target = HERE / "kernels.ptx"
        head = f"// Made by compile.py of kernels.cu, SHA-256 {hashlib.sha256(source).hexdigest()}"
        target.write_text(f"{head}\n{body.strip()}\n")
        (ptxas,) = folder.rglob("ptxas")
        ptxas.chmod(0o755)
        for device in DEVICES:
            options = ["--warning-as-error", f"--gpu-name={device}", "--output-file=/dev/null"]
            subprocess.run([ptxas, *options, target], check=True)
            print(f"{device}: ok")


if __name__ == "__main__":
    main()

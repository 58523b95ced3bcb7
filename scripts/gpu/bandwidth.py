"""How fast memory is: the rate of a copy within the device, in GB/s, bytes read and bytes written counted both.

    python3 bandwidth.py [--device cuda:0|cpu] [--json FILE]

A GPU is asked through the driver's own library, by ctypes: neither torch nor CUDA's toolkit is needed. Decode reads every
weight once for a token, so weight bytes over this rate are the least time that a token can take."""

import argparse
import ctypes
import json
import pathlib
import sys
import time

GPU_BYTES, CPU_BYTES = 1 << 30, 1 << 28
COPIES = 20
DRIVER = "libcuda.so.1"


class Unavailable(Exception):
    """Why there is no device to be measured."""


class Driver:
    """A device's memory, through the CUDA driver."""

    def __init__(self, number):
        try:
            self.cuda = ctypes.CDLL(DRIVER)
        except OSError as error:
            raise Unavailable(f"{DRIVER} cannot be loaded ({error}); install the NVIDIA driver") from error
        self.call("cuInit", 0)
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self.call("cuDeviceGet", ctypes.byref(device), number)
        name = ctypes.create_string_buffer(128)
        self.call("cuDeviceGetName", name, len(name), device)
        self.name = name.value.decode()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)

    def call(self, function, *arguments):
        code = getattr(self.cuda, function)(*arguments)
        if code:
            text = ctypes.c_char_p()
            self.cuda.cuGetErrorString(code, ctypes.byref(text))
            raise Unavailable(f"{function} failed: {(text.value or b'unknown').decode()} (code {code})")

    def seconds(self):
        """Seconds of each of a number of copies, by events."""
        source, target = ctypes.c_uint64(), ctypes.c_uint64()
        for pointer in (source, target):
            self.call("cuMemAlloc_v2", ctypes.byref(pointer), ctypes.c_size_t(GPU_BYTES))
        events = ctypes.c_void_p(), ctypes.c_void_p()
        for event in events:
            self.call("cuEventCreate", ctypes.byref(event), 0)
        for _ in range(COPIES):
            self.call("cuEventRecord", events[0], None)
            self.call("cuMemcpyDtoDAsync_v2", target, source, ctypes.c_size_t(GPU_BYTES), None)
            self.call("cuEventRecord", events[1], None)
            self.call("cuEventSynchronize", events[1])
            passed = ctypes.c_float()
            self.call("cuEventElapsedTime", ctypes.byref(passed), *events)
            yield passed.value / 1e3
        for pointer in (source, target):
            self.call("cuMemFree_v2", pointer)


def host_seconds():
    """Seconds of each of a number of copies in the host's memory, by one thread."""
    source, target = (ctypes.create_string_buffer(CPU_BYTES) for _ in range(2))
    for _ in range(COPIES):
        start = time.perf_counter()
        ctypes.memmove(target, source, CPU_BYTES)
        yield time.perf_counter() - start


def measure(device):
    """The device's name and the best rate of a number of copies, in bytes a second."""
    if device == "cpu":
        return {"device": "cpu, one thread", "bytes_per_s": 2 * CPU_BYTES / min(host_seconds())}
    kind, _, number = device.partition(":")
    if kind != "cuda" or not (number or "0").isdigit():
        raise Unavailable(f"--device {device}: expected cpu, cuda or cuda:N")
    driver = Driver(int(number or 0))
    return {"device": driver.name, "bytes_per_s": 2 * GPU_BYTES / min(driver.seconds())}


def main():
    parser = argparse.ArgumentParser(prog="bandwidth.py")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    try:
        found = measure(args.device)
    except Unavailable as error:
        sys.exit(f"bandwidth.py: {error}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{found['device']}: a copy moves {found['bytes_per_s'] / 1e9:,.0f} GB/s")


if __name__ == "__main__":
    main()

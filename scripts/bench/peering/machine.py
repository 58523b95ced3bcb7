"""The machine: which CPUs to use, how fast memory reads, how much memory a command takes."""

import os
import pathlib
import shutil
import statistics
import subprocess
import time

SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
# Reads the buffer this often; the best pass is the memory's speed, the others are somebody else's.
PASSES = 8
DRAM_BYTES = 1 << 30


def pin(threads):
    """Keeps this process and its children on `threads` CPUs, of different cores where that can be told."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < threads:
        raise SystemExit(f"peers.py: {threads} threads asked for, but only {len(allowed)} CPUs are there")
    seen, first, later = set(), [], []
    for cpu in allowed:
        file = pathlib.Path(SIBLINGS.format(cpu))
        core = file.read_text().strip() if file.exists() else str(cpu)
        (later if core in seen else first).append(cpu)
        seen.add(core)
    cpus = sorted((first + later)[:threads])
    os.sched_setaffinity(0, cpus)
    return cpus


def cpu_name():
    """The CPU's name, or nothing."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


class Memory:
    """Measures how fast the pinned CPUs read a buffer over and over."""

    def __init__(self, folder, threads):
        self.threads = threads
        self.program = folder / "stream_read"
        source = pathlib.Path(__file__).with_name("stream_read.c")
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if not compiler:
            raise SystemExit("peers.py: no C compiler; install one (Debian: apt install gcc)")
        native = "-mcpu=native" if os.uname().machine in ("aarch64", "arm64") else "-march=native"
        command = [compiler, "-O3", native, "-pthread", source, "-o", self.program]
        subprocess.run(command, check=True)

    def read_speed(self, size):
        """Bytes per second of the best pass over `size` bytes. A size near the last cache's is partly read from it,
        as weights of that size are."""
        command = [self.program, str(size), str(self.threads), str(PASSES)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return max(float(line) for line in output.split())

    def around(self, size, measure):
        """What `measure` returns, and the better of the speeds just before it and just after."""
        before = self.read_speed(size)
        measured = measure()
        return measured, max(before, self.read_speed(size))


class Others:
    """How much of the pinned CPUs' time went to processes that are not ours: a measurement beside a compiler is none,
    and peers that spin at barriers suffer more from one than others do."""

    def __init__(self, cpus):
        self.cpus = cpus or []

    def _busy(self):
        """Seconds that the pinned CPUs were busy; the kernel's `idle` and `iowait` are columns 4 and 5."""
        ticks = 0
        for line in pathlib.Path("/proc/stat").read_text().splitlines():
            name, *values = line.split()
            if name in {f"cpu{cpu}" for cpu in self.cpus}:
                ticks += sum(int(v) for i, v in enumerate(values[:8]) if i not in (3, 4))
        return ticks / os.sysconf("SC_CLK_TCK")

    def _ours(self, workers):
        """Seconds of CPU that this process, children that ended, and running workers took."""
        taken = os.times()
        total = taken.user + taken.system + taken.children_user + taken.children_system
        for pid in workers:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return total

    def reading(self, workers):
        """Of the clock, of all, of ours; nothing where the system does not tell."""
        if not self.cpus or not os.path.exists("/proc/stat"):
            return None
        return time.monotonic(), self._busy(), self._ours(workers)

    def share(self, before, after):
        """Of the time there was on these CPUs."""
        if before is None:
            return None
        wall, busy, ours = (b - a for a, b in zip(before, after))
        return max(0.0, (busy - ours) / (wall * len(self.cpus)))


def wall_and_peak(command, environment):
    """Seconds and peak resident bytes of a command. This process must be small: a child starts with its size."""
    start = time.monotonic()
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"peers.py: {' '.join(map(str, command))} failed: {errors.decode()[-2000:]}")
    unit = 1 if os.uname().sysname == "Darwin" else 1024
    return seconds, usage.ru_maxrss * unit


def spread(values):
    """Median, least and greatest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "values": list(values)}

#!/usr/bin/env python3
"""What looking at a worker costs: the processor time of the host while its worker is in one long call that sleeps, so that
all of it is waiting, polling and sampling (every 100 ms, into telemetry.csv). Prints percent of one core; the target is
under 0.5%. Linux only.

    scripts/bench/telemetry.py [--seconds 20] [--rounds 3] [PROGRAM ...]

PROGRAM is target/release/inferhost by default, with the plugin faulty beside it
(`cargo build --release -p inferhost -p inferhost-plugin-faulty`); give two to compare them in turns.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TARGET_PCT = 0.5
CONFIG = """
name = "telemetry"
[run]
modes = ["prefill"]
repetitions = 1
warmups = 0
[[models]]
name = "tiny"
source = "synthetic:gpt2?layers=1&embd=4&heads=2&vocab=16&ctx=32&seed=1"
[[backends]]
name = "slow"
plugin = "faulty"
options = {{ fault = "slow", delay_ms = {delay_ms} }}
[[scenarios]]
name = "small"
batch = 1
prompt_tokens = 4
new_tokens = 1
"""


def processor_seconds(pid: int) -> float:
    """The process's own clock, by the kernel's encoding of clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


def measure(program: Path, seconds: float, folder: Path) -> tuple[float, int]:
    """Percent of one core over the middle of the call, and the samples that were taken."""
    config = folder / "telemetry.toml"
    config.write_text(CONFIG.format(delay_ms=int(1000 * (seconds + 4))))
    out = folder / "out"
    command = [program, "run", config, "--out", out]
    host = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        # The records' file is there when the setup begins, a worker's log when its call is about to.
        while not list(out.glob("logs/tiny-slow-round0.log")):
            if host.poll() is not None:
                sys.exit(f"{program} ended with code {host.returncode} before its call began")
            time.sleep(0.05)
        time.sleep(2)
        start, before = time.monotonic(), processor_seconds(host.pid)
        time.sleep(seconds)
        used, wall = processor_seconds(host.pid) - before, time.monotonic() - start
    finally:
        host.wait()
    return 100 * used / wall, rows(out / "telemetry.csv")


def rows(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open(newline="") as file:
        return sum(1 for _ in csv.DictReader(file))


def main() -> None:
    root = Path(__file__).resolve().parents[2]
    target = Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=20)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("programs", nargs="*", type=Path, default=[target / "release" / "inferhost"])
    given = arguments.parse_args()
    worst = 0.0
    for number in range(given.rounds):
        for program in given.programs:
            with tempfile.TemporaryDirectory() as folder:
                share, samples = measure(program.resolve(), given.seconds, Path(folder))
            worst = max(worst, share)
            print(f"round {number + 1}: {program}: {share:.3f}% of a core, {samples} samples", flush=True)
    print(f"at most {worst:.3f}% of a core; the target is under {TARGET_PCT}%")


if __name__ == "__main__":
    main()

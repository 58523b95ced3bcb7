#!/usr/bin/env python3
"""Runs thousands of cells of a plugin that misbehaves at random, watches the host from outside, and says whether it
held: every planned run recorded once, no process, zombie or temporary file left, memory and descriptors flat.

    scripts/soak.py                                        # 10,000 runs, 5% with a fault of a kind drawn at random
    scripts/soak.py --runs 1000 --each                     # 1,000 runs of every kind, each with a rate of its own

Needs Linux and a built host (`cargo build --release -p inferhost -p inferhost-plugin-faulty`). Exits with 1 where
something did not hold."""

import argparse
import collections
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

QUICK = """segfault abort exit stack_overflow double_free heap_corruption thread_destructor panic error long_error
missing_runtime out_of_memory_error unsupported shape_not_covered nan short_output wrong_shape token_out_of_range
too_many_tokens callback_thread slow print_flood print_garbage children daemons twin busy_threads eat_descriptors
close_descriptors close_all_descriptors nonblocking ignore_signals surroundings temporary_files exit_in_drop""".split()
# Each costs its run the whole deadline.
SLOW = "hang spin stop exit_handler segfault_handler endless_tokens channel_garbage channel_flood leak".split()
MODEL = "synthetic:gpt2?layers=1&embd=4&heads=2&vocab=16&ctx=32&seed=1"
CONFIG = """name = "soak"
[run]
modes = ["generate"]
warmups = 0
repetitions = {repetitions}
rounds = {rounds}
deadline_s = {deadline}
open_deadline_s = 60
memory_limit_mb = 1024
[[models]]
name = "tiny"
source = "{model}"
[[scenarios]]
name = "small"
batch = 2
prompt_tokens = 5
new_tokens = 4
"""
BACKEND = """[[backends]]
name = "{name}"
plugin = "faulty"
options = {{ faults = {faults}, rate = {rate}, seed = {seed}, delay_ms = 1, flood_mb = 2, count_file = "{count}" }}
"""


def config(args, folder):
    """The config's text, and how many runs it plans."""
    repetitions = min(args.runs, 100)
    rounds = -(-args.runs // repetitions)
    text = CONFIG.format(repetitions=repetitions, rounds=rounds, deadline=args.deadline, model=MODEL)
    groups = [[kind] for kind in QUICK + SLOW] if args.each else [QUICK + SLOW]
    for faults in groups:
        name = faults[0] if args.each else "mixed"
        # Where each costs a deadline, a few show as much as hundreds.
        rate = args.slow_rate if args.each and faults[0] in SLOW else args.rate
        count = folder / f"count-{name}"
        text += BACKEND.format(name=name, faults=json.dumps(faults), rate=rate, seed=args.seed, count=count)
    return text, repetitions * rounds * len(groups)


def status(pid):
    """Resident KB, or none where the process is gone."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    values = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return int(values[0]) if values else None


def zombies(parent):
    """How many ended children `parent` has not reaped."""
    found = 0
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(") ", 1)[1].split()
        except (OSError, IndexError):
            continue
        found += fields[0] == "Z" and int(fields[1]) == parent
    return found


def left_processes(temporary):
    """Processes that bear the mark of a host whose temporary folder was `temporary`."""
    mark = f"INFERHOST_SCRATCH={temporary}/".encode()
    found = []
    for environ in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in environ.read_bytes():
                found.append(environ.parent.name)
        except OSError:
            continue
    return found


def watch(host, out, planned, interval):
    """Samples of the host until it ends: records written, resident KB, descriptors, zombies. Those of its last act,
    the report, which reads all records at once, are left out."""
    samples = []
    while host.poll() is None:
        records = out / "records.jsonl"
        written = sum(block.count(b"\n") for block in iter_blocks(records))
        try:
            descriptors = len(os.listdir(f"/proc/{host.pid}/fd"))
        except OSError:
            break
        resident = status(host.pid)
        if resident and 0 < written < planned:
            samples.append((written, resident, descriptors, zombies(host.pid)))
        time.sleep(interval)
    return samples


def iter_blocks(path):
    """The file in parts; none where it is not there yet."""
    if path.exists():
        with path.open("rb") as file:
            yield from iter(lambda: file.read(1 << 20), b"")


def trend(name, unit, samples, index):
    """Prints how a quantity developed; its growth from the first quarter of samples to the last, relative."""
    values = [sample[index] for sample in samples]
    quarter = max(len(values) // 4, 1)
    first, last = statistics.mean(values[:quarter]), statistics.mean(values[-quarter:])
    slope = statistics.linear_regression([s[0] for s in samples], values).slope if len(samples) > 2 else 0.0
    print(
        f"{name}: first quarter {first:,.1f} {unit}, last {last:,.1f}, most {max(values):,}; "
        f"{slope * 1000:+.2f} {unit} a thousand runs"
    )
    return last / first - 1


def judge(args, out, temporary, planned, code, samples):
    """What did not hold, in lines."""
    records = [json.loads(line) for line in (out / "records.jsonl").open()]
    keys = {(r["cell"], r["round"], r["repetition"]) for r in records}
    kinds = collections.Counter(r["degraded"]["kind"] if r["degraded"] else "ok" for r in records)
    print(f"{len(records):,} records of {planned:,} planned: {dict(kinds.most_common())}")
    growth = trend("resident memory", "KB", samples, 1), trend("descriptors", "", samples, 2)
    print(f"zombies at once, at most: {max(sample[3] for sample in samples)}")
    for _ in range(50):
        left, files = left_processes(temporary), os.listdir(temporary)
        if not left and not files:
            break
        time.sleep(0.1)
    checks = [
        (code == 0, f"the host ended with {code}"),
        (len(records) == planned, f"{planned - len(records)} runs were lost"),
        (len(keys) == len(records), f"{len(records) - len(keys)} runs were recorded twice"),
        (not left, f"processes were left: {left}"),
        (not files, f"temporary files were left: {files}"),
        (samples[-1][3] <= 2, f"{samples[-1][3]} zombies at the end"),
        (growth[0] < args.tolerance, f"memory grew by {growth[0]:.0%}"),
        (growth[1] < args.tolerance, f"descriptors grew by {growth[1]:.0%}"),
    ]
    return [line for held, line in checks if not held]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", type=pathlib.Path, default=pathlib.Path("target/release/inferhost"))
    parser.add_argument("--runs", type=int, default=10_000, help="in all; with --each, of every kind")
    parser.add_argument("--rate", type=float, default=0.05, help="the share of runs with a fault")
    parser.add_argument("--slow-rate", type=float, default=0.01, help="with --each, of those that take the deadline")
    parser.add_argument("--each", action="store_true", help="a backend for every kind of fault")
    parser.add_argument("--deadline", type=float, default=0.5, help="seconds a run may take")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tolerance", type=float, default=0.1, help="how far memory and descriptors may grow")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        folder = pathlib.Path(root)
        temporary = folder / "tmp"
        temporary.mkdir()
        text, planned = config(args, folder)
        (folder / "soak.toml").write_text(text)
        command = [args.host.resolve(), "run", "soak.toml", "--out", "out"]
        start = time.monotonic()
        with (folder / "host.log").open("wb") as log:
            env = os.environ | {"TMPDIR": str(temporary), "INFERHOST_CACHE_DIR": str(folder / "cache")}
            host = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)
            samples = watch(host, folder / "out", planned, 0.25)
        print(f"{time.monotonic() - start:.0f} s, {len(samples)} samples")
        if not samples:
            sys.exit((folder / "host.log").read_text())
        wrong = judge(args, folder / "out", temporary, planned, host.wait(), samples)
    print("\n".join(wrong) if wrong else "all held")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()

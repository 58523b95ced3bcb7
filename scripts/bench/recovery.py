#!/usr/bin/env python3
"""How long the host takes from the crash of a worker to the next measured run, beyond the time that starting a worker
and opening the model takes anyway.

    scripts/bench/recovery.py [--host target/release/inferhost] [--rounds 30]

In each round a worker is started, makes a run, and crashes in the next; the host starts another, which makes a run.
From the beginning of the first run to that of the second is a start with nothing wrong. From the beginning of the run
that crashes to that of the one after the next is the crash, a start and a run: what that takes more is the recovery.
Times are the records' own, to the millisecond. Needs Linux and a built host
(`cargo build --release -p inferhost -p inferhost-plugin-faulty`)."""

import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

CRASHES = {
    "abort": 'fault = "abort"',
    "segfault": 'fault = "segfault"',
    "exit": 'fault = "exit"',
    "closed channel": 'fault = "close_all_descriptors", then = "spin"',
    "children, abort": 'fault = "children", then = "abort"',
    "daemons, abort": 'fault = "daemons", then = "abort"',
    "2 MB of output, abort": 'fault = "print_flood", flood_mb = 1, then = "abort"',
    "temporary files, abort": 'fault = "temporary_files", then = "abort"',
}
CONFIG = """name = "recovery"
[run]
modes = ["prefill"]
warmups = 0
repetitions = 5
rounds = {rounds}
shuffle = false
[[models]]
name = "tiny"
source = "synthetic:gpt2?layers=1&embd=4&heads=2&vocab=16&ctx=32&seed=1"
[[scenarios]]
name = "small"
batch = 1
prompt_tokens = 4
"""
BACKEND = '[[backends]]\nname = "{name}"\nplugin = "faulty"\noptions = {{ after = 1, {options} }}\n'


def milliseconds(record):
    return datetime.datetime.fromisoformat(record["started_at"]).timestamp() * 1e3


def of_backend(records):
    """Milliseconds of undisturbed starts and of crashes with the start after them, over the rounds."""
    rounds = {}
    for record in sorted(records, key=lambda record: record["repetition"]):
        rounds.setdefault(record["round"], []).append(record)
    starts, recoveries = [], []
    for runs in rounds.values():
        assert [run["status"] for run in runs] == ["ok", "degraded", "ok", "degraded", "ok"], runs
        at = [milliseconds(run) for run in runs]
        starts.append(at[1] - at[0])
        recoveries.append(at[3] - at[1])
    return starts, recoveries


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", type=pathlib.Path, default=pathlib.Path("target/release/inferhost"))
    parser.add_argument("--rounds", type=int, default=30)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        folder = pathlib.Path(root)
        names = {f"b{n}": crash for n, crash in enumerate(CRASHES)}
        backends = [BACKEND.format(name=name, options=CRASHES[crash]) for name, crash in names.items()]
        (folder / "config.toml").write_text(CONFIG.format(rounds=args.rounds) + "".join(backends))
        env = os.environ | {"INFERHOST_CACHE_DIR": str(folder / "cache")}
        command = [args.host.resolve(), "run", "config.toml", "--out", "out"]
        subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)
        records = [json.loads(line) for line in (folder / "out/records.jsonl").open()]
    print(f"{'crash':24} {'start ms':>16} {'beyond it, ms':>22}")
    for name, crash in names.items():
        starts, recoveries = of_backend([record for record in records if record["backend"] == name])
        usual = statistics.median(starts)
        beyond = [recovery - usual for recovery in recoveries]
        print(
            f"{crash:24} {usual:7.0f} (to {max(starts):4.0f}) "
            f"{statistics.median(beyond):8.0f} (to {max(beyond):4.0f})"
        )


if __name__ == "__main__":
    main()

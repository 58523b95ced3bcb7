"""Runs the host and the minimal loop in turns and prints what the host adds; called by overhead.sh."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

TOKENS = 8
# Calls a round: enough for a steady median, few enough for both to meet the same machine.
CALLS = {"tiny-gpt2": 200, "gpt2-124m": 20}

CONFIG = """
name = "overhead"
[run]
modes = ["prefill"]
warmups = 50
repetitions = {calls}
[[models]]
name = "{model}"
source = "synthetic:{model}"
[[backends]]
name = "ort-cpu-fp32"
plugin = "ort"
artifact = "onnx-fp32"
options = {{ threads = {threads}, library = "{library}" }}
[[scenarios]]
name = "single_micro"
batch = 1
prompt_tokens = {tokens}
"""


def host(binary, config, out):
    """Latencies in microseconds that the worker reports, and the graph it ran."""
    command = [binary, "run", config, "--out", out]
    subprocess.run(command, check=True, capture_output=True)
    records = [json.loads(line) for line in (out / "records.jsonl").open()]
    assert all(record["status"] == "ok" for record in records), records
    manifest = json.loads((out / "manifest.json").read_text())
    graph = pathlib.Path(manifest["artifacts"][0]["path"]) / "model.onnx"
    return [record["latency_ms"] * 1e3 for record in records], graph


def minimal(binary, library, graph, calls, threads):
    """Median and least microseconds of a call in the plain loop."""
    command = [binary, library, graph, str(TOKENS), str(calls), str(threads)]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result["median_ns"] / 1e3, result["min_ns"] / 1e3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binaries", type=pathlib.Path)
    parser.add_argument("library", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", action="append", choices=CALLS)
    args = parser.parse_args()
    # Cores of a shared machine may differ by half; both sides get the same ones.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    library = next(args.library.glob("*onnxruntime.*"))
    for model in args.model or CALLS:
        rounds = []
        for _ in range(args.rounds):
            with tempfile.TemporaryDirectory() as folder:
                config = pathlib.Path(folder) / "config.toml"
                fields = {"model": model, "calls": CALLS[model], "threads": args.threads}
                config.write_text(CONFIG.format(**fields, library=library, tokens=TOKENS))
                latencies, graph = host(args.binaries / "inferhost", config, pathlib.Path(folder) / "out")
            loop = minimal(args.binaries / "examples" / "minimal_loop", library, graph, CALLS[model], args.threads)
            rounds.append((statistics.median(latencies), min(latencies), *loop))
        for name, ours, plain in (("median", 0, 2), ("least", 1, 3)):
            host_us = statistics.median(r[ours] for r in rounds)
            loop_us = statistics.median(r[plain] for r in rounds)
            over = statistics.median(r[ours] - r[plain] for r in rounds)
            ratio = statistics.median(r[ours] / r[plain] for r in rounds)
            print(
                f"{model} 1x{TOKENS}, {args.threads} thread(s), {name} of {CALLS[model]} calls, median of"
                f" {args.rounds} rounds: host {host_us:.1f} us, minimal loop {loop_us:.1f} us,"
                f" difference {over:+.1f} us, ratio {ratio:.4f}"
            )


if __name__ == "__main__":
    main()

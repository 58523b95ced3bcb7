"""Runs inferhost and its peers in turns on the same weights, and prints ratios; called by peers.sh."""

import argparse
import json
import os
import pathlib
import subprocess

from peering import floor, machine, ours, prepared, ratios, report, rounds, setup, steps, work

MODEL = "gpt2-124m"
PARTS = ["ratios", "steps", "prepare"]


def arguments():
    parser = argparse.ArgumentParser(prog="peers.sh")
    for name in ("folder", "binaries", "library", "python", "llama-python"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round of few calls, and the ratios alone")
    parser.add_argument("--xl", action="store_true", help="also prepare GPT-2 XL in INT8 (10 GB of disk)")
    parser.add_argument("--part", action="append", choices=PARTS, help="this part alone; may be given again")
    parser.add_argument("--skip-check", action="store_true", help="do not check again that all sides agree")
    parser.add_argument("--json", type=pathlib.Path, help="write every number to this file")
    args = parser.parse_args()
    args.part = args.part or (["ratios"] if args.quick else PARTS)
    return args


def compare(args, host, model, artifacts, memory, cpus):
    """The peers and us, in turns."""
    files = setup.make_files(args.folder, model, args.python, args.llama_python)
    with setup.running(args.folder, files, args.threads) as peers:
        for name, peer in peers.items():
            print(f"{name}: {peer.version}")
        agreed = None if args.skip_check else setup.check_all(host, model, peers)
        count, calls = (1, rounds.QUICK_CALLS) if args.quick else (args.rounds, rounds.CALLS)
        print(f"measuring, {count} rounds:")
        others = machine.Others(cpus)
        measured = rounds.run(count, calls, host, model, peers, memory, artifacts, others)
        versions = {name: peer.version for name, peer in peers.items()}
    seconds = [r["seconds"] for r in measured]
    found = {
        "versions": versions, "agreement": agreed, "rounds": measured, "tok_s": ratios.rates(seconds),
        "ratios": [ratios.answer(question, seconds) for question in ratios.QUESTIONS],
        "floor": rounds.shares(artifacts, measured),
    }  # fmt: skip
    report.rates(found["tok_s"], work.WORK)
    report.ratios(found["ratios"])
    report.shares(found["floor"])
    return found


def step_times(args, host, model, artifacts, memory):
    """Decode steps beside what the machine allows."""
    config = json.loads((model / "config.json").read_text())
    shape = floor.Shape(config["n_layer"], config["n_embd"], config["vocab_size"])
    peak = setup.peak(args.python, args.threads)
    found = steps.measure(host, model, artifacts, shape, memory, peak)
    report.steps(found, peak)
    return {"peak": peak, "steps": found}


def prepare_times(args, host):
    """What `prepare` takes."""
    limits = [prepared.GPT2, prepared.XL] if args.xl else [prepared.GPT2]
    found = [prepared.measure(host, limit) for limit in limits]
    report.prepared(found)
    return {"prepare": found}


def main():
    args = arguments()
    cpus = machine.pin(args.threads)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    host = ours.Host(args.binaries, next(args.library.glob("*onnxruntime.*")), args.folder / "cache", args.threads)
    memory = machine.Memory(args.folder, args.threads)
    model = host.model(MODEL)
    artifacts = {backend: host.prepare(model, artifact) for backend, artifact in ours.BACKENDS.items()}
    print(f"{MODEL}, {args.threads} threads on CPUs {cpus or 'of any kind'} of {machine.cpu_name() or os.uname().machine}")
    found = {"commit": commit, "cpu": machine.cpu_name(), "cpus": cpus, "threads": args.threads}
    if "ratios" in args.part:
        found |= compare(args, host, model, artifacts, memory, cpus)
    if "steps" in args.part:
        found |= step_times(args, host, model, artifacts, memory)
    if "prepare" in args.part:
        found |= prepare_times(args, host)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Runs inferhost and its peers in turns on the same weights, and prints ratios; called by peers.sh."""

import argparse
import json
import os
import pathlib
import subprocess

from peering import machine, ours, prepared, ratios, report, rounds, setup, steps, theirs

MODEL = "gpt2-124m"
PARTS = ["ratios", "steps", "prepare"]


def arguments():
    parser = argparse.ArgumentParser(prog="peers.sh")
    for name in ("folder", "binaries", "ort", "torch", "python", "llama-python"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round of few calls, and the ratios alone")
    parser.add_argument("--xl", action="store_true", help="also prepare GPT-2 XL in INT8 (10 GB of disk)")
    parser.add_argument("--only", choices=sorted({backend.plugin for backend in ours.BACKENDS.values()}),
                        help="the ratios of this plugin's backends alone")  # fmt: skip
    parser.add_argument("--part", action="append", choices=PARTS, help="this part alone; may be given again")
    parser.add_argument("--skip-check", action="store_true", help="do not check again that all sides agree")
    parser.add_argument("--json", type=pathlib.Path, help="write every number to this file")
    args = parser.parse_args()
    args.part = args.part or (["ratios"] if args.quick or args.only else PARTS)
    return args


def compare(args, host, model, memory, cpus):
    """The peers and us, in turns."""
    questions = ratios.about(args.only)
    sides, tasks = ratios.asked(questions)
    sizes = {name: host.matrix_bytes(model, name) for name in ours.BACKENDS if name in sides}
    launches = setup.launches(args.folder, model, args.python, args.llama_python)
    launches = {name: launch for name, launch in launches.items() if name in sides}
    setup.make_files(args.folder, model, launches)
    with setup.running(args.folder, launches, args.threads) as peers:
        agreed = None if args.skip_check else setup.check_all(host, model, sizes, peers)
        setup.warm(peers, tasks)
        count, calls = (1, rounds.QUICK_CALLS) if args.quick else (args.rounds, rounds.CALLS)
        print(f"measuring, {count} rounds:", flush=True)
        others = machine.Others(cpus)
        measured = rounds.run(count, rounds.Setting(host, model, peers, sizes, tasks, calls, memory, others))
        versions = {name: peer.version for name, peer in peers.items()}
    seconds = [r["seconds"] for r in measured]
    found = {
        "versions": versions, "agreement": agreed, "rounds": measured, "tok_s": ratios.rates(seconds),
        "ratios": [ratios.answer(question, seconds) for question in questions],
        "floor": rounds.shares(sizes, measured),
    }  # fmt: skip
    report.rates(found["tok_s"], tasks)
    report.ratios(found["ratios"])
    report.shares(found["floor"])
    return found


def step_times(args, host, model, memory):
    """Decode steps beside what the machine allows."""
    sizes = {name: host.matrix_bytes(model, name) for name in steps.BACKENDS}
    peak = setup.peak(args.python, args.threads)
    found = steps.measure(host, model, sizes, memory, peak)
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
    libraries = {"ort": args.ort, "torch": args.torch}
    host = ours.Host(args.binaries, libraries, args.folder / "cache", args.threads)
    memory = machine.Memory(args.folder, args.threads)
    model = host.model(MODEL)
    print(f"{MODEL}, {args.threads} threads on CPUs {cpus or 'of any kind'} of {machine.cpu_name() or os.uname().machine}")
    found = {"commit": commit, "cpu": machine.cpu_name(), "cpus": cpus, "threads": args.threads}
    if "ratios" in args.part:
        found |= compare(args, host, model, memory, cpus)
    if "steps" in args.part:
        found |= step_times(args, host, model, memory)
    if "prepare" in args.part:
        found |= prepare_times(args, host)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except theirs.Ended as ended:
        raise SystemExit(f"peers.py: {ended}") from None

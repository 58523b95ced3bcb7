#!/usr/bin/env python3
"""How often `inferhost compare` takes noise for a change, and how often it finds a planted one.

    scripts/bench/aa.py --config configs/quickstart.toml --runs 40 --work /tmp/aa     # makes the runs, then compares
    scripts/bench/aa.py --work /tmp/aa                                                # compares the runs there
    scripts/bench/aa.py --synthetic 200                                               # generated folders, i.i.d. noise

Two runs of one config are a comparison of the same with the same (A/A): any verdict of faster or slower is a false alarm.
Disjoint pairs are independent comparisons and give the interval (Wilson's); all pairs share runs and are for information.
A planted change multiplies every time of some cells in a copy of the second run, or with --copies of the first.
"""

import argparse
import json
import math
import random
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FACTORS = (1.05, 1.1, 1.2, 1.5)


def wilson(hits, total):
    z, share = 1.959964, hits / total
    scale = 1 / (1 + z * z / total)
    middle = scale * (share + z * z / (2 * total))
    half = scale * z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def rate(name, outcomes):
    hits, total = sum(outcomes), len(outcomes)
    if total:
        low, high = wilson(hits, total)
        print(f"{name:<44} {hits:>5} of {total:<5} {hits / total:7.1%}  [{low:.1%}, {high:.1%}]", flush=True)


def compare(program, before, after):
    """Its JSON and exit code."""
    done = subprocess.run([program, "compare", before, after, "--json"], capture_output=True, text=True)
    if done.returncode not in (0, 1) or not done.stdout:
        sys.exit(f"compare {before} {after} ended with {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)["comparisons"][0], done.returncode


def claims(comparison):
    """Cells with a verdict of faster or slower, as (key, verdict); a group with one has a key of its own."""
    cells = [
        (key_of(change["cell"]), metric["verdict"])
        for change in comparison["cells"]
        for metric in change["metrics"]
        if metric["verdict"] in ("faster", "slower")
    ]
    groups = [
        ((group["model"], group["backend"], json.dumps(group["call"])), group["verdict"])
        for group in comparison["groups"]
        if group["verdict"] in ("faster", "slower")
    ]
    return cells + groups


def key_of(cell):
    return cell["model"], cell["backend"], cell["scenario"]["name"], cell["call"]["mode"], cell["call"]["use_cache"]


def record_key(record):
    return tuple(record[name] for name in ("model", "backend", "scenario", "mode", "use_cache"))


def records(folder):
    with open(Path(folder) / "records.jsonl", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def slowed(folder, target, factor, chosen):
    """A copy of the run folder in which the times of the chosen cells are multiplied."""
    target.mkdir(parents=True)
    shutil.copy(Path(folder) / "manifest.json", target)
    with open(target / "records.jsonl", "w", encoding="utf-8") as out:
        for record in records(folder):
            if record["status"] == "ok" and chosen(record_key(record)):
                record["latency_ms"] *= factor
                record["throughput_tok_s"] /= factor
                if record["ttft_ms"] is not None:
                    record["ttft_ms"] *= factor
                record["token_ms"] = [ms * factor for ms in record["token_ms"]]
            out.write(json.dumps(record) + "\n")
    return target


def plants(folder, rng):
    """What a change is planted in: one cell, one call of one backend, all cells of one backend, all cells."""
    keys = sorted({record_key(record) for record in records(folder)}, key=str)
    cell, call, backend = rng.choice(keys), rng.choice(keys), rng.choice(keys)[1]
    return {
        "one cell": lambda key: key == cell,
        "one call of one backend": lambda key: (key[1], key[3:]) == (call[1], call[3:]),
        "one backend": lambda key: key[1] == backend,
        "all cells": lambda key: True,
    }


def planted(program, pairs, scratch, rng, workers):
    for factor in FACTORS:
        found = {}
        jobs = []
        for number, (before, after) in enumerate(pairs):
            for name, chosen in plants(after, rng).items():
                target = scratch / f"{factor}-{number}-{name.replace(' ', '-')}"
                jobs.append((name, chosen, before, slowed(after, target, factor, chosen)))

        def outcome(job):
            name, chosen, before, after = job
            comparison, code = compare(program, before, after)
            slower = {key for key, verdict in claims(comparison) if verdict == "slower"}
            planted_in = [key for key in map(key_of, (of["cell"] for of in comparison["cells"])) if chosen(key)]
            shutil.rmtree(after)
            return name, sum(key in slower for key in planted_in) / len(planted_in), code == 1

        with ThreadPoolExecutor(workers) as pool:
            for name, share, failed in pool.map(outcome, jobs):
                found.setdefault(name, []).append((share, failed))
        for name, outcomes in found.items():
            rate(f"planted x{factor} in {name}: found", [share > 0 for share, _ in outcomes])
            mean = sum(share for share, _ in outcomes) / len(outcomes)
            print(f"{'':<44} {mean:.1%} of the planted cells", flush=True)


def false_alarms(program, folders, workers):
    disjoint = list(zip(folders[::2], folders[1::2]))
    every = [(a, b) for i, a in enumerate(folders) for b in folders[i + 1 :]]

    def outcome(pair):
        comparison, code = compare(program, *pair)
        return bool(claims(comparison)), code == 1

    with ThreadPoolExecutor(workers) as pool:
        found = dict(zip(every, pool.map(outcome, every)))
    rate("A/A, disjoint pairs: any faster or slower", [found[pair][0] for pair in disjoint])
    rate("A/A, disjoint pairs: exit code 1", [found[pair][1] for pair in disjoint])
    rate("A/A, all pairs: any faster or slower", [alarm for alarm, _ in found.values()])
    rate("A/A, all pairs: exit code 1", [failed for _, failed in found.values()])
    return disjoint


def make_runs(program, config, work, count):
    for number in range(count):
        folder = work / f"run-{number:03}"
        if not (folder / "report.md").exists():
            command = [program, "run", config, "--out", folder]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def synthetic(folder, rng, cv, backends, lognormal, models=1, scenarios=3, repetitions=5):
    """A run folder of independent noise around fixed times."""
    folder.mkdir(parents=True)
    manifest = {"schema": 1, "name": "synthetic", "inferhost": "0", "started_at": "", "planned_runs": 0}
    (folder / "manifest.json").write_text(json.dumps(manifest))

    def time(middle):
        return middle * (math.exp(rng.gauss(0, cv)) if lognormal else max(0.05, rng.gauss(1, cv)))

    with open(folder / "records.jsonl", "w", encoding="utf-8") as out:
        for model in range(models):
            for backend in range(backends):
                for scenario in range(1, scenarios + 1):
                    for mode in ("prefill", "generate"):
                        for repetition in range(repetitions):
                            steps = [time(scenario * 5.0)] + [time(2.0) for _ in range(7)]
                            generates = mode == "generate"
                            latency = sum(steps) * time(1.0) if generates else time(scenario * 5.0)
                            if generates:
                                steps = [ms * latency / sum(steps) for ms in steps]
                            record = {
                                "schema": 1, "cell": f"{model} {backend} {scenario} {mode}", "model": f"m{model}",
                                "backend": f"b{backend}", "scenario": f"s{scenario}", "mode": mode, "batch": 1,
                                "prompt_tokens": 8 * scenario, "new_tokens": 8 if generates else 0,
                                "use_cache": True if generates else None, "round": 0, "repetition": repetition,
                                "status": "ok", "latency_ms": latency, "ttft_ms": steps[0] if generates else None,
                                "token_ms": steps if generates else [], "tokens_processed": 8 * scenario,
                                "throughput_tok_s": 8000 * scenario / latency, "degraded": None, "telemetry": None,
                                "output_digest": "00", "started_at": "", "worker_pid": None,
                            }  # fmt: skip
                            out.write(json.dumps(record) + "\n")
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/inferhost")
    parser.add_argument("--config", help="make runs of this config first")
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--work", type=Path, help="a folder of run folders of one config, in the order they were made")
    parser.add_argument("--synthetic", type=int, metavar="N", help="N comparisons of generated folders instead")
    parser.add_argument("--copies", action="store_true", help="plant in a copy of the first run: no other difference")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        if args.synthetic:
            for lognormal in (False, True):
                for backends in (1, 2):
                    for cv in (0.02, 0.03):
                        kind = "lognormal" if lognormal else "normal"
                        print(f"{kind}, {backends} backends, 5 repetitions, CV {cv:.0%}")
                        base = scratch / f"{kind}-{backends}-{cv}"
                        folders = [
                            synthetic(base / str(number), rng, cv, backends, lognormal)
                            for number in range(2 * args.synthetic)
                        ]
                        pairs = list(zip(folders[::2], folders[1::2]))
                        with ThreadPoolExecutor(args.jobs) as pool:
                            found = list(pool.map(lambda pair: bool(claims(compare(args.program, *pair)[0])), pairs))
                        rate("A/A: any faster or slower", found)
                        planted(args.program, pairs, scratch / "planted", rng, args.jobs)
            return
        if not args.work:
            parser.error("give --work, or --synthetic")
        if args.config:
            make_runs(args.program, args.config, args.work, args.runs)
        folders = [folder for folder in args.work.iterdir() if (folder / "report.md").exists()]
        folders.sort(key=lambda folder: json.loads((folder / "manifest.json").read_text())["started_at"])
        if len(folders) < 2:
            sys.exit(f"{args.work} holds {len(folders)} finished runs; two or more are needed")
        pairs = false_alarms(args.program, folders, args.jobs)
        if args.copies:
            pairs = [(before, before) for before, _ in pairs]
        planted(args.program, pairs, scratch / "planted", rng, args.jobs)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Recomputes the statistics of a run folder's analysis.json from its records.jsonl with SciPy and NumPy.

    python3 -m venv venv && venv/bin/pip install scipy jsonschema
    target/release/inferhost report RUN_DIR
    venv/bin/python scripts/scipy_check.py RUN_DIR

Checked: n, mean, sd and 95% interval of every cell's latency; Wilson's interval of its degraded runs; every comparison's t,
df, p and interval, Cohen's d and Holm's correction; the pooled one-way analysis of variance. With jsonschema installed and
`--inferhost PATH`, the file is also held against `inferhost report --schema`. Ends with 1 where a value is off by more than
1e-9 of itself.
"""

import argparse
import collections
import json
import math
import pathlib
import subprocess
import sys

import numpy as np
from scipy import stats

TOLERANCE = 1e-9

METRICS = {
    "latency_ms": lambda run: run["latency_ms"],
    "throughput_tok_s": lambda run: run["throughput_tok_s"],
    "ttft_ms": lambda run: run["ttft_ms"],
    "tpot_ms": lambda run: (run["latency_ms"] - run["ttft_ms"]) / (len(run["token_ms"]) - 1),
}
# What a run must have for the metric.
HAS = {
    "ttft_ms": lambda run: run["ttft_ms"] is not None,
    "tpot_ms": lambda run: len(run["token_ms"]) > 1 and run["latency_ms"] > run["ttft_ms"],
}


class Checked:
    """Counts values and remembers the largest relative difference."""

    def __init__(self):
        self.values, self.worst, self.off = 0, 0.0, []

    def value(self, found, expected, what):
        if expected is None or not math.isfinite(expected):
            if found is not None:
                self.off.append(f"{what}: {found}, expected none")
            return
        if found is None:
            self.off.append(f"{what}: none, expected {expected}")
            return
        self.values += 1
        difference = abs(found - expected) / max(abs(expected), 1e-300)
        self.worst = max(self.worst, difference)
        if difference > TOLERANCE:
            self.off.append(f"{what}: {found}, expected {expected}")


def key(of, backend=None):
    call = of["call"]
    return (of["model"], backend or of["backend"], of["scenario"]["name"], call["mode"], call["use_cache"])


def ok_runs(folder):
    runs, seen = collections.defaultdict(list), set()
    for line in (folder / "records.jsonl").read_text().splitlines():
        run = json.loads(line)
        repetition = (run["cell"], run["round"], run["repetition"])
        if run["status"] == "ok" and repetition not in seen:
            runs[tuple(run[name] for name in ("model", "backend", "scenario", "mode", "use_cache"))].append(run)
        seen.add(repetition)
    return runs


def cells(analysis, runs, checked):
    for cell in analysis["cells"]:
        latency, found = np.array([run["latency_ms"] for run in runs[key(cell)]]), cell["latency_ms"]
        checked.value(found["n"], len(latency), "n")
        if len(latency):
            checked.value(found["mean"], latency.mean(), "mean")
        if len(latency) > 1 and latency.std() > 0:
            checked.value(found["sd"], latency.std(ddof=1), "sd")
            low, high = stats.t.interval(0.95, len(latency) - 1, latency.mean(), stats.sem(latency))
            checked.value(found["ci95"]["low"], low, "ci95 low")
            checked.value(found["ci95"]["high"], high, "ci95 high")
        rate = cell["degraded_rate"]
        wilson = stats.binomtest(rate["count"], rate["of"]).proportion_ci(method="wilson")
        checked.value(rate["ci95"]["low"], wilson.low, "Wilson low")
        checked.value(rate["ci95"]["high"], wilson.high, "Wilson high")


def comparisons(analysis, runs, checked):
    families = collections.defaultdict(list)
    for found in analysis["comparisons"]:
        metric = METRICS[found["metric"]]
        has = HAS.get(found["metric"], lambda run: True)
        a = [metric(run) for run in runs[key(found)] if has(run)]
        b = [metric(run) for run in runs[key(found, found["baseline"])] if has(run)]
        checked.value(found["n"], len(a), "n of a comparison")
        if found["test"] is None:
            continue
        test = stats.ttest_ind(a, b, equal_var=analysis["test"] == "pooled")
        interval = test.confidence_interval(0.95)
        for name, expected in (("t", test.statistic), ("df", test.df), ("p", test.pvalue)):
            checked.value(found["test"][name], expected, name)
        checked.value(found["test"]["ci95"]["low"], interval.low, "difference low")
        checked.value(found["test"]["ci95"]["high"], interval.high, "difference high")
        pooled = ((len(a) - 1) * np.var(a, ddof=1) + (len(b) - 1) * np.var(b, ddof=1)) / (len(a) + len(b) - 2)
        checked.value(found["effect"]["cohens_d"], (np.mean(a) - np.mean(b)) / math.sqrt(pooled), "d")
        families[found["metric"]].append((test.pvalue, found["p_holm"], found["family"]))
    for family in families.values():
        least = 0.0
        for rank, (p, holm, size) in enumerate(sorted(family)):
            least = max(least, min(1.0, (len(family) - rank) * p))
            checked.value(holm, least, "Holm")
            checked.value(size, len(family), "family")


def variances(analysis, runs, checked):
    for standing in analysis["standings"]:
        call = (standing["call"]["mode"], standing["call"]["use_cache"])
        groups = [
            [run["latency_ms"] for run in of]
            for (model, backend, _, *rest), of in runs.items()
            if (model, backend, tuple(rest)) == (standing["model"], standing["backend"], call)
        ]
        if standing["variance"] is None or standing["variance"]["f"] is None:
            continue
        anova = stats.f_oneway(*groups)
        checked.value(standing["variance"]["f"], anova.statistic, "F")
        checked.value(standing["variance"]["p"], anova.pvalue, "p of F")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run_dir", type=pathlib.Path)
    parser.add_argument("--inferhost", help="the program, to check against its schema")
    args = parser.parse_args()
    analysis = json.loads((args.run_dir / "analysis.json").read_text())
    if args.inferhost:
        import jsonschema

        schema = subprocess.run([args.inferhost, "report", "--schema"], check=True, capture_output=True).stdout
        jsonschema.validate(analysis, json.loads(schema))
    checked, runs = Checked(), ok_runs(args.run_dir)
    cells(analysis, runs, checked)
    comparisons(analysis, runs, checked)
    variances(analysis, runs, checked)
    for line in checked.off[:20]:
        print(line)
    print(f"{checked.values} values, largest relative difference {checked.worst:.1e}, {len(checked.off)} off")
    return 1 if checked.off or not checked.values else 0


if __name__ == "__main__":
    sys.exit(main())

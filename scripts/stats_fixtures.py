#!/usr/bin/env python3
"""Makes tests/stats/scipy.json: what SciPy and NumPy say of varied samples, for host/src/stats to meet.

    python3 -m venv .venv && .venv/bin/pip install scipy==1.17.1 numpy==2.4.6 mpmath==1.3.0
    .venv/bin/python scripts/stats_fixtures.py tests/stats/scipy.json

The same versions give the same file: everything random comes from one seed. What SciPy has no function for (Holm, effect
sizes, the interval of a ratio of means, modified z-scores) is computed here from its definition. Where SciPy itself
keeps fewer than twelve digits (tails of t and F far out or of many degrees of freedom), mpmath computes the value with
40, and SciPy has to agree with it to 1e-6.
"""

import json
import platform
import sys
from pathlib import Path

import mpmath
import numpy as np
import scipy
from scipy import stats

SEED = 20261121
CONFIDENCE = 0.95


def samples(rng):
    """Name and values: what timings look like, and what breaks formulas."""
    made = {}
    for n in (2, 3, 4, 5, 5, 6, 8, 10, 12, 20, 30, 33):
        made[f"latency-{n}-{len(made)}"] = np.round(rng.lognormal(3, 0.25, n), 4)
    made["full-precision-9"] = rng.normal(17.6, 5.2, 9)
    made["full-precision-25"] = rng.gamma(4, 3, 25)
    made["large-120"] = np.round(rng.gamma(6, 2, 120), 3)
    made["untied-60"] = rng.normal(100, 3, 60)
    made["rising-34"] = np.round(50 + 0.2 * np.arange(34) + rng.normal(0, 1, 34), 3)
    made["falling-15"] = np.round(80 - 1.5 * np.arange(15) + rng.normal(0, 4, 15), 2)
    made["sorted-8"] = np.sort(np.round(rng.uniform(1, 9, 8), 2))
    made["one-inversion-40"] = np.r_[np.arange(1.0, 21), 22, 21, np.arange(23.0, 41)]
    made["ties-7"] = np.array([1.0, 2, 2, 3, 3, 3, 4])
    made["ties-20"] = np.round(rng.normal(5, 1.5, 20))
    made["ties-50"] = np.round(rng.normal(5, 1.5, 50))
    made["two-levels-12"] = rng.integers(0, 2, 12) + 1.0
    made["mostly-same-9"] = np.array([4.0] * 7 + [4.5, 9])
    made["constant-5"] = np.full(5, 0.1)
    made["constant-2"] = np.full(2, 1e12)
    made["outliers-14"] = np.r_[np.round(rng.normal(20, 0.5, 12), 3), 44.5, 3.25]
    made["slow-first-10"] = np.r_[95.5, np.round(rng.normal(12, 0.3, 9), 3)]
    made["tiny-6"] = np.round(rng.uniform(1, 9, 6), 3) * 1e-70
    made["huge-7"] = np.round(rng.uniform(1, 9, 7), 3) * 1e70
    made["seconds-11"] = np.round(rng.uniform(2e-6, 9e-6, 11), 10)
    made["tokens-13"] = np.round(rng.uniform(2e5, 9e5, 13))
    made["far-from-zero-10"] = 1e6 + np.round(rng.normal(0, 0.01, 10), 4)
    made["negative-8"] = np.round(rng.normal(-30, 4, 8), 3)
    made["both-signs-9"] = np.round(rng.normal(0, 2, 9), 3)
    made["wide-8"] = np.round(rng.lognormal(0, 4, 8), 6)
    made["narrow-10"] = np.round(rng.normal(10, 1e-4, 10), 7)
    made["noisy-4"] = np.round(rng.normal(10, 6, 4), 3)
    return made


def interval(middle, half):
    return [middle - half, middle + half]


def summary(x):
    n, mean, sd = len(x), x.mean(), x.std(ddof=1)
    if (x == x[0]).all():
        mean, sd = x[0], 0.0
    half = stats.t.ppf(0.5 + CONFIDENCE / 2, n - 1) * sd / np.sqrt(n)
    return {
        "mean": mean, "sd": sd, "cv": sd / abs(mean), "ci95": interval(mean, half),
        "quantiles": np.quantile(x, [0.5, 0.9, 0.99]).tolist(),
        "geometric_mean": stats.gmean(x) if (x > 0).all() else None,
    }


def scores(x):
    away = x - np.median(x)
    mad = stats.median_abs_deviation(x, scale="normal")
    if mad == 0:
        mad = np.sqrt(np.pi / 2) * np.abs(away).mean()
    return (away / mad if mad > 0 else np.zeros(len(x))).tolist()


def trend(x):
    if (x == x[0]).all():
        return None
    order = np.arange(len(x))
    tau = stats.kendalltau(order, x)
    exact = len(set(x)) == len(x) and (len(x) <= 33 or tau.statistic > 0.99)
    p = stats.kendalltau(order, x, method="exact" if exact else "asymptotic").pvalue
    assert p == tau.pvalue
    return {
        "tau": tau.statistic, "p": p, "method": "exact" if exact else "normal", "slope": stats.theilslopes(x).slope,
    }


def t_test(a, b, equal_var):
    found = stats.ttest_ind(a, b, equal_var=equal_var)
    p = t_tail(found.statistic, found.df)
    assert abs(p / found.pvalue - 1) < 1e-6
    ci = found.confidence_interval(CONFIDENCE)
    return {
        "difference": a.mean() - b.mean(), "t": found.statistic, "df": found.df, "p": p, "ci95": [ci.low, ci.high],
    }


def effect(a, b):
    df = len(a) + len(b) - 2
    pooled = np.sqrt(((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / df)
    d = (a.mean() - b.mean()) / pooled
    half = mpmath.mpf(df) / 2
    correction = float(mpmath.gamma(half) / (mpmath.sqrt(half) * mpmath.gamma(half - 0.5)))
    return {"cohens_d": d, "hedges_g": d * correction}


def ratio(a, b):
    if a.mean() <= 0 or b.mean() <= 0:
        return None
    va, vb = ((x.std(ddof=1) / x.mean()) ** 2 / len(x) for x in (a, b))
    df = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    factor = np.exp(stats.t.ppf(0.5 + CONFIDENCE / 2, df) * np.sqrt(va + vb))
    value = a.mean() / b.mean()
    return {"ratio": value, "ci95": [value / factor, value * factor]}


def pair(a, b):
    return {
        "welch": t_test(a, b, False), "pooled": t_test(a, b, True), "effect": effect(a, b), "ratio": ratio(a, b),
    }


def holm(p):
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(np.minimum((len(p) - np.arange(len(p))) * np.array(p)[order], 1))
    adjusted = np.empty(len(p))
    adjusted[order] = steps
    return adjusted.tolist()


def beta_tail(a, b, x):
    """I_x(a, b) with 40 digits, as x^a (1-x)^b / (a B(a, b)) x 2F1(a + b, 1; a + 1; x)."""
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_tail(b, a, 1 - x)
    log = a * mpmath.log(x) + b * mpmath.log(1 - x) + mpmath.loggamma(a + b) - mpmath.loggamma(a) - mpmath.loggamma(b)
    return mpmath.exp(log) / a * mpmath.hyp2f1(a + b, 1, a + 1, x)


def t_tail(t, df):
    if t == 0:
        return 1.0
    t, df = mpmath.mpf(float(t)), mpmath.mpf(float(df))
    return float(beta_tail(df / 2, mpmath.mpf(0.5), df / (df + t * t)))


def f_tail(f, between, within):
    f, between, within = (mpmath.mpf(float(value)) for value in (f, between, within))
    return float(beta_tail(within / 2, between / 2, within / (within + between * f)))


def t_tails():
    rows = []
    for df in (0.7, 1, 1.3, 2, 4.5, 9, 29, 58.25, 150, 1e3, 31415.9, 1e6):
        for t in (1e-6, 0.3, 1, 1.96, 4, 12, 37, 1e4, 1e60):
            p = t_tail(t, df)
            if p >= 1e-300:
                assert abs(2 * stats.t.sf(t, df) / p - 1) < 1e-6, (t, df, p)
                rows.append({"t": t, "df": df, "p": p})
    return rows


def t_criticals():
    return [
        {"confidence": confidence, "df": df, "t": stats.t.ppf(0.5 + confidence / 2, df)}
        for df in (0.7, 1, 1.5, 2, 3, 5.75, 10, 29, 100, 1e4, 1e6)
        for confidence in (0.5, 0.9, 0.95, 0.99)
    ]


def f_tails():
    rows = []
    for between, within in ((1, 1), (1, 8), (2, 3), (5, 24), (5, 1e3), (39, 7), (200, 1e4)):
        for f in (1e-4, 0.4, 1, 1.7, 6, 40, 1e4):
            p = f_tail(f, between, within)
            if p >= 1e-300:
                assert abs(stats.f.sf(f, between, within) / p - 1) < 1e-6, (f, between, within, p)
                rows.append({"f": f, "between": between, "within": within, "p": p})
    return rows


def line(x, y):
    found = stats.linregress(x, y)
    return {
        "x": x.tolist(), "y": y.tolist(), "slope": found.slope, "intercept": found.intercept,
        "slope_se": found.stderr, "intercept_se": found.intercept_stderr, "r_squared": found.rvalue**2,
        "p": t_tail(found.slope / found.stderr, len(x) - 2),
    }


def lines(rng):
    made = []
    for n, slope, noise in ((3, 1, 0.4), (4, -2, 1), (6, 0.1, 2), (9, -0.5, 0.4), (15, 3, 5), (30, 0, 1), (12, 1e3, 900)):
        x = np.round(rng.uniform(0, 20, n), 3)
        made.append(line(x, np.round(7 + slope * x + rng.normal(0, noise, n), 4)))
    x = np.round(np.log([1e5, 5e6, 1.1e7, 2.5e7, 4.5e7, 5.1e7, 7.5e7, 9.6e7, 1.2e8]), 6)
    made.append(line(x, np.round(9 - x / 2 + rng.normal(0, 0.3, 9), 5)))
    x = np.round(rng.uniform(0, 1, 10), 3)
    made.append(line(x + 4096, x * 2 + np.round(rng.normal(0, 0.2, 10), 3)))
    return made


def anova(made):
    rows = []
    for names in (
        ["latency-5-3", "latency-5-4"],
        ["latency-2-0", "latency-3-1", "latency-8-6", "latency-30-10"],
        ["ties-7", "ties-20", "ties-50", "both-signs-9"],
        ["full-precision-9", "full-precision-25", "noisy-4", "falling-15"],
        ["slow-first-10", "outliers-14", "rising-34", "untied-60", "large-120"],
    ):
        groups = [made[name] for name in names]
        f = stats.f_oneway(*groups)
        n, k = sum(map(len, groups)), len(groups)
        p = f_tail(f.statistic, k - 1, n - k)
        assert abs(p / f.pvalue - 1) < 1e-6
        within = sum(((g - g.mean()) ** 2).sum() for g in groups)
        total = ((np.concatenate(groups) - np.concatenate(groups).mean()) ** 2).sum()
        size = (n - sum(len(g) ** 2 for g in groups) / n) / (k - 1)
        between_variance = max(0, ((total - within) / (k - 1) - within / (n - k)) / size)
        rows.append({
            "groups": names, "f": f.statistic, "p": p, "eta_squared": 1 - within / total,
            "within_variance": within / (n - k), "between_variance": between_variance,
        })
    return rows


def wilson():
    cases = ((0, 1), (1, 1), (0, 10), (1, 10), (3, 30), (15, 30), (29, 30), (60, 60), (7, 2000), (999_999, 1_000_000))
    found = [(k, n, stats.binomtest(k, n).proportion_ci(method="wilson")) for k, n in cases]
    return [{"hits": k, "total": n, "ci95": [ci.low, ci.high]} for k, n, ci in found]


def pairs(made, rng):
    varied = [name for name, x in made.items() if (x != x[0]).any() and not name.startswith(("tiny", "huge", "far"))]
    names = [tuple(rng.choice(varied, 2, replace=False)) for _ in range(26)]
    names += [("tiny-6", "tiny-6"), ("constant-5", "latency-5-3"), ("far-from-zero-10", "far-from-zero-10")]
    rows = []
    for a, b in names:
        other = made[b] * 1.5 if a == b else made[b]
        rows.append({"a": str(a), "b": str(b), "factor": 1.5 if a == b else 1.0, **pair(made[a], other)})
    return rows


def main(path):
    rng = np.random.default_rng(SEED)
    mpmath.mp.dps = 40
    made = samples(rng)
    p = np.round(10 ** rng.uniform(-6, 0, 12), 9).tolist()
    result = {
        "made_with": {
            "python": platform.python_version(), "scipy": scipy.__version__,
            "numpy": np.__version__, "mpmath": mpmath.__version__, "seed": SEED,
        },
        "samples": [
            {"name": name, "values": x.tolist(), **summary(x), "scores": scores(x), "trend": trend(x)}
            for name, x in made.items()
        ],
        "pairs": pairs(made, rng),
        "holm": [
            {"p": row, "adjusted": holm(row)}
            for row in (p, p[:1], [0.02, 0.02, 0.02], [1.0, 0.6, 0.5], [0.01, 0.04, 0.03, 0.005])
        ],
        "wilson": wilson(),
        "t_tails": t_tails(),
        "t_criticals": t_criticals(),
        "f_tails": f_tails(),
        "lines": lines(rng),
        "anova": anova(made),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    body = ",\n".join(
        f'"{key}": ' + (
            "[\n" + ",\n".join(json.dumps(row, allow_nan=False) for row in rows) + "\n]"
            if isinstance(rows, list) else json.dumps(rows)
        )
        for key, rows in result.items()
    )
    path.write_text("{\n" + body + "\n}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "tests/stats/scipy.json"))

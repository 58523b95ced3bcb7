"""Shows that all sides compute the same before any is timed."""

import math

from . import work

# Root mean square of a side's error in its logits, relative to the spread of the exact logits. llama.cpp keeps keys
# and values in 16 bits by default; torch's weight-only backends compute in BF16.
LIMITS = {
    "ort-fp32": 1e-4, "torch-fp32": 1e-4, "transformers FP32": 1e-4, "transformers compiled FP32": 1e-4,
    "optimum FP32": 1e-4, "llama.cpp F32": 5e-3,
    "torch-bf16": 0.05, "transformers BF16": 0.05, "transformers compiled BF16": 0.05,
    "llama.cpp Q8_0": 0.03, "ort-int8-weight": 0.05, "torch-int8-weight": 0.05,
    "ort-int8-dynamic": 0.2, "torch-int8-dynamic": 0.2, "optimum INT8": 0.2,
    "ort-int4-weight": 0.4, "torch-int4-weight": 0.4,
}  # fmt: skip
NEW_TOKENS = 8


def prompt():
    """Rows of token ids spread over the vocabulary; no generator, so that every Python makes the same. The shape of
    the prefill that is timed, so that what was compiled for one serves the other."""
    rows, tokens = work.BATCH.rows, work.BATCH.tokens
    return [[(7919 * (row * tokens + column) + 13) % 50257 for column in range(tokens)] for row in range(rows)]


def error(logits, exact):
    """The largest row's root mean square error, relative to the exact row's standard deviation."""
    worst = 0.0
    for row, exact_row in zip(logits, exact, strict=True):
        mean = math.fsum(exact_row) / len(exact_row)
        off = math.fsum((a - b) ** 2 for a, b in zip(row, exact_row, strict=True))
        worst = max(worst, math.sqrt(off / math.fsum((b - mean) ** 2 for b in exact_row)))
    return worst


def check(name, found, exact):
    """The side's error and how many greedy tokens agree, or an end to the program."""
    off = error(found["logits"], exact["logits"])
    pairs = [pair for row in zip(found["tokens"], exact["tokens"], strict=True) for pair in zip(*row, strict=True)]
    same = sum(a == b for a, b in pairs)
    print(f"  {name:<26} logits off by {off:.1e} of their spread (limit {LIMITS[name]:g}), "
          f"{same} of {len(pairs)} greedy tokens the same", flush=True)  # fmt: skip
    if not off <= LIMITS[name]:
        raise SystemExit(f"peers.py: {name} does not compute what the others do; nothing was timed")
    return {"error": off, "limit": LIMITS[name], "tokens_same": same, "tokens": len(pairs)}

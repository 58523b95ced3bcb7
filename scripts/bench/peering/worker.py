"""One peer in one process: `python worker.py KIND FILE THREADS [OPTION]`, requests as JSON lines in, answers out.

A side has `start(ids)`, a prompt of rows x tokens from an empty past, and `step(tokens)`, one more token a row; both
return the last position's logits, rows x vocabulary, in host memory. Where it compiles, it also has `settle()`, after
which it must not.
"""

import importlib
import json
import os
import sys
import time

import numpy as np

VOCABULARY = 50257


def prompt(rows, tokens):
    return np.random.default_rng(rows * 1000 + tokens).integers(0, VOCABULARY, (rows, tokens), dtype=np.int64)


def prefill(side, rows, tokens, warmups, calls):
    """Seconds of each call."""
    ids, seconds = prompt(rows, tokens), []
    for _ in range(warmups + calls):
        start = time.perf_counter()
        side.start(ids)
        seconds.append(time.perf_counter() - start)
    return seconds[warmups:]


def generate(side, rows, tokens, new, warmups, calls):
    """Seconds of each call from its first token to its last."""
    ids, seconds = prompt(rows, tokens), []
    for _ in range(warmups + calls):
        chosen = side.start(ids).argmax(-1)
        start = time.perf_counter()
        for _ in range(new - 1):
            chosen = side.step(chosen).argmax(-1)
        seconds.append(time.perf_counter() - start)
    return seconds[warmups:]


def greedy(side, ids, new):
    """The prompt's logits and the `new` tokens after it, row by row."""
    logits = side.start(np.array(ids, dtype=np.int64)).copy()
    tokens = [logits.argmax(-1)]
    for _ in range(new - 1):
        tokens.append(side.step(tokens[-1]).argmax(-1).copy())
    return {"logits": logits.tolist(), "tokens": np.stack(tokens, 1).tolist()}


def settle(side):
    """Every shape that will be measured was run."""
    if hasattr(side, "settle"):
        side.settle()


def main():
    kind, file, threads, options = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
    # Libraries print to stdout; answers have a channel of their own.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    side = importlib.import_module(f"side_{kind}").open_side(file, threads, *options)
    print(json.dumps({"version": side.version}), file=answers)
    for line in sys.stdin:
        request = json.loads(line)
        calls = {"prefill": prefill, "generate": generate, "greedy": greedy, "settle": settle}
        call = calls[request.pop("call")]
        print(json.dumps(call(side, **request)), file=answers)


if __name__ == "__main__":
    main()

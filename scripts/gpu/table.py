"""A run folder in a few lines: decode of each backend on each model, and its share of the memory floor.

    python3 table.py RUN_FOLDER [--bandwidth bandwidth.json]

Decode is generation with a cache in the smallest batch: of its scenarios the median of the median times per token. The floor
is the time that reading the weights once takes: their bytes, as the session reports them, over the rate of a copy."""

import argparse
import csv
import json
import pathlib
import statistics
import sys

HEAD = ("model", "backend", "decode ms/token", "tok/s", "memory floor", "degraded", "why", "accuracy")


def rows(folder):
    path = folder / "summary.csv"
    try:
        with open(path, newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise SystemExit(f"table.py: {path}: {error.strerror}; name a run folder with a report (inferhost report)") from error


def groups(cells):
    """The cells of each backend on each model, in the order of the file."""
    found = {}
    for cell in cells:
        found.setdefault((cell["model"], cell["backend"]), []).append(cell)
    return found


def decode(cells):
    """Milliseconds a token, rows of the batch and bytes of the weights; none where nothing was decoded."""
    cached = [cell for cell in cells if cell["mode"] == "generate" and cell["use_cache"] == "true" and cell["tpot_median_ms"]]
    if not cached:
        return None
    batch = min(int(cell["batch"]) for cell in cached)
    smallest = [cell for cell in cached if int(cell["batch"]) == batch]
    milliseconds = statistics.median(float(cell["tpot_median_ms"]) for cell in smallest)
    return milliseconds, batch, float(smallest[0]["model_bytes"] or 0)


def line(model, backend, cells, bytes_per_s):
    planned, degraded = (sum(int(cell[key]) for cell in cells) for key in ("recorded", "degraded"))
    kinds = sorted({kind.split(":")[0].split(" ")[0] for cell in cells if (kind := cell["degraded_kinds"])})
    verdicts = sorted({cell["accuracy"] for cell in cells if cell.get("accuracy")})
    figures = ["-"] * 3
    if found := decode(cells):
        milliseconds, batch, weights = found
        figures = [f"{milliseconds:.4g}", f"{batch * 1e3 / milliseconds:,.0f}", "-"]
        if bytes_per_s and weights:
            figures[2] = f"{weights / bytes_per_s * 1e3 / milliseconds:.1%}"
    return [model, backend, *figures, f"{degraded} of {planned}", ", ".join(kinds), ", ".join(verdicts)]


def table(folder, bandwidth=None):
    """The lines, and what the floor was measured with."""
    lines = [line(*key, cells, bandwidth and bandwidth["bytes_per_s"]) for key, cells in groups(rows(folder)).items()]
    used = [column for column in range(len(HEAD)) if column < 6 or any(one[column] for one in lines)]
    lines = [[one[column] for column in used] for one in [list(HEAD), *lines]]
    widths = [max(map(len, column)) for column in zip(*lines)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(one, widths)).rstrip() for one in lines]
    if bandwidth:
        speed = bandwidth["bytes_per_s"] / 1e9
        text.append(f"memory floor: weight bytes over {speed:,.0f} GB/s (a copy on {bandwidth['device']}), over the time of a token")
    return "\n".join(text)


def main():
    parser = argparse.ArgumentParser(prog="table.py")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--bandwidth", type=pathlib.Path)
    args = parser.parse_args()
    try:
        bandwidth = json.loads(args.bandwidth.read_text()) if args.bandwidth else None
    except (OSError, ValueError) as error:
        sys.exit(f"table.py: {args.bandwidth}: {error}; write it with bandwidth.py --json")
    print(table(args.folder, bandwidth))


if __name__ == "__main__":
    main()

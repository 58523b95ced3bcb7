"""Prints what was found, as tables."""


def table(title, header, rows):
    """A title and columns as wide as they need; all but the first are on the right."""
    cells = [header, *rows]
    widths = [max(len(str(row[column])) for row in cells) for column in range(len(header))]
    print(f"\n{title}")
    for row in cells:
        first = str(row[0]).ljust(widths[0])
        rest = "  ".join(str(value).rjust(width) for value, width in zip(row[1:], widths[1:]))
        print(f"  {first}  {rest}".rstrip())


def figure(value):
    """Three digits that mean something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def spread(found):
    return f"{figure(found['median'])} ({figure(found['min'])}–{figure(found['max'])})"


def verdict(met):
    return "" if met is None else "met" if met else "NOT MET"


def rates(found, tasks):
    rows = [
        [side, *(spread(by_task[task.name]) if task.name in by_task else "–" for task in tasks)]
        for side, by_task in found.items()
    ]
    table("tok/s: median of the rounds (least–most)", ["", *(task.name for task in tasks)], rows)


def ratio(found):
    """A ratio's columns."""
    target = f"≥ {found['at_least']:g}" if found["at_least"] else ""
    if found["median"] is None:
        return ["–", "", target, "not measured"]
    return [f"{found['median']:.2f}x", f"{found['min']:.2f}–{found['max']:.2f}", target, verdict(found["met"])]


def ratios(found):
    rows = [[f"{row['task']}, {row['backend']} over {row['against']}", *ratio(row)] for row in found]
    table("ratios: median of the rounds' own ratios, least–most", ["", "ratio", "spread", "target", ""], rows)


def shares(found):
    rows = [
        [
            backend,
            f"{row['weight_bytes'] / 1e6:.1f} MB",
            f"{row['speed']['median'] / 1e9:.1f} GB/s",
            f"{row['floor_tok_s']['median']:.1f}",
            f"{row['tok_s']['median']:.1f}",
            f"{row['share']['median']:.0%} ({row['share']['min']:.0%}–{row['share']['max']:.0%})",
        ]
        for backend, row in found.items()
    ]
    title = "decode of one row against the memory floor: matrices read once a token, at the speed of reading as many bytes"
    table(title, ["", "matrices", "memory", "floor tok/s", "tok/s", "of the floor"], rows)


def steps(found, peak):
    rows = [
        [
            f"{row['backend']}, {row['task']}",
            f"{row['tok_s']:.1f}",
            f"{row['row_tok_s']:.1f}",
            f"{row['step_ms']:.2f} ms",
            f"{row['memory_ms']:.2f} ms",
            f"{row['arithmetic_ms']:.2f} ms",
            f"{row['floor_ms'] / row['step_ms']:.0%}",
            "FASTER THAN ITS FLOOR" if row["impossible"] else "",
        ]
        for row in found
    ]
    header = ["", "tok/s", "a row", "step", "memory allows", "arithmetic allows", "of the floor", ""]
    title = (
        "decode steps of more rows and of a long past, against what the machine allows: matrices and past read once, "
        f"products at {peak['fp32'] / 1e9:,.0f} Gflop/s in FP32 and {peak['int8'] / 1e9:,.0f} in INT8"
    )
    table(title, header, rows)


def prepared(found):
    rows = [
        [
            row["what"],
            f"{row['seconds']['median']:.2f} s ({row['seconds']['min']:.2f}–{row['seconds']['max']:.2f})",
            f"< {row['seconds_below']:g} s",
            verdict(row["seconds_met"]),
            f"{row['peak_bytes'] / 1e9:.2f} GB",
            f"< {row['bytes_below'] / 1e9:g} GB",
            verdict(row["bytes_met"]),
        ]
        for row in found
    ]
    table("prepare, from an empty cache", ["", "time", "target", "", "peak memory", "target", ""], rows)

"""Decode steps of more rows and of a long past, beside what memory and arithmetic allow."""

import functools

from . import floor, work

BACKENDS = ["ort-fp32", "ort-int8-dynamic"]
WARMUPS, CALLS = {"generate": 1}, {"generate": 2}


def measure(host, model, sizes, memory, peak):
    """A row for every backend and task."""
    shape = floor.Shape.of(model)
    rows = []
    for backend in BACKENDS:
        matrices = peak["fp32" if backend == "ort-fp32" else "int8"]
        for task in work.STEPS:
            measure = functools.partial(host.measure, model, backend, [task], WARMUPS, CALLS)
            seconds, speed = memory.around(sizes[backend], measure)
            taken = seconds[task.name] / (task.new - 1)
            least = floor.of_step(sizes[backend], shape, task, speed, matrices, peak["fp32"])
            rows.append({
                "backend": backend, "task": task.name, "tok_s": task.rows / taken, "row_tok_s": 1 / taken,
                "step_ms": taken * 1e3, "memory_ms": least["memory"] * 1e3,
                "arithmetic_ms": least["arithmetic"] * 1e3, "floor_ms": least["floor"] * 1e3,
                "impossible": taken < least["floor"] * floor.TOLERANCE,
            })  # fmt: skip
    return rows

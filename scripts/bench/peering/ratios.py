"""Which of our figures is held against which of theirs, and what the project asks of it."""

import dataclasses

from . import machine, work

INT8 = ["ort-int8-dynamic", "ort-int8-weight"]


@dataclasses.dataclass(frozen=True)
class Question:
    """Our rate over theirs, round by round. Of several backends of ours the best is taken and named."""

    ours: list
    task: object
    peer: str
    at_least: float | None = None
    # Where the peer does not take the same shape.
    peer_task: object = None


QUESTIONS = [
    Question(["ort-fp32"], work.DECODE, "llama.cpp F32", 1.0),
    Question(["ort-fp32"], work.DECODE, "optimum FP32", 1.1),
    Question(["ort-fp32"], work.DECODE, "transformers FP32"),
    Question(INT8, work.DECODE, "llama.cpp Q8_0", 1.2),
    Question(INT8, work.DECODE, "optimum INT8"),
    Question(["ort-int4-weight"], work.DECODE, "llama.cpp Q8_0"),
    Question(["ort-fp32"], work.SHORT, "llama.cpp F32"),
    Question(["ort-fp32"], work.SHORT, "optimum FP32"),
    Question(["ort-fp32"], work.SHORT, "transformers FP32"),
    Question(INT8, work.SHORT, "llama.cpp Q8_0"),
    Question(INT8, work.SHORT, "optimum INT8"),
    Question(["ort-fp32"], work.LONG, "llama.cpp F32"),
    Question(["ort-fp32"], work.LONG, "optimum FP32"),
    Question(["ort-fp32"], work.LONG, "transformers FP32"),
    Question(INT8, work.LONG, "llama.cpp Q8_0", 3.3),
    Question(INT8, work.LONG, "optimum INT8"),
    Question(["ort-fp32"], work.BATCH, "optimum FP32", 1.15),
    Question(["ort-fp32"], work.BATCH, "transformers FP32"),
    # As many tokens, in one row.
    Question(["ort-fp32"], work.BATCH, "llama.cpp F32", None, work.LONG),
]


def answer(question, rounds):
    """The ratio's spread over the rounds, of the best of our backends."""
    best = None
    for backend in question.ours:
        ratios = []
        for seconds in rounds:
            theirs = question.peer_task or question.task
            ratios.append(
                question.task.rate(seconds[backend][question.task.name])
                / theirs.rate(seconds[question.peer][theirs.name])
            )
        found = {"backend": backend, "peer": question.peer, "task": question.task.name} | machine.spread(ratios)
        if best is None or found["median"] > best["median"]:
            best = found
    best["at_least"] = question.at_least
    best["met"] = None if question.at_least is None else best["median"] >= question.at_least
    return best


def rates(rounds):
    """Tokens per second of every side and task, with their spread."""
    tasks = {task.name: task for task in work.WORK}
    return {
        side: {
            name: machine.spread([tasks[name].rate(seconds[side][name]) for seconds in rounds])
            for name in rounds[0][side]
        }
        for side in rounds[0]
    }

"""Which of our figures is held against which of theirs, and what the project asks of it."""

import dataclasses

from . import machine, ours, work

INT8 = ["ort-int8-dynamic", "ort-int8-weight"]
EAGER, COMPILED, COMPILED_BF16 = "transformers FP32", "transformers compiled FP32", "transformers compiled BF16"


@dataclasses.dataclass(frozen=True)
class Question:
    """Our rate over that of a peer, or of another backend of ours, round by round. Of several backends of ours the
    best is taken and named."""

    ours: list
    task: object
    against: str
    at_least: float | None = None
    # Where the other does not take the same shape.
    against_task: object = None

    @property
    def sides(self):
        return [*self.ours, self.against]

    @property
    def tasks(self):
        return [self.task, self.against_task or self.task]


QUESTIONS = [
    Question(["ort-fp32"], work.DECODE, "llama.cpp F32", 1.0),
    Question(["ort-fp32"], work.DECODE, "optimum FP32", 1.1),
    Question(["ort-fp32"], work.DECODE, EAGER),
    Question(INT8, work.DECODE, "llama.cpp Q8_0", 1.2),
    Question(INT8, work.DECODE, "optimum INT8"),
    Question(["ort-int4-weight"], work.DECODE, "llama.cpp Q8_0"),
    Question(["ort-fp32"], work.SHORT, "llama.cpp F32"),
    Question(["ort-fp32"], work.SHORT, "optimum FP32"),
    Question(["ort-fp32"], work.SHORT, EAGER),
    Question(INT8, work.SHORT, "llama.cpp Q8_0"),
    Question(INT8, work.SHORT, "optimum INT8"),
    Question(["ort-fp32"], work.LONG, "llama.cpp F32"),
    Question(["ort-fp32"], work.LONG, "optimum FP32"),
    Question(["ort-fp32"], work.LONG, EAGER),
    Question(INT8, work.LONG, "llama.cpp Q8_0", 3.3),
    Question(INT8, work.LONG, "optimum INT8"),
    Question(["ort-fp32"], work.BATCH, "optimum FP32", 1.15),
    Question(["ort-fp32"], work.BATCH, EAGER),
    # As many tokens, in one row.
    Question(["ort-fp32"], work.BATCH, "llama.cpp F32", None, work.LONG),
    Question(["torch-fp32"], work.BATCH, EAGER, 2.5),
    Question(["torch-fp32"], work.BATCH, COMPILED, 1.1),
    Question(["torch-fp32"], work.BATCH, "optimum FP32", 1.2),
    Question(["torch-fp32"], work.BATCH, "ort-fp32"),
    Question(["torch-fp32"], work.DECODE, EAGER, 2.3),
    Question(["torch-fp32"], work.DECODE, COMPILED, 1.1),
    Question(["torch-fp32"], work.DECODE, "ort-fp32"),
    Question(["torch-bf16"], work.BATCH, "torch-fp32", 1.5),
    Question(["torch-bf16"], work.BATCH, COMPILED_BF16, 1.1),
    Question(["torch-bf16"], work.BATCH, "transformers BF16"),
    Question(["torch-bf16"], work.DECODE, COMPILED_BF16, 1.1),
    Question(["torch-bf16"], work.DECODE, "transformers BF16"),
    Question(["torch-int8-weight"], work.DECODE, "torch-fp32", 2.0),
    # BF16 is the best that transformers has to set against 8 bits.
    Question(["torch-int8-weight"], work.DECODE, COMPILED_BF16, 1.1),
    Question(["torch-int8-weight"], work.DECODE, COMPILED, 1.1),
    Question(["torch-int8-dynamic"], work.BATCH, "torch-fp32"),
    Question(["torch-int8-dynamic"], work.DECODE, "torch-fp32"),
    Question(["torch-int4-weight"], work.DECODE, "torch-fp32"),
]


def about(plugin):
    """The questions about one plugin's backends; all of them where none is named."""
    return [q for q in QUESTIONS if plugin is None or any(ours.BACKENDS[name].plugin == plugin for name in q.ours)]


def asked(questions):
    """The sides and the tasks that the questions are about."""
    sides = {side for question in questions for side in question.sides}
    tasks = {task for question in questions for task in question.tasks}
    return sides, [task for task in work.WORK if task in tasks]


def answer(question, rounds):
    """The ratio's spread over the rounds, of the best of our backends; no ratio where the other was not measured."""
    task, theirs = question.tasks
    about = {"backend": question.ours[0], "against": question.against, "task": task.name, "at_least": question.at_least}
    if question.against not in rounds[0]:
        return about | {"median": None, "met": None}
    spreads = {
        backend: machine.spread([
            task.rate(seconds[backend][task.name]) / theirs.rate(seconds[question.against][theirs.name])
            for seconds in rounds
        ])
        for backend in question.ours
    }  # fmt: skip
    best = max(spreads, key=lambda backend: spreads[backend]["median"])
    met = None if question.at_least is None else spreads[best]["median"] >= question.at_least
    return about | {"backend": best} | spreads[best] | {"met": met}


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

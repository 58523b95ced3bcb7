"""What memory and arithmetic allow a decode step."""

import dataclasses

# A step measured this much under its floor says that the floor, or the step, was measured wrong.
TOLERANCE = 0.95


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes of a GPT-2."""

    layers: int
    embd: int
    vocabulary: int

    @property
    def weights(self):
        """Of the matrices that a step multiplies with: four of every layer, 12 embd² together, and the last."""
        return self.layers * 12 * self.embd**2 + self.vocabulary * self.embd

    def past_bytes(self, rows, tokens):
        """Of keys and values in 32 bits."""
        return 2 * 4 * self.layers * self.embd * rows * tokens

    def attention_operations(self, rows, tokens):
        """Multiplications and additions of one step's scores and weighted sums."""
        return 4 * self.layers * self.embd * rows * tokens


def weight_bytes(artifact):
    """Bytes of the matrices that a step reads, each once."""
    return sum(artifact["coverage"]["weight_bytes"].values())


def of_step(artifact, shape, task, speed, matrices, attention):
    """The least seconds of a step of `task`: bytes at `speed`, operations at the peaks of `matrices` and `attention`."""
    past = task.tokens + task.new // 2
    memory = (weight_bytes(artifact) + shape.past_bytes(task.rows, past)) / speed
    arithmetic = 2 * shape.weights * task.rows / matrices
    arithmetic += shape.attention_operations(task.rows, past) / attention
    return {"memory": memory, "arithmetic": arithmetic, "floor": max(memory, arithmetic)}

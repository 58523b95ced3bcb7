"""What memory and arithmetic allow a decode step."""

import dataclasses
import json

# A step measured this much under its floor says that the floor, or the step, was measured wrong.
TOLERANCE = 0.95
# As plugins name what weights are kept in. Scales are left out, as they are in an artifact's account.
BITS = {"f64": 64, "f32": 32, "bf16": 16, "f16": 16, "int8": 8, "int4": 4}


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes of a GPT-2."""

    layers: int
    embd: int
    vocabulary: int

    @classmethod
    def of(cls, model):
        config = json.loads((model / "config.json").read_text())
        return cls(config["n_layer"], config["n_embd"], config["vocab_size"])

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


def stored_bytes(shape, kept):
    """Bytes of the matrices where `kept` tells the shares, as "31.2% bf16, 68.8% int4"."""
    shares = (part.split("% ") for part in kept.split(", "))
    return round(sum(float(share) / 100 * shape.weights * BITS[precision] / 8 for share, precision in shares))


def of_step(size, shape, task, speed, matrices, attention):
    """The least seconds of a step of `task` with matrices of `size` bytes: bytes at `speed`, operations at the peaks of
    `matrices` and `attention`."""
    past = task.tokens + task.new // 2
    memory = (size + shape.past_bytes(task.rows, past)) / speed
    arithmetic = 2 * shape.weights * task.rows / matrices
    arithmetic += shape.attention_operations(task.rows, past) / attention
    return {"memory": memory, "arithmetic": arithmetic, "floor": max(memory, arithmetic)}

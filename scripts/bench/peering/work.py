"""What every side is asked to do; the same for ours and theirs."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Prefill:
    """A prompt of `rows` x `tokens`, until the last position's logits are in host memory."""

    rows: int
    tokens: int

    @property
    def name(self):
        return f"prefill {self.rows}x{self.tokens}"

    def rate(self, seconds):
        """Tokens per second."""
        return self.rows * self.tokens / seconds


@dataclasses.dataclass(frozen=True)
class Decode:
    """`new` greedy tokens after a prompt of `rows` x `tokens`, with past keys and values kept."""

    rows: int
    tokens: int
    new: int

    @property
    def name(self):
        return f"decode {self.rows}x{self.tokens}+{self.new}"

    def rate(self, seconds):
        """Tokens per second, of the seconds between the first token and the last."""
        return self.rows * (self.new - 1) / seconds


DECODE = Decode(1, 8, 64)
SHORT, LONG, BATCH = Prefill(1, 8), Prefill(1, 76), Prefill(4, 19)
WORK = [DECODE, SHORT, LONG, BATCH]
# Decode steps of more rows, and of one row with a long past; ours alone.
STEPS = [DECODE, Decode(8, 8, 24), Decode(32, 8, 16), Decode(1, 1000, 16)]

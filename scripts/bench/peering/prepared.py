"""What `prepare` takes, from an empty cache."""

import dataclasses

from . import machine


@dataclasses.dataclass(frozen=True)
class Limit:
    """The most that `prepare` of a model may take, and how often it is run."""

    shape: str
    artifact: str
    seconds: float
    size: float
    calls: int


GPT2 = Limit("gpt2-124m", "onnx-fp32", 2.0, 1.3e9, 3)
XL = Limit("gpt2-xl", "onnx-int8-dynamic", 60.0, 12e9, 1)


def measure(host, limit):
    """Wall seconds and the largest peak of resident memory, beside the limit."""
    calls = host.measure_prepare(host.model(limit.shape), limit.artifact, limit.calls)
    seconds = machine.spread([taken for taken, _ in calls])
    peak = max(size for _, size in calls)
    return {
        "what": f"{limit.shape}, {limit.artifact}", "seconds": seconds, "seconds_below": limit.seconds,
        "seconds_met": seconds["median"] < limit.seconds, "peak_bytes": peak, "bytes_below": limit.size,
        "bytes_met": peak < limit.size,
    }  # fmt: skip

"""What is held against known answers on a device: every plugin in every precision that it has there.

Tolerances are of logits of the golden models, whose answers are in 64 bits: small models with large weights, so that 8 bits
are far off there. They find what is computed wrong; what rounding costs is the accuracy gate's matter."""

import dataclasses

F64, F32, HALF, BYTES, FLOAT8 = 1e-9, 1e-4, 0.3, 1.5, 2.0


@dataclasses.dataclass(frozen=True)
class Backend:
    """A plugin with its options."""

    name: str
    plugin: str
    options: tuple
    tolerance: float
    artifact: str = ""

    def arguments(self):
        """For inferhost's one-off calls."""
        given = ["--plugin", self.plugin]
        for option in self.options:
            given += ["--option", option]
        return given + (["--artifact", self.artifact] if self.artifact else [])


def torch(device):
    types = {"f64": F64, "f32": F32, "bf16": HALF, "f16": HALF}
    if device == "cpu":
        types = {"f32": F32}
    return [
        Backend(f"torch-{dtype}", "torch", (f"device={device}", f"dtype={dtype}"), tolerance)
        for dtype, tolerance in types.items()
    ]


def ort(device):
    # On CUDA GroupQueryAttention, which the ort dialect takes, has kernels for 16 bits alone, and none multiplies
    # what is quantised as it comes.
    artifacts = {
        "onnx-fp32?dialect=portable": F32,
        "onnx-fp16": HALF,
        "onnx-fp16?dialect=portable": HALF,
        "onnx-bf16?dialect=portable": HALF,
        "onnx-int8-weight?dialect=portable": BYTES,
        "onnx-int4-weight?dialect=portable": 4.0,
        "onnx-int8-qdq?dialect=portable": BYTES,
    }
    if device == "cpu":
        artifacts = {"onnx-fp32": F32, "onnx-fp16": HALF, "onnx-int8-qdq": BYTES, "onnx-fp8-qdq": FLOAT8}
    short = lambda name: name.removeprefix("onnx-").replace("?dialect=", "-")
    return [
        Backend(f"ort-{short(artifact)}", "ort", (f"device={device}",), tolerance, artifact)
        for artifact, tolerance in artifacts.items()
    ]


def tensorrt(device):
    plans = {"plan-fp32": F32, "plan-fp16": HALF, "plan-bf16": HALF, "plan-int8-qdq": BYTES, "plan-fp8-qdq": FLOAT8}
    return [
        Backend(f"tensorrt-{artifact.removeprefix('plan-')}", "tensorrt", (f"device={device}",), tolerance, artifact)
        for artifact, tolerance in plans.items()
    ]


def backends(device):
    """All that there are on `device`."""
    return torch(device) + ort(device) + ([] if device == "cpu" else tensorrt(device))


def exact(device):
    """Those whose greedy tokens must be the oracle's: in 32 bits."""
    return [one for one in backends(device) if one.name.endswith(("-f32", "-fp32", "-fp32-portable"))]

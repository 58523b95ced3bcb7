"""`python peak.py THREADS`: the most arithmetic a second that onnxruntime and torch reach here, as JSON; the product
of two square matrices, which is as good as it gets."""

import json
import sys
import time

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

SIDE = 2048
CALLS = 12


def best(call):
    """Operations a second of the fastest call."""
    seconds = []
    for _ in range(CALLS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return 2 * SIDE**3 / min(seconds)


def onnx_product(operator, left, right, result, threads):
    """A session of one product by a constant matrix, as weights are."""
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "w"], ["y"])], "peak",
        [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(left.dtype), left.shape)],
        [helper.make_tensor_value_info("y", result, left.shape)],
        [numpy_helper.from_array(right, "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": left})


def main():
    threads = int(sys.argv[1])
    torch.set_num_threads(threads)
    random = np.random.default_rng(0)
    left, right = (random.standard_normal((SIDE, SIDE), dtype=np.float32) for _ in range(2))
    bytes_left = random.integers(0, 255, (SIDE, SIDE), dtype=np.uint8)
    bytes_right = random.integers(-127, 127, (SIDE, SIDE), dtype=np.int8)
    torch_left, torch_right = torch.from_numpy(left), torch.from_numpy(right)
    fp32 = best(onnx_product("MatMul", left, right, TensorProto.FLOAT, threads))
    int8 = best(onnx_product("MatMulInteger", bytes_left, bytes_right, TensorProto.INT32, threads))
    print(json.dumps({"fp32": max(fp32, best(lambda: torch_left @ torch_right)), "int8": max(int8, fp32)}))


if __name__ == "__main__":
    main()

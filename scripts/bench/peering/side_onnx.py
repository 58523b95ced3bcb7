"""An optimum export on onnxruntime, past keys and values handed from step to step without a copy in Python.

The export computes logits of every position; there is no input that asks for the last alone.
"""

import numpy as np
import onnxruntime


class Side:
    def __init__(self, file, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self.inputs = {value.name: value for value in self.session.get_inputs()}
        self.outputs = [value.name for value in self.session.get_outputs()]
        self.pasts = [name for name in self.inputs if name.startswith("past_key_values.")]
        self.presents = [name.replace("past_key_values.", "present.") for name in self.pasts]
        assert all(name in self.outputs for name in self.presents), self.outputs
        self.version = f"onnxruntime {onnxruntime.__version__} on an optimum export"

    def start(self, ids):
        past = self.inputs[self.pasts[0]].shape
        empty = onnxruntime.OrtValue.ortvalue_from_numpy(
            np.zeros((ids.shape[0], past[1], 0, past[3]), dtype=np.float32)
        )
        self.past = [empty] * len(self.pasts)
        self.length = 0
        return self._run(ids)

    def step(self, tokens):
        return self._run(tokens[:, None])

    def _run(self, ids):
        rows, new = ids.shape
        binding = self.session.io_binding()
        binding.bind_cpu_input("input_ids", ids)
        if "attention_mask" in self.inputs:
            binding.bind_cpu_input("attention_mask", np.ones((rows, self.length + new), dtype=np.int64))
        if "position_ids" in self.inputs:
            positions = np.arange(self.length, self.length + new, dtype=np.int64)
            binding.bind_cpu_input("position_ids", np.ascontiguousarray(np.broadcast_to(positions, (rows, new))))
        for name, value in zip(self.pasts, self.past):
            binding.bind_ortvalue_input(name, value)
        for name in ["logits", *self.presents]:
            binding.bind_output(name)
        self.session.run_with_iobinding(binding)
        logits, *self.past = binding.get_outputs()
        self.length += new
        return logits.numpy()[:, -1]


def open_side(file, threads):
    return Side(file, threads)

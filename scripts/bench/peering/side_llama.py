"""llama.cpp through its C API, with its own defaults but for the threads: `llama_decode`, logits of the last
position alone. One row at a time."""

import ctypes
import re

import llama_cpp
import numpy as np

CONTEXT = 1024


@llama_cpp.llama_log_callback
def silent(_level, _text, _data):
    pass


class Side:
    def __init__(self, file, threads, extra_buffers):
        llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.use_extra_bufts = extra_buffers
        self.model = llama_cpp.llama_model_load_from_file(file.encode(), params)
        assert self.model, f"llama.cpp cannot load {file}"
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_threads, params.n_threads_batch = CONTEXT, threads, threads
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        assert self.context, f"llama.cpp cannot make a context for {file}"
        vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(vocab)
        features = re.findall(r"(\w+) = 1", llama_cpp.llama_print_system_info().decode())
        without = "" if extra_buffers else "; WITHOUT repacked weights and AMX, which crash in this build of it"
        self.version = f"llama-cpp-python {llama_cpp.__version__} ({' '.join(features)}){without}"

    def start(self, ids):
        assert ids.shape[0] == 1, "one row at a time"
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        return self._decode(ids[0])

    def step(self, tokens):
        return self._decode(tokens)

    def _decode(self, tokens):
        # A batch of one sequence at the positions that follow, logits of its last.
        row = (llama_cpp.llama_token * len(tokens))(*tokens.tolist())
        failed = llama_cpp.llama_decode(self.context, llama_cpp.llama_batch_get_one(row, len(tokens)))
        assert not failed, f"llama_decode returned {failed}"
        logits = llama_cpp.llama_get_logits_ith(self.context, -1)
        return np.ctypeslib.as_array(logits, (1, self.vocabulary))


def open_side(file, threads, option=None):
    return Side(file, threads, extra_buffers=option != "no-extra-buffers")

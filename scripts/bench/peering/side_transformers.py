"""transformers on torch: the model's own forward pass with its cache, without `generate`'s bookkeeping; as it is, or
compiled. In float32 or bfloat16; logits come out in 32 bits."""

import sys

import torch
import transformers

# Positions that a compiled side's cache has room for: the longest task that is asked of peers has 76.
POSITIONS = 80


class Eager:
    def __init__(self, folder, precision):
        self.model = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=getattr(torch, precision)).eval()
        self.version = f"transformers {transformers.__version__}, torch {torch.__version__}, {precision}"

    def _forward(self, ids, past):
        out = self.model(ids, past_key_values=past, use_cache=True, logits_to_keep=1)
        self.past = out.past_key_values
        return out.logits[:, -1].float().numpy()

    def start(self, ids):
        return self._forward(torch.from_numpy(ids), None)

    def step(self, tokens):
        return self._forward(torch.from_numpy(tokens)[:, None], self.past)


class Compiled:
    """`torch.compile` as one who knows it would set it up for the CPU. `freezing` packs the weights for oneDNN: a BF16
    step takes half the time it takes without. With a static cache and `dynamic=False` a shape is compiled once, and no
    step again. On 2 CPUs none of these was faster by more than its own spread: `dynamic=True` and `max_autotune` in
    BF16 (the latter compiles for 1.6 times as long), `cpp_wrapper` in both, a prefill without a cache in FP32.
    """

    def __init__(self, folder, precision):
        torch._inductor.config.freezing = True
        # A shape more than this, and dynamo would run it uncompiled without a word.
        torch._dynamo.config.recompile_limit = 64
        torch._dynamo.config.fail_on_recompile_limit_hit = True
        self.model = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=getattr(torch, precision)).eval()
        self.forward = torch.compile(self.model.forward, dynamic=False)
        self.pasts = {}
        self.version = f"transformers {transformers.__version__}, torch {torch.__version__} compiled, {precision}"

    def settle(self):
        """From here on a shape that is not compiled yet is an error."""
        torch.compiler.set_stance("fail_on_recompile")

    def _past(self, rows):
        """A cache of so many rows, made once: its positions are masked until they are written."""
        if rows not in self.pasts:
            config = self.model.config
            past = transformers.StaticCache(config=config, max_cache_len=POSITIONS)
            width = config.n_embd // config.n_head
            past.early_initialization(rows, config.n_head, width, self.model.dtype, self.model.device)
            self.pasts[rows] = past
        return self.pasts[rows]

    def _forward(self, ids):
        rows, new = ids.shape
        positions = torch.arange(self.length, self.length + new)
        self.length += new
        out = self.forward(
            ids, past_key_values=self._past(rows), cache_position=positions, use_cache=True, logits_to_keep=1
        )
        return out.logits[:, -1].float().numpy()

    def start(self, ids):
        self.length = 0
        try:
            return self._forward(torch.from_numpy(ids))
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            sys.exit(f"torch.compile does not work here: {reason}")

    def step(self, tokens):
        return self._forward(torch.from_numpy(tokens)[:, None])


def open_side(folder, threads, precision, compiled=None):
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    return Compiled(folder, precision) if compiled else Eager(folder, precision)

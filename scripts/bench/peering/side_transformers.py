"""transformers on torch: the model's own forward pass with its cache, without `generate`'s bookkeeping."""

import torch
import transformers


class Side:
    def __init__(self, folder, threads):
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self.model = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
        self.version = f"transformers {transformers.__version__}, torch {torch.__version__}"

    def _forward(self, ids, past):
        out = self.model(ids, past_key_values=past, use_cache=True, logits_to_keep=1)
        self.past = out.past_key_values
        return out.logits[:, -1].numpy()

    def start(self, ids):
        return self._forward(torch.from_numpy(ids), None)

    def step(self, tokens):
        return self._forward(torch.from_numpy(tokens)[:, None], self.past)


def open_side(folder, threads):
    return Side(folder, threads)

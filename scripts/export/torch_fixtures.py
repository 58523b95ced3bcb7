#!/usr/bin/env python3
"""Makes tests/torch: tiny TorchScript programs of golden cases, whose answers lie in tests/golden.

    .venv/bin/python scripts/export/torch_fixtures.py [folder, default tests/torch]

`gpt2-erf` and `llama-gqa` keep the contract of torch_export.py. `recipe` is gpt2-tanh as transformers' own
documentation traces a model, `forward(input_ids)` to a tuple of the logits alone, without a cache. `other` is a program
that is no language model. AOTInductor packages are code for the processor that compiled them, so none is kept here.
"""

import logging
import subprocess
import sys
import warnings
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from exporting.attention import patch_attention

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"


class Other(torch.nn.Module):
    def forward(self, pixel_values, scale):
        return pixel_values * scale


def recipe(target):
    # The masks of transformers 4.57 cannot be traced with torch 2.11; older pairs could be.
    patch_attention()
    model, plain = (
        AutoModelForCausalLM.from_pretrained(
            GOLDEN / "gpt2-tanh", torchscript=torchscript, use_cache=False, attn_implementation="eager"
        ).eval()
        for torchscript in (True, False)
    )
    traced = torch.jit.trace(model, (torch.arange(12).reshape(2, 6),))
    for other in (torch.arange(9)[None], torch.arange(1)[None], torch.arange(15).reshape(3, 5)):
        difference = (traced(other)[0] - plain(other)[0]).abs().max()
        assert difference < 1e-4, f"the traced model differs by {difference} for the shape {list(other.shape)}"
    torch.jit.save(traced, str(target))


def main():
    target = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "tests" / "torch")
    target.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    for case in ("gpt2-erf", "llama-gqa"):
        script = Path(__file__).with_name("torch_export.py")
        arguments = [GOLDEN / case, target / case, "--form", "torchscript", "--force"]
        subprocess.run([sys.executable, script, *arguments], check=True)
    with torch.no_grad():
        recipe(target / "recipe.pt")
        other = torch.jit.trace(Other(), (torch.ones(1, 3), torch.ones(1)))
        torch.jit.save(other, str(target / "other.ts"))


if __name__ == "__main__":
    main()

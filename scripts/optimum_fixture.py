#!/usr/bin/env python3
"""Makes tests/optimum: a tiny random GPT-2 as optimum exports it, with what transformers computes in float64.

The fixtures show that graphs from elsewhere run, not only the ones inferhost writes. Needs torch, transformers,
optimum-onnx, onnx and safetensors (made with transformers 4.57.6, optimum-onnx 0.1.0, onnxruntime 1.31.1):

    python3 scripts/optimum_fixture.py [folder, default tests/optimum]
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from optimum.exporters.onnx import main_export
from safetensors.torch import save
from transformers import GPT2Config, GPT2LMHeadModel

PROMPT_LENGTHS = [1, 5, 9, 14]
NEW_TOKENS = 8
EXPORTS = {"gpt2": "text-generation-with-past", "gpt2-no-past": "text-generation"}


def make_model():
    torch.manual_seed(20261120)
    config = GPT2Config(
        vocab_size=97, n_positions=48, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0,
        # A wide spread, so that greedy choices are far apart and no rounding can swap them.
        initializer_range=0.2,
    )
    return GPT2LMHeadModel(config).eval()


def expected(model):
    """Greedy tokens, logprobs and all logits of every prompt, each computed alone in float64."""
    model = model.double()
    generator = torch.Generator().manual_seed(7)
    prompts, greedy, margins, logprobs, logits = [], [], [], [], {}
    for index, length in enumerate(PROMPT_LENGTHS):
        ids = torch.randint(0, model.config.vocab_size, (1, length), generator=generator)
        with torch.no_grad():
            out = model(ids).logits[0]
            row, margin = ids[0].tolist(), float("inf")
            for _ in range(NEW_TOKENS):
                best, second = model(torch.tensor([row])).logits[0, -1].topk(2).values.tolist()
                row.append(int(model(torch.tensor([row])).logits[0, -1].argmax()))
                margin = min(margin, best - second)
        scores = torch.log_softmax(out[:-1], -1)
        prompts.append(ids[0].tolist())
        greedy.append(row[length:])
        margins.append(margin)
        logprobs.append(scores.gather(1, ids[0, 1:, None])[:, 0].tolist())
        logits[f"logits.{index}"] = out.contiguous()
    values = {
        "source": "transformers GPT2LMHeadModel, float64, CPU, eager attention",
        "prompts": prompts, "max_new_tokens": NEW_TOKENS, "greedy": greedy, "logprobs": logprobs,
        "min_top2_margin": margins,
    }
    return values, logits


def main():
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/optimum")
    model = make_model()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        model.save_pretrained(source)
        for name, task in EXPORTS.items():
            exported = Path(folder, name)
            main_export(str(source), str(exported), task=task, do_validation=False, library_name="transformers")
            (target / name).mkdir(parents=True, exist_ok=True)
            for file in ("model.onnx", "config.json"):
                shutil.copy(exported / file, target / name / file)
    values, logits = expected(model)
    # Both exports are of one model; its values lie beside the first.
    (target / "gpt2" / "expected.json").write_text(json.dumps(values, indent=1) + "\n")
    (target / "gpt2" / "expected_logits.safetensors").write_bytes(save(logits))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Makes golden cases: small GPT-2 and Llama-family models with the float64 answers of transformers to a few prompts.

    python3 -m venv .venv && .venv/bin/pip install torch==2.11.0 transformers==4.57.6 safetensors
    HF_HUB_OFFLINE=1 .venv/bin/python scripts/golden.py tests/golden

Each case is a Hugging Face folder with `expected.json` (prompts, greedy tokens, logprobs, the smallest distance
between the two largest logits on the way) and `expected_logits.safetensors` (`logits.N`, F64, one per prompt).
The same versions give the same files: everything random comes from the seed of the case. A seed whose margins
are too small for greedy search in f32 is passed over for the next one.

transformers rounds to float32 inside of a float64 Llama: norms, softmax and rotary tables. The tables are what every
runtime has, so they stay, rounded correctly; the norms and softmax would hide an error of 1e-6, so here they are
float64 too. `as_is_difference` of expected.json is how far that moved the logits.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from types import MethodType

import torch
from safetensors.torch import save_file
from transformers import (
    AttentionInterface, AttentionMaskInterface, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM,
    MistralConfig, MistralForCausalLM, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM,
)
from transformers.masking_utils import eager_mask
from transformers.models.llama.modeling_llama import repeat_kv

# Logits of a right f32 runtime differ by some 1e-6 here, so a greedy choice with this margin is not in doubt.
SMALLEST_MARGIN = 1e-3

FAMILIES = {
    "gpt2": (GPT2Config, GPT2LMHeadModel),
    "llama": (LlamaConfig, LlamaForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
}


@dataclass
class Case:
    """A model to make; `config` is what differs from the family's defaults."""

    name: str
    seed: int
    config: dict
    prompt_lengths: list[int]
    max_new_tokens: int
    # Larger than GPT-2's 0.02, so that a mistake in any one operator moves the logits visibly.
    std: float = 0.25
    shard_size: str | None = None
    family: str = "gpt2"
    # Of the stored weights.
    dtype: torch.dtype = torch.float32


CASES = [
    # An odd number of heads, an odd inner width that is not 4 x n_embd, the exact GELU, an odd context.
    Case(
        name="gpt2-erf",
        seed=11,
        config=dict(
            n_layer=2, n_head=3, n_embd=24, n_inner=67, n_positions=45, vocab_size=211,
            activation_function="gelu", layer_norm_epsilon=1e-3,
        ),
        prompt_lengths=[1, 9, 14, 23],
        max_new_tokens=12,
    ),
    # Attention scaled by layer, ReLU, a head of its own, two weight files.
    Case(
        name="gpt2-untied",
        seed=23,
        config=dict(
            n_layer=3, n_head=5, n_embd=20, n_inner=31, n_positions=64, vocab_size=257,
            activation_function="relu", tie_word_embeddings=False, scale_attn_by_inverse_layer_idx=True,
            layer_norm_epsilon=1e-6,
        ),
        prompt_lengths=[2, 8, 17],
        max_new_tokens=16,
        shard_size="50KB",
    ),
    # The tanh GELU with the default inner width, attention not scaled at all, one head.
    Case(
        name="gpt2-tanh",
        seed=37,
        config=dict(
            n_layer=2, n_head=1, n_embd=28, n_positions=51, vocab_size=199,
            activation_function="gelu_new", scale_attn_weights=False,
        ),
        prompt_lengths=[1, 5, 11, 30],
        max_new_tokens=14,
        std=0.15,
    ),
    # One head of keys for five of queries, heads wider than their share, every bias there can be, another gate.
    Case(
        name="llama-gqa",
        family="llama",
        seed=41,
        config=dict(
            num_hidden_layers=2, num_attention_heads=5, num_key_value_heads=1, head_dim=6, hidden_size=20,
            intermediate_size=37, max_position_embeddings=61, vocab_size=193, attention_bias=True, mlp_bias=True,
            rms_norm_eps=1e-3, hidden_act="gelu_pytorch_tanh",
        ),
        prompt_lengths=[1, 7, 16, 24],
        max_new_tokens=14,
    ),
    # Biases of queries, keys and values, a tied head, a window in the last two of three layers.
    Case(
        name="qwen2-bias",
        family="qwen2",
        seed=53,
        config=dict(
            num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2, hidden_size=24, intermediate_size=41,
            max_position_embeddings=64, vocab_size=181, tie_word_embeddings=True, rope_theta=1e6,
            use_sliding_window=True, sliding_window=5, max_window_layers=1,
        ),
        prompt_lengths=[2, 5, 13, 22],
        max_new_tokens=13,
    ),
    # A window much shorter than the longest prompt, half-precision weights.
    Case(
        name="mistral-window",
        family="mistral",
        seed=67,
        config=dict(
            num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=10, hidden_size=28,
            intermediate_size=45, max_position_embeddings=57, vocab_size=173, sliding_window=7, rms_norm_eps=1e-5,
        ),
        prompt_lengths=[1, 7, 8, 29],
        max_new_tokens=15,
        dtype=torch.float16,
    ),
    # Frequencies stretched as in Llama 3, bfloat16 weights in two files.
    Case(
        name="llama3-rope",
        family="llama",
        seed=79,
        config=dict(
            num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4, hidden_size=48, intermediate_size=50,
            max_position_embeddings=96, vocab_size=149, rope_theta=500000.0, rms_norm_eps=1e-5,
            rope_scaling=dict(
                rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                original_max_position_embeddings=24,
            ),
        ),
        prompt_lengths=[1, 10, 19, 40],
        max_new_tokens=12,
        std=0.15,
        shard_size="40KB",
        dtype=torch.bfloat16,
    ),
]


def build(case: Case, seed: int) -> PreTrainedModel:
    """A model of the case's type with every parameter random, the biases and norms too."""
    torch.manual_seed(seed)
    config_class, model_class = FAMILIES[case.family]
    config = config_class(**case.config, attn_implementation="eager", bos_token_id=0, eos_token_id=0)
    model = model_class(config).eval()
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            is_norm = ".ln_" in name or "norm" in name
            centre = 1.0 if is_norm and name.endswith("weight") else 0.0
            parameter.copy_(centre + case.std * torch.randn(parameter.shape))
    # Not `model.to`: that would round the rotary frequencies too, which no loader does.
    for parameter in model.parameters():
        parameter.data = parameter.data.to(case.dtype)
    return model


def exact_norm(norm: torch.nn.Module, states: torch.Tensor) -> torch.Tensor:
    """RMSNorm in the type of `states`."""
    mean_square = states.pow(2).mean(-1, keepdim=True)
    return norm.weight * states * torch.rsqrt(mean_square + norm.variance_epsilon)


def exact_tables(rope: torch.nn.Module, states: torch.Tensor, positions: torch.Tensor) -> list[torch.Tensor]:
    """Cosines and sines of float32 angles, rounded once to float32."""
    angles = (positions[:, :, None].float() * rope.inv_freq.float()).double()
    turns = (torch.cat((part, part), dim=-1).float() for part in (angles.cos(), angles.sin()))
    return [(part * rope.attention_scaling).to(states.dtype) for part in turns]


def exact_attention(module, query, key, value, attention_mask, scaling, **_):
    """Attention with its softmax in the type of `query`."""
    key, value = (repeat_kv(part, module.num_key_value_groups) for part in (key, value))
    scores = query @ key.transpose(2, 3) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask[:, :, :, : key.shape[-2]]
    return (torch.softmax(scores, dim=-1) @ value).transpose(1, 2).contiguous(), None


AttentionInterface.register("exact", exact_attention)
AttentionMaskInterface.register("exact", eager_mask)


def make_exact(model: PreTrainedModel) -> None:
    """Takes the float32 out of a Llama-family model, but for its rotary tables."""
    model.set_attn_implementation("exact")
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = MethodType(exact_norm, module)
        elif type(module).__name__.endswith("RotaryEmbedding"):
            module.forward = MethodType(exact_tables, module)


@torch.no_grad()
def logits_of(model: PreTrainedModel, tokens: list[int]) -> torch.Tensor:
    """[positions, vocab]."""
    return model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]


def logprobs_of(logits: torch.Tensor, tokens: list[int]) -> list[float]:
    """ln p(t_i | t_<i), i >= 1."""
    predicted = torch.log_softmax(logits[:-1], dim=-1)
    return [predicted[i, token].item() for i, token in enumerate(tokens[1:])]


def greedy_of(model: PreTrainedModel, prompt: list[int], new: int) -> tuple[list[int], float]:
    """The continuation, uncached, and its smallest top-2 margin."""
    tokens, margin = list(prompt), float("inf")
    for _ in range(new):
        top = torch.topk(logits_of(model, tokens)[-1], 2)
        margin = min(margin, (top.values[0] - top.values[1]).item())
        tokens.append(int(top.indices[0]))
    return tokens[len(prompt) :], margin


def answers(case: Case, model: PreTrainedModel, seed: int) -> tuple[dict, dict[str, torch.Tensor]]:
    """The content of the two files of answers."""
    exact = model.double()
    random = torch.Generator().manual_seed(seed)
    vocab = exact.config.vocab_size
    prompts = [torch.randint(vocab, (n,), generator=random).tolist() for n in case.prompt_lengths]
    source, more = f"transformers {type(model).__name__}, float64, CPU, eager attention", {}
    logits = [logits_of(exact, prompt) for prompt in prompts]
    if case.family != "gpt2":
        as_is = logits
        make_exact(exact)
        logits = [logits_of(exact, prompt) for prompt in prompts]
        source += ", norms and softmax in float64 too"
        more["as_is_difference"] = max((a - b).abs().max().item() for a, b in zip(as_is, logits))
    continued = [greedy_of(exact, prompt, case.max_new_tokens) for prompt in prompts]
    expected = {
        "source": source,
        **more,
        "seed": seed,
        "prompts": prompts,
        "max_new_tokens": case.max_new_tokens,
        "greedy": [tokens for tokens, _ in continued],
        "logprobs": [logprobs_of(found, prompt) for found, prompt in zip(logits, prompts)],
        "min_top2_margin": [margin for _, margin in continued],
    }
    return expected, {f"logits.{i}": found.contiguous() for i, found in enumerate(logits)}


def telling(expected: dict) -> bool:
    """Whether greedy search is beyond doubt in f32, and does not repeat one token for ever."""
    varied = all(len(set(row)) > 2 for row in expected["greedy"])
    return varied and min(expected["min_top2_margin"]) >= SMALLEST_MARGIN


def make(case: Case, root: Path) -> None:
    """Writes the case for the first seed that tells something."""
    for seed in range(case.seed, case.seed + 100):
        model = build(case, seed)
        expected, logits = answers(case, model, seed)
        if telling(expected):
            break
    else:
        raise SystemExit(f"{case.name}: no telling seed in 100; make std or the margin smaller")
    folder = root / case.name
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        stale.unlink()
    build(case, seed).save_pretrained(folder, max_shard_size=case.shard_size or "1GB")
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    save_file(logits, str(folder / "expected_logits.safetensors"))
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: seed {seed}, margin {min(expected['min_top2_margin']):.1e}, {size / 1000:.0f} kB")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("root", type=Path, help="where the folders of the cases go")
    root = arguments.parse_args().root
    torch.use_deterministic_algorithms(True)
    for case in CASES:
        make(case, root)


if __name__ == "__main__":
    main()

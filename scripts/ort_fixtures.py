#!/usr/bin/env python3
"""Makes tests/ort: small graphs of one random GPT-2 in the forms that the ort plugin must understand.

in-place  GroupQueryAttention that grows its cache in place, rows padded on the right, as the metadata says; f32
genai     a folder as onnxruntime-genai keeps it: names of its own, int32 inputs, a float16 cache that is shared
merged    a decoder with `use_cache_branch`, an If of a half without past and one with; bfloat16 cache and logits

What transformers computes in float64 lies beside them. Needs torch, transformers, onnx, numpy and safetensors (made
with torch 2.11.0, transformers 4.57.6, onnx 1.23.0):

    python3 scripts/ort_fixtures.py [folder, default tests/ort]
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from onnx import TensorProto, checker, helper, numpy_helper
from safetensors.torch import save
from transformers import GPT2Config, GPT2LMHeadModel

PROMPT_LENGTHS = [6, 1, 14, 9]
NEW_TOKENS = 8
VOCAB, CONTEXT, WIDTH, LAYERS, HEADS = 97, 48, 16, 2, 2
HEAD_SIZE = WIDTH // HEADS
FLOAT, HALF, BF16 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16
INT32, INT64, BOOL = TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL


def make_model():
    torch.manual_seed(20261121)
    config = GPT2Config(
        vocab_size=VOCAB, n_positions=CONTEXT, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, bos_token_id=0,
        eos_token_id=0,
        # A wide spread, so that greedy choices are far apart and no rounding can swap them.
        initializer_range=0.2,
    )
    return GPT2LMHeadModel(config).eval()


class Graph:
    """Nodes in the order of computation, with names made up on the way."""

    def __init__(self, weights, prefix=""):
        self.weights, self.prefix = weights, prefix
        self.nodes, self.initializers, self.names = [], {}, 0

    def op(self, kind, *inputs, outputs=1, out=None, domain="", **attributes):
        names = out or [f"{self.prefix}{kind}_{self.names}_{i}" for i in range(outputs)]
        self.names += 1
        self.nodes.append(helper.make_node(kind, inputs, names, domain=domain, **attributes))
        return names[0] if len(names) == 1 else names

    def const(self, value, dtype=np.int64):
        value = np.array(value, dtype)
        name = f"const_{value.dtype}_{value.tolist()}"
        self.initializers[name] = numpy_helper.from_array(value, name)
        return name

    def weight(self, name):
        self.initializers[name] = numpy_helper.from_array(self.weights[name], name)
        return name

    def cast(self, value, to):
        return self.op("Cast", value, to=to)

    def norm(self, x, name):
        return self.op("LayerNormalization", x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"), epsilon=1e-5)

    def linear(self, x, name):
        return self.op("Add", self.op("MatMul", x, self.weight(f"{name}.weight")), self.weight(f"{name}.bias"))

    def decoder(self, ids, positions, attention):
        """Hidden states after the last norm; `attention` takes a layer's packed q, k, v."""
        x = self.op("Add", self.op("Gather", self.weight("wte.weight"), ids), self.op("Gather", self.weight("wpe.weight"), positions))
        for layer in range(LAYERS):
            block = f"h.{layer}"
            qkv = self.linear(self.norm(x, f"{block}.ln_1"), f"{block}.attn.c_attn")
            x = self.op("Add", x, self.linear(attention(layer, qkv), f"{block}.attn.c_proj"))
            hidden = self.linear(self.norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc")
            x = self.op("Add", x, self.linear(self.op("Gelu", hidden, approximate="tanh"), f"{block}.mlp.c_proj"))
        return self.norm(x, "ln_f")

    def head(self, x, out=None):
        return self.op("MatMul", x, self.op("Transpose", self.weight("wte.weight"), perm=[1, 0]), out=out)


def port(name, dtype, *dims):
    return helper.make_tensor_value_info(name, dtype, dims)


def cache_ports(dtype, past, present):
    """Past inputs and present outputs of every layer, keys before values."""
    kinds = [(layer, kind) for layer in range(LAYERS) for kind in ("key", "value")]
    side = lambda pattern, length: [
        port(pattern(layer, kind), dtype, "batch", HEADS, length, HEAD_SIZE) for layer, kind in kinds
    ]
    return side(past, "past"), side(present, "present")


def grouped_query(graph, mask, past, present, to):
    """Attention by the operator that keeps its cache in place; `to` is the cache's type."""
    sums = graph.op("ReduceSum", mask, graph.const([1]), keepdims=0)
    lengths = graph.op("Sub", graph.cast(sums, INT32), graph.const(1, np.int32))
    total = graph.cast(graph.op("Gather", graph.op("Shape", mask), graph.const(1)), INT32)

    def attention(layer, qkv):
        qkv = qkv if to == FLOAT else graph.cast(qkv, to)
        out = [f"attention.{layer}", present(layer, "key"), present(layer, "value")]
        graph.op(
            "GroupQueryAttention", qkv, "", "", past(layer, "key"), past(layer, "value"), lengths, total, out=out,
            domain="com.microsoft", num_heads=HEADS, kv_num_heads=HEADS,
        )
        return out[0] if to == FLOAT else graph.cast(out[0], FLOAT)

    return attention


def last_real(graph, x, mask, positions, keep):
    """All of `x`, or with `keep` each row's last real position: its length less its first position."""
    counts = graph.op("ReduceSum", mask, graph.const([1]), keepdims=1)
    first = graph.op("Slice", positions, graph.const([0]), graph.const([1]), graph.const([1]))
    last = graph.op("Sub", graph.op("Sub", counts, first), graph.const(1))
    all_of_them = graph.op("Equal", keep, graph.const(0))
    fed = graph.op("Gather", graph.op("Shape", x), graph.const(1))
    start = graph.op("Where", all_of_them, graph.const(0), last)
    count = graph.op("Where", all_of_them, fed, graph.const(1))
    at = graph.op("Add", start, graph.op("Range", graph.const(0), count, graph.const(1)))
    shape = graph.op("Concat", graph.op("Shape", at), graph.const([WIDTH]), axis=0)
    at = graph.op("Expand", graph.op("Unsqueeze", at, graph.const([2])), shape)
    return graph.op("GatherElements", x, at, axis=1)


def save_model(file, graph, inputs, outputs, metadata=None):
    made = helper.make_graph(graph.nodes, "decoder", inputs, outputs, list(graph.initializers.values()))
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=10, producer_name="scripts/ort_fixtures.py")
    helper.set_model_props(model, metadata or {})
    checker.check_model(model)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(model.SerializeToString())


def in_place(weights, folder):
    past = lambda layer, kind: f"past_key_values.{layer}.{kind}"
    present = lambda layer, kind: f"present.{layer}.{kind}"
    graph = Graph(weights)
    attention = grouped_query(graph, "attention_mask", past, present, FLOAT)
    x = graph.decoder("input_ids", "position_ids", attention)
    x = last_real(graph, x, "attention_mask", "position_ids", "num_logits_to_keep")
    graph.head(x, out=["logits"])
    pasts, presents = cache_ports(FLOAT, past, present)
    inputs = [
        port("input_ids", INT64, "batch", "fed"), port("attention_mask", INT64, "batch", "total"),
        port("position_ids", INT64, "batch", "fed"), port("num_logits_to_keep", INT64),
    ]
    metadata = {"inferhost.kv_cache": "in_place", "inferhost.padding": "right", "inferhost.precision": "fp32"}
    outputs = [port("logits", FLOAT, "batch", "kept", VOCAB)] + presents
    save_model(folder / "model.onnx", graph, inputs + pasts, outputs, metadata)
    config = {"model_type": "gpt2", "vocab_size": VOCAB, "n_positions": CONTEXT, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS}
    (folder / "config.json").write_text(json.dumps(config) + "\n")


def genai(weights, folder):
    past = lambda layer, kind: f"cache_{layer}_{kind}"
    present = lambda layer, kind: f"grown_{layer}_{kind}"
    graph = Graph(weights)
    mask = graph.cast("mask", INT64)
    attention = grouped_query(graph, mask, past, present, HALF)
    graph.head(graph.decoder("tokens", "places", attention), out=["scores"])
    pasts, presents = cache_ports(HALF, past, present)
    inputs = [
        port("tokens", INT32, "batch", "fed"), port("mask", INT32, "batch", "total"), port("places", INT32, "batch", "fed"),
    ]
    # The vocabulary's size is left to genai_config.json.
    save_model(folder / "text.onnx", graph, inputs + pasts, [port("scores", FLOAT, "batch", "fed", None)] + presents)
    (folder / "vision.onnx").write_bytes(b"")
    names = lambda name, kind: name.format(kind)
    config = {
        "model": {
            "bos_token_id": 0, "eos_token_id": [0, 96], "pad_token_id": 0, "type": "gpt2",
            "context_length": CONTEXT, "vocab_size": VOCAB,
            "decoder": {
                "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
                "filename": "text.onnx", "head_size": HEAD_SIZE, "hidden_size": WIDTH, "num_attention_heads": HEADS,
                "num_hidden_layers": LAYERS, "num_key_value_heads": HEADS,
                "inputs": {
                    "input_ids": "tokens", "attention_mask": "mask", "position_ids": "places",
                    "past_key_names": names("cache_%d_{}", "key"), "past_value_names": names("cache_%d_{}", "value"),
                },
                "outputs": {
                    "logits": "scores",
                    "present_key_names": names("grown_%d_{}", "key"), "present_value_names": names("grown_%d_{}", "value"),
                },
            },
        },
        "search": {"do_sample": False, "max_length": CONTEXT, "num_beams": 1, "past_present_share_buffer": True},
    }
    (folder / "genai_config.json").write_text(json.dumps(config, indent=1) + "\n")


def masked(graph, mask, past, present):
    """Attention in plain operators, with a past that is concatenated; none where `past` is None."""
    def heads(x):
        shape = graph.const([0, 0, HEADS, HEAD_SIZE])
        return graph.op("Transpose", graph.op("Reshape", x, shape), perm=[0, 2, 1, 3])

    def attention(layer, qkv):
        query, key, value = [heads(x) for x in graph.op("Split", qkv, axis=2, num_outputs=3, outputs=3)]
        if past:
            key = graph.op("Concat", graph.cast(past(layer, "key"), FLOAT), key, axis=2)
            value = graph.op("Concat", graph.cast(past(layer, "value"), FLOAT), value, axis=2)
        graph.op("Cast", key, to=BF16, out=[present(layer, "key")])
        graph.op("Cast", value, to=BF16, out=[present(layer, "value")])
        size = lambda x: graph.op("Gather", graph.op("Shape", x), graph.const(2))
        count = lambda end: graph.op("Range", graph.const(0), end, graph.const(1))
        fed, total = size(query), size(key)
        rows = graph.op("Add", count(fed), graph.op("Sub", total, fed))
        seen = graph.op("LessOrEqual", count(total), graph.op("Unsqueeze", rows, graph.const([1])))
        real = graph.op("Unsqueeze", graph.cast(mask, BOOL), graph.const([1, 2]))
        scores = graph.op("MatMul", query, graph.op("Transpose", key, perm=[0, 1, 3, 2]))
        scores = graph.op("Mul", scores, graph.const(HEAD_SIZE**-0.5, np.float32))
        scores = graph.op("Where", graph.op("And", seen, real), scores, graph.const(-1e9, np.float32))
        mixed = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), value)
        return graph.op("Reshape", graph.op("Transpose", mixed, perm=[0, 2, 1, 3]), graph.const([0, 0, WIDTH]))

    return attention


def merged(weights, folder):
    past = lambda layer, kind: f"past_key_values.{layer}.{kind}"
    present = lambda layer, kind: f"present.{layer}.{kind}"
    whole = Graph(weights)
    branches = {}
    for name, branch_past in (("then_branch", past), ("else_branch", None)):
        graph = Graph(weights, f"{name}.")
        inner = lambda layer, kind, name=name: f"{name}.present.{layer}.{kind}"
        attention = masked(graph, "attention_mask", branch_past, inner)
        logits = graph.head(graph.decoder("input_ids", "position_ids", attention))
        outputs = [port(graph.cast(logits, BF16), BF16, "batch", "fed", VOCAB)] + cache_ports(BF16, past, inner)[1]
        branches[name] = helper.make_graph(graph.nodes, name, [], outputs)
        # Both halves use the weights of the graph around them.
        whole.initializers |= graph.initializers
    pasts, presents = cache_ports(BF16, past, present)
    out = ["logits"] + [output.name for output in presents]
    whole.op("If", "use_cache_branch", out=out, **branches)
    inputs = [
        port("input_ids", INT64, "batch", "fed"), port("attention_mask", INT64, "batch", "total"),
        port("position_ids", INT64, "batch", "fed"), port("use_cache_branch", BOOL, 1),
    ]
    save_model(folder / "model.onnx", whole, inputs + pasts, [port("logits", BF16, "batch", "fed", VOCAB)] + presents)


def expected(model):
    """Greedy tokens, logprobs and all logits of every prompt, each computed alone in float64."""
    model = model.double()
    generator = torch.Generator().manual_seed(7)
    prompts, greedy, margins, logprobs, logits = [], [], [], [], {}
    for index, length in enumerate(PROMPT_LENGTHS):
        ids = torch.randint(0, VOCAB, (1, length), generator=generator)
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
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/ort")
    model = make_model()
    state = model.transformer.state_dict()
    weights = {name: tensor.float().numpy() for name, tensor in state.items()}
    in_place(weights, target / "in-place")
    genai(weights, target / "genai")
    merged(weights, target / "merged")
    values, logits = expected(model)
    (target / "expected.json").write_text(json.dumps(values, indent=1) + "\n")
    (target / "expected_logits.safetensors").write_bytes(save(logits))


if __name__ == "__main__":
    main()

"""A model of transformers behind the inputs and outputs of the contract."""

import inspect

import torch
import transformers
from torch import _check as check
from transformers import AutoConfig, AutoModelForCausalLM

from exporting.attention import growing_cache
from exporting.refusal import Refused, first_line

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "f64": torch.float64}
UNKNOWN = 1 << 20  # positions of a model whose config tells of no limit


def load(options, attention, reference=False):
    dtype = DTYPES[options.dtype]
    transformers.utils.logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(
            options.model, dtype=dtype, attn_implementation=attention, local_files_only=True
        )
    except Exception as problem:  # whatever the libraries raise for a folder that is damaged or of another kind
        raise Refused(f"cannot load {options.model} as a causal language model: {first_line(problem)}") from problem
    # The answers in float32 tell a half-precision program's error from the rounding of transformers itself.
    if reference and dtype.itemsize == 2:
        model = model.float()
    return model.eval().requires_grad_(False).to(options.device)


def attentions(options):
    """The fused attention where the model's code has it, then its own."""
    family = AutoModelForCausalLM._model_mapping[type(AutoConfig.from_pretrained(options.model))]
    family = family[0] if isinstance(family, (list, tuple)) else family
    return ["sdpa", "eager"] if getattr(family, "_supports_sdpa", False) else ["eager"]


class Program:
    """The model behind the contract's inputs and outputs; `module` is what gets compiled."""
    def __init__(self, model, cache_shapes, options):
        self.model, self.device = model, options.device
        self.dtype = DTYPES[options.dtype]
        self.vocabulary = model.config.get_text_config().vocab_size
        self.context = context_of(model.config)
        self.cache_shapes = [] if options.no_cache else cache_shapes
        self.scripted = options.form == "torchscript"
        self.module = self.wrapped()

    def wrapped(self):
        model, known, scripted = self.model, inspect.signature(self.model.forward).parameters, self.scripted

        def run(input_ids, attention_mask, position_ids, logits_indices, cache):
            given = dict(input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids)
            past = cache.get_seq_length() if cache else 0
            given["cache_position"] = torch.arange(past, past + input_ids.shape[1], device=input_ids.device)
            given["logits_to_keep"] = logits_indices
            given = {name: value for name, value in given.items() if name in known}
            logits = model(**given, past_key_values=cache, use_cache=cache is not None, return_dict=True).logits
            return logits if "logits_to_keep" in known else logits[:, logits_indices]

        class Cached(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.model = model

            def forward(self, input_ids, attention_mask, position_ids, logits_indices, past_key_values):
                if scripted:
                    layers = list(zip(past_key_values[0::2], past_key_values[1::2]))
                else:
                    layers = [(layer["key"], layer["value"]) for layer in past_key_values]
                    same_sizes(input_ids, attention_mask, position_ids, [one for pair in layers for one in pair])
                cache = growing_cache(layers)
                logits = run(input_ids, attention_mask, position_ids, logits_indices, cache)
                present = [{"key": layer.keys, "value": layer.values} for layer in cache.layers]
                if not scripted:
                    return {"logits": logits, "present": present}
                flat = {f"present.{n}.{half}": layer[half] for n, layer in enumerate(present) for half in layer}
                return {"logits": logits, **flat}

        class Uncached(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.model = model

            def forward(self, input_ids, attention_mask, position_ids, logits_indices):
                if not scripted:
                    same_sizes(input_ids, attention_mask, position_ids, [])
                return {"logits": run(input_ids, attention_mask, position_ids, logits_indices, None)}

        return (Cached() if self.cache_shapes else Uncached()).eval()

    def inputs(self, ids, mask, positions, indices, past):
        """By argument; `past` as keys and values in turn, or None for the empty one."""
        given = dict(input_ids=ids, attention_mask=mask, position_ids=positions, logits_indices=indices)
        given = {name: torch.as_tensor(value, device=self.device) for name, value in given.items()}
        if self.cache_shapes:
            if past is None:
                past = [torch.zeros(len(ids), heads, 0, size, dtype=self.dtype, device=self.device)
                        for heads, size in self.cache_shapes]
            pairs = [{"key": key, "value": value} for key, value in zip(past[0::2], past[1::2])]
            given["past_key_values"] = list(past) if self.scripted else pairs
        return given

    def example(self):
        """Inputs to compile with. Their batch x sequence is what oneDNN packs weights for, and 256 suits all sizes.
        No two sizes that may differ are alike, nor 0 or 1."""
        past, sequence, kept = (5, 32, 24) if self.context >= 37 else (2, 4, 3)
        batch = 256 // sequence
        ids = torch.randint(self.vocabulary, (batch, sequence))
        keys = [torch.randn(batch, heads, past, size, dtype=self.dtype, device=self.device)
                for heads, size in self.cache_shapes]
        past = past if keys else 0
        mask = torch.ones(batch, past + sequence, dtype=torch.int64)
        positions = torch.arange(past, past + sequence).repeat(batch, 1)
        return self.inputs(ids, mask, positions, torch.arange(sequence - kept, sequence), keys)

    def __call__(self, **given):
        return self.module(**given)


def same_sizes(input_ids, attention_mask, position_ids, cache):
    """Tells torch.export which sizes are one and the same."""
    batch, sequence = input_ids.shape
    past = cache[0].shape[2] if cache else 0
    check(attention_mask.shape[0] == batch)
    check(attention_mask.shape[1] == past + sequence)
    check(position_ids.shape[0] == batch)
    check(position_ids.shape[1] == sequence)
    for tensor in cache:
        check(tensor.shape[0] == batch)
        check(tensor.shape[2] == past)


def results(out, scripted):
    """Logits, and keys and values in turn."""
    if scripted:
        return out["logits"], [value for name, value in out.items() if name != "logits"]
    return out["logits"], [layer[half] for layer in out.get("present", []) for half in ("key", "value")]


def context_of(config):
    config = config.get_text_config()
    return getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or UNKNOWN


def described(program, answers, padding, options):
    """What the docstring says under `inferhost`."""
    dtype = str(DTYPES[options.dtype]).removeprefix("torch.")

    def port(name, dtype, *shape):
        return {"name": name, "dtype": dtype, "shape": list(shape)}

    grown = "past + sequence" if program.cache_shapes else "sequence"
    inputs = [
        port("input_ids", "int64", "batch", "sequence"),
        port("attention_mask", "int64", "batch", grown),
        port("position_ids", "int64", "batch", "sequence"),
        port("logits_indices", "int64", "kept"),
    ]
    outputs = [port("logits", dtype, "batch", "kept", program.vocabulary)]
    for index, (heads, size) in enumerate(program.cache_shapes):
        half = f"{index // 2}.{('key', 'value')[index % 2]}"
        inputs.append(port(f"past_key_values.{half}", dtype, "batch", heads, "past", size))
        outputs.append(port(f"present.{half}", dtype, "batch", heads, "past + sequence", size))
    return {
        "version": 1, "inputs": inputs, "outputs": outputs, "padding": padding, "precision": options.dtype,
        "device": options.device, "parameters": answers.parameters, "architecture": answers.architecture,
        "context_length": None if program.context == UNKNOWN else program.context,
        "torch": torch.__version__, "transformers": transformers.__version__,
    }

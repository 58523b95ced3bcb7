"""`python make_gguf.py MODEL FOLDER`: FOLDER/f32.gguf and FOLDER/q8_0.gguf of a GPT-2 in Hugging Face's layout.

The model has no tokenizer, so neither have the files. Q8_0 is what llama.cpp's own quantiser would make: matrices in
blocks of 32 with a scale each, positions and vectors left in 32 bits.
"""

import json
import struct
import sys
from pathlib import Path

import gguf
import numpy as np

NAMES = {
    "ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
}  # fmt: skip
TOP = {
    "wte.weight": "token_embd.weight", "wpe.weight": "position_embd.weight",
    "ln_f.weight": "output_norm.weight", "ln_f.bias": "output_norm.bias",
}  # fmt: skip


def tensors(file):
    """Names and values of a safetensors file."""
    with open(file, "rb") as handle:
        size = struct.unpack("<Q", handle.read(8))[0]
        header = json.loads(handle.read(size))
    header.pop("__metadata__", None)
    data = np.memmap(file, dtype=np.uint8, mode="r", offset=8 + size)
    for name, entry in header.items():
        assert entry["dtype"] == "F32", f"{name} is {entry['dtype']}"
        start, end = entry["data_offsets"]
        yield name.removeprefix("transformer."), data[start:end].view(np.float32).reshape(entry["shape"])


def renamed(name, value):
    """llama.cpp's name and layout; matrices are outputs x inputs there."""
    if name in TOP:
        return TOP[name], value
    _, layer, rest = name.split(".", 2)
    part, kind = rest.rsplit(".", 1)
    # GPT-2's matrices are inputs x outputs.
    return f"blk.{layer}.{NAMES[part]}.{kind}", value.T if value.ndim == 2 else value


def write(model, target, quantised):
    config = json.loads((model / "config.json").read_text())
    writer = gguf.GGUFWriter(target, "gpt2")
    writer.add_name("synthetic GPT-2")
    writer.add_block_count(config["n_layer"])
    writer.add_context_length(config["n_positions"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_feed_forward_length(config["n_inner"] or 4 * config["n_embd"])
    writer.add_head_count(config["n_head"])
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0 if quantised else gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("no_vocab")
    writer.add_vocab_size(config["vocab_size"])
    for name, value in tensors(model / "model.safetensors"):
        name, value = renamed(name, value)
        value = np.ascontiguousarray(value)
        if quantised and value.ndim == 2 and name != "position_embd.weight":
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(value, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    model, folder = Path(sys.argv[1]), Path(sys.argv[2])
    write(model, folder / "f32.gguf", quantised=False)
    write(model, folder / "q8_0.gguf", quantised=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Compiles a causal language model of transformers to a program that the torch plugin runs without Python.

    python3 -m venv .venv && .venv/bin/pip install torch==2.11.0 transformers==4.57.6 safetensors
    .venv/bin/python scripts/export/torch_export.py MODEL_FOLDER OUT --form aotinductor     # OUT/model.pt2
    .venv/bin/python scripts/export/torch_export.py MODEL_FOLDER OUT --form torchscript     # OUT/model.ts

OUT is a folder, which gets `config.json` and the tokenizer's files too, or the program's own file, `NAME.pt2` or
`NAME.ts`. AOTInductor needs g++, and what it compiles runs on this processor's instruction set only. Nothing is
written unless the program agrees with transformers: prompts of one and more tokens, batches, steps with the cache,
rows of different lengths.

The contract. Whatever the model, a program takes and gives, in this order:

    input_ids              int64  [batch, sequence]
    attention_mask         int64  [batch, past + sequence]   0 hides a position
    position_ids           int64  [batch, sequence]
    logits_indices         int64  [kept]                     which of the sequence's positions get logits
    past_key_values.N.key  float  [batch, heads, past, head size], then .N.value, for every layer N
    logits                 float  [batch, kept, vocabulary]
    present.N.key          float  [batch, heads, past + sequence, head size], then .N.value

batch, sequence, kept >= 1, past >= 0, in one program. Rows of different lengths are padded on the left: mask 0, any
valid position. `--no-cache` leaves out past and present. All tensors are contiguous; float is the `--dtype`.

An AOTInductor package is called with keywords. A name is the path to a leaf of the call spec, joined by dots:
`past_key_values` is a list of {"key", "value"}, and so is `present` of the result {"logits", "present"}.
TorchScript's arguments have no dots: `forward(input_ids, attention_mask, position_ids, logits_indices,
past_key_values: List[Tensor])`, the list in the order above, and the result is a Dict[str, Tensor] by the names above.

Types and shapes, which neither form keeps, lie beside the program as JSON: under `inferhost` in the package's
metadata, as extra file `inferhost.json` in TorchScript. `inputs` and `outputs` are lists of {name, dtype, shape}, in
the order in which an AOTInductor package takes and gives them; `padding` is `left`, or `never` where rows must not be
padded; `context_length` is the most positions of a row, or null; `precision`, `device`, `parameters`, `architecture`,
`torch` and `transformers` say what was compiled.
"""

import argparse
import logging
import os
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

from exporting.refusal import Refused, last_line

SUFFIX = {"aotinductor": ".pt2", "torchscript": ".ts"}
DTYPES = ["f32", "f16", "bf16", "f64"]
TOKENIZER = ["tokenizer*.json", "tokenizer.model", "vocab.*", "merges.txt", "special_tokens_map.json",
             "added_tokens.json", "generation_config.json", "chat_template*"]


def main():
    options = arguments()
    # Compiled pieces are of no use afterwards, and those of a large model fill the disk.
    with tempfile.TemporaryDirectory(prefix="torch-export-") as scratch:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = scratch
        try:
            export(options, Path(scratch))
        except Refused as refusal:
            sys.exit(f"torch_export: {refusal}")


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("model", type=Path, help="a Hugging Face folder with config.json and weights")
    parser.add_argument("out", type=Path, help="folder to make, or a file that ends in .pt2 or .ts")
    parser.add_argument("--form", required=True, choices=SUFFIX)
    parser.add_argument("--dtype", default="f32", choices=DTYPES, help="of weights, cache and logits (f32)")
    parser.add_argument("--no-cache", action="store_true", help="without past and present")
    parser.add_argument("--no-freeze", action="store_true", help=(
        "aotinductor: leave weights as they are, instead of packing them for oneDNN: a smaller file, faster single "
        "tokens in f32, slower prompts and batches"))
    parser.add_argument("--device", default="cpu", help="that the program is for, such as cuda (cpu)")
    parser.add_argument("--force", action="store_true", help="replace what OUT holds")
    return parser.parse_args()


def export(options, scratch):
    target = target_file(options)
    quiet()
    # Not before: these take seconds to load, and a mistake should be told at once.
    from exporting.answers import CHECKS, RAGGED, Answers, agreeing
    from exporting.attention import patch_attention
    from exporting.compilers import compile_package, opened, trace
    from exporting.program import described, load

    answers = Answers(options, load(options, "eager", reference=True))
    patch_attention()
    program, padding = agreeing(options, answers)
    say = described(program, answers, padding, options)
    start = time.monotonic()
    make = {"aotinductor": compile_package, "torchscript": trace}[options.form]
    made = make(program, say, scratch, options)
    seconds = time.monotonic() - start
    checks = CHECKS + (RAGGED if padding == "left" else [])
    try:
        worst = answers.compare(opened(made, program), checks)
    except RuntimeError as problem:
        raise Refused(
            f"the compiled program does not run on other sizes than those it was compiled with: {last_line(problem)}; "
            f"{say['architecture']} decides by them, and nothing was written"
        ) from problem
    if not worst <= answers.tolerance:
        raise Refused(
            f"the compiled program's logits differ from those of transformers by {worst:.1e} of the largest, more "
            f"than the {answers.tolerance:.0e} allowed; nothing was written"
        )
    put(made, target, options)
    size = target.stat().st_size / 1e6
    print(f"wrote {target} ({options.form}, {options.dtype}, {size:.1f} MB, compiled in {seconds:.0f} s)")
    print(f"inputs: {', '.join(shown(say['inputs']))}; outputs: {', '.join(shown(say['outputs']))}")
    names = [name for name, *_ in checks if name in answers.rows]
    shares = f"differs from transformers by at most {worst:.1e} of the largest logit"
    print(f"{shares} in {len(names)} checks: {', '.join(names)}")
    if padding == "never":
        print("note: rows of different lengths do not agree when padded, so each will run alone")


def target_file(options):
    """The program's file, after the first look at what was asked."""
    if not (options.model / "config.json").is_file():
        raise Refused(f"{options.model} is no model folder: it holds no config.json")
    suffix, out = SUFFIX[options.form], options.out
    if out.suffix in (*SUFFIX.values(), ".pt") and not out.is_dir():
        if out.suffix != suffix and (out.suffix, options.form) != (".pt", "torchscript"):
            raise Refused(f"{out} should end in {suffix} with --form {options.form}")
        target = out
    elif out.exists() and not out.is_dir():
        raise Refused(f"{out} is a file; name a folder, or a file that ends in {suffix}")
    else:
        target = out / f"model{suffix}"
    if target.exists() and not options.force:
        raise Refused(f"{target} exists already; --force replaces it")
    if out.resolve() == options.model.resolve():
        raise Refused("OUT is the model's own folder; name another")
    if options.form == "aotinductor" and not shutil.which(os.environ.get("CXX", "g++")):
        raise Refused("AOTInductor needs a C++ compiler, and g++ was not found; install it or name one in CXX")
    return target


def quiet():
    """Keeps the libraries' chatter off the terminal; what matters is said by this script."""
    warnings.filterwarnings("ignore")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    logging.disable(logging.WARNING)


def put(made, target, options):
    """Moves the program to where it was asked for; the last step, and whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.move(made, beside)
        if target.parent == options.out:
            for pattern in ["config.json", *TOKENIZER]:
                for file in options.model.glob(pattern):
                    shutil.copy(file, target.parent / file.name)
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def shown(ports):
    """The first names and the last, without a line as long as the model is deep."""
    names = [port["name"] for port in ports]
    return names[:6] + ([f"... {names[-1]}"] if len(names) > 6 else [])


if __name__ == "__main__":
    main()

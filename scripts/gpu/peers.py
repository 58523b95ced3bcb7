"""Decode of one row on a GPU: transformers eager and the torch plugin, with and without CUDA graphs, in turns on the same
weights; prints ratios and the share of the memory floor.

    python3 peers.py --binaries FOLDER --out FOLDER [--model gpt2-124m] [--device cuda:0]

Called by `run.sh --peers`. Needs torch and transformers; that torch is also the plugin's, by LIBTORCH or from here."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import time

import bandwidth
import torch
import transformers

PROMPT, NEW, ROUNDS = 8, 128, 5
TARGET = 3.0
TYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


class Eager:
    """The model's own forward pass with its cache, greedy, a token id a step to the host."""

    def __init__(self, folder, dtype, device):
        torch.set_grad_enabled(False)
        self.device = device
        self.model = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=TYPES[dtype]).eval().to(device)

    def tpot(self):
        """Seconds per token after the first."""
        ids, past, ends = torch.arange(1, PROMPT + 1, device=self.device)[None], None, []
        for _ in range(NEW):
            answer = self.model(ids, past_key_values=past, use_cache=True, logits_to_keep=1)
            past, ids = answer.past_key_values, answer.logits[:, -1].argmax(-1, keepdim=True)
            int(ids)
            ends.append(time.perf_counter())
        return (ends[-1] - ends[0]) / (NEW - 1)


def config(args, dtype):
    """A matrix of one cell for each way that the plugin decodes."""
    graphs = {"graph": ", cuda_graph = true", "eager": ", cuda_graph = false"} if args.device != "cpu" else {"eager": ""}
    backends = "".join(
        f'[[backends]]\nname = "{name}"\nplugin = "torch"\n'
        f'options = {{ device = "{args.device}", dtype = "{dtype}", library = "{args.library}"{option} }}\n'
        for name, option in graphs.items()
    )
    return (
        f'name = "gpu-torch-{dtype}"\n[run]\nmodes = ["generate"]\nwarmups = 2\nrepetitions = {ROUNDS}\n'
        f'[[models]]\nname = "model"\nsource = "synthetic:{args.model}"\n{backends}'
        f'[[scenarios]]\nname = "decode"\nbatch = 1\nprompt_tokens = {PROMPT}\nnew_tokens = {NEW}\n'
    )


def ours(args, dtype):
    """Seconds per token by way of decoding, the model's folder, and its bytes as the runtime holds them."""
    path, folder = args.out / f"{dtype}.toml", args.out / dtype
    path.write_text(config(args, dtype))
    environment = os.environ | {"INFERHOST_CACHE_DIR": str(args.out / "cache")}
    subprocess.run([args.binaries / "inferhost", "run", path, "--out", folder], check=True, env=environment)
    taken = {}
    for line in (folder / "records.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["status"] != "ok":
            raise SystemExit(f"peers.py: {record['backend']}: {record['degraded']['message']}")
        taken.setdefault(record["backend"], []).append(sum(record["token_ms"][1:]) / 1e3 / (NEW - 1))
    manifest = json.loads((folder / "manifest.json").read_text())
    weights = manifest["backends"][0]["session"]["model"]["model_bytes"]
    return {name: statistics.median(seconds) for name, seconds in taken.items()}, weights


def model_folder(args):
    """Where inferhost keeps the synthetic model that the run above made."""
    return next(path.parent for path in (args.out / "cache" / "synthetic").glob("*/config.json"))


def main():
    parser = argparse.ArgumentParser(prog="peers.py")
    for name in ("binaries", "out"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--model", default="gpt2-124m")
    parser.add_argument("--device", default="cuda:0")
    args = parser.parse_args()
    args.out, args.library = args.out.absolute(), pathlib.Path(torch.__file__).parent
    args.out.mkdir(parents=True, exist_ok=True)
    speed = bandwidth.measure(args.device)["bytes_per_s"]
    print(f"{args.model} on {args.device}, batch 1, {PROMPT}+{NEW}; a copy moves {speed / 1e9:,.0f} GB/s")
    found = {"device": args.device, "copy_bytes_per_s": speed, "decode": {}}
    for dtype in TYPES:
        seconds, weights = ours(args, dtype)
        peer = Eager(model_folder(args), dtype, args.device)
        peer.tpot()
        eager = statistics.median(peer.tpot() for _ in range(ROUNDS))
        for name, taken in seconds.items():
            ratio, floor = eager / taken, weights / speed / taken
            best = name == max(seconds, key=lambda n: 1 / seconds[n])
            verdict = f", target {TARGET:g}x {'met' if ratio >= TARGET else 'NOT MET'}" if best else ""
            print(f"  {dtype} {name}: {1 / taken:,.0f} tok/s, {ratio:.2f}x transformers eager ({1 / eager:,.0f} tok/s), "
                  f"{floor:.0%} of the memory floor{verdict}")  # fmt: skip
        found["decode"][dtype] = {"eager_transformers_s": eager, "ours_s": seconds, "weight_bytes": weights}
    (args.out / "decode.json").write_text(json.dumps(found, indent=1) + "\n")
    print(f"results: {args.out}")


if __name__ == "__main__":
    main()

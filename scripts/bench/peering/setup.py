"""The peers' files and processes."""

import contextlib
import dataclasses
import json
import pathlib
import subprocess

from . import agreement, theirs, work

HERE = pathlib.Path(__file__).parent


def _once(marker, command, log):
    """Runs a command unless it was run before."""
    if marker.exists():
        return
    with log.open("w") as out:
        failed = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT).returncode
    if failed:
        lines = log.read_text().strip().splitlines()
        raise SystemExit(f"peers.py: {command[1].name} failed: {lines[-1] if lines else failed} ({log})")
    marker.touch()


def launches(folder, model, python, llama_python):
    """How every peer is started: its Python, its kind, its file and its options."""
    files = folder / "files"
    launch = theirs.Launch
    return {
        "transformers FP32": launch(python, "transformers", model, ("float32",)),
        "transformers BF16": launch(python, "transformers", model, ("bfloat16",)),
        "transformers compiled FP32": launch(python, "transformers", model, ("float32", "compiled"), compiles=True),
        "transformers compiled BF16": launch(python, "transformers", model, ("bfloat16", "compiled"), compiles=True),
        "optimum FP32": launch(python, "onnx", files / "model.onnx"),
        "optimum INT8": launch(python, "onnx", files / "model-int8.onnx"),
        "llama.cpp F32": launch(llama_python, "llama", files / "f32.gguf"),
        "llama.cpp Q8_0": launch(llama_python, "llama", files / "q8_0.gguf"),
    }


def make_files(folder, model, peers):
    """The same weights in the formats of those that are started."""
    files = folder / "files"
    files.mkdir(exist_ok=True)
    for kind, maker in (("onnx", "make_onnx"), ("llama", "make_gguf")):
        python = next((peer.python for peer in peers.values() if peer.kind == kind), None)
        if python:
            command = [python, HERE / f"{maker}.py", model, files]
            _once(files / f"{maker.removeprefix('make_')}.done", command, folder / f"{maker}.log")


def _start(launch, threads, log):
    """A worker that has answered once. llama.cpp dies in its AMX kernels where GCC built it without
    llama_tile_config.h; it is then measured without them, and says so."""
    for options in ((), ("no-extra-buffers",)) if launch.kind == "llama" else ((),):
        peer = theirs.Peer(dataclasses.replace(launch, options=launch.options + options), threads, log)
        try:
            peer.ask("greedy", ids=[[1] * work.DECODE.tokens], new=2)
            return peer
        except theirs.Ended as ended:
            problem = ended
    raise problem


@contextlib.contextmanager
def running(folder, peers, threads):
    """The peers' workers, by name, without those that cannot compile here."""
    with contextlib.ExitStack() as stack:
        started = {}
        for name, launch in peers.items():
            if launch.compiles:
                print(f"{name}: compiling, which takes minutes the first time", flush=True)
            try:
                started[name] = _start(launch, threads, folder / f"{name.replace(' ', '-')}.log")
            except theirs.Ended as ended:
                if not launch.compiles:
                    raise
                print(f"{name}: NOT MEASURED: {ended}", flush=True)
                continue
            stack.callback(started[name].close)
            print(f"{name}: {started[name].version}", flush=True)
        yield started


def check_all(host, model, backends, peers):
    """Ends the program where a side computes something else."""
    print("the same weights, the same answers? against inferhost's candle plugin in 64 bits:", flush=True)
    ids, new = agreement.prompt(), agreement.NEW_TOKENS
    exact = host.reference(model, ids, new)
    found = {name: agreement.check(name, host.answers(model, name, ids, new), exact) for name in backends}
    return found | {name: agreement.check(name, peer.answers(ids, new), exact) for name, peer in peers.items()}


def warm(peers, tasks):
    """Has peers that compile do so for every task, and never again."""
    for peer in peers.values():
        if peer.compiles:
            peer.warm(tasks)


def peak(python, threads):
    """Operations a second of the largest products the peers' libraries can do, by precision."""
    output = subprocess.run([python, HERE / "peak.py", str(threads)], check=True, capture_output=True, text=True).stdout
    return json.loads(output)

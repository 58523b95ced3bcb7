"""The peers' files and processes."""

import contextlib
import json
import pathlib
import subprocess

from . import agreement, ours, theirs

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


def make_files(folder, model, python, llama_python):
    """The same weights in the peers' formats: for every peer, its Python, its kind and its file."""
    files = folder / "files"
    files.mkdir(exist_ok=True)
    for kind, interpreter in (("onnx", python), ("gguf", llama_python)):
        command = [interpreter, HERE / f"make_{kind}.py", model, files]
        _once(files / f"{kind}.done", command, folder / f"make_{kind}.log")
    return {
        "transformers FP32": (python, "transformers", model),
        "optimum FP32": (python, "onnx", files / "model.onnx"),
        "optimum INT8": (python, "onnx", files / "model-int8.onnx"),
        "llama.cpp F32": (llama_python, "llama", files / "f32.gguf"),
        "llama.cpp Q8_0": (llama_python, "llama", files / "q8_0.gguf"),
    }


def _start(python, kind, file, threads, log):
    """A worker that has answered once. llama.cpp dies in its AMX kernels where GCC built it without
    llama_tile_config.h; it is then measured without them, and says so."""
    for options in ([], ["no-extra-buffers"]) if kind == "llama" else ([],):
        peer = theirs.Peer(python, kind, file, threads, log, *options)
        try:
            peer.ask("greedy", ids=[[1, 2, 3]], new=2)
            return peer
        except theirs.Ended as ended:
            problem = ended
    raise SystemExit(f"peers.py: {problem}")


@contextlib.contextmanager
def running(folder, files, threads):
    """The peers' workers, by name."""
    with contextlib.ExitStack() as stack:
        peers = {}
        for name, (python, kind, file) in files.items():
            log = folder / f"{name.replace(' ', '-')}.log"
            peers[name] = _start(python, kind, file, threads, log)
            stack.callback(peers[name].close)
        yield peers


def check_all(host, model, peers):
    """Ends the program where a side computes something else."""
    print("the same weights, the same answers? against inferhost's candle plugin in 64 bits:", flush=True)
    ids, new = agreement.prompt(), agreement.NEW_TOKENS
    exact = host.reference(model, ids, new)
    found = {name: agreement.check(name, host.answers(model, name, ids, new), exact) for name in ours.BACKENDS}
    return found | {name: agreement.check(name, peer.answers(ids, new), exact) for name, peer in peers.items()}


def peak(python, threads):
    """Operations a second of the largest products the peers' libraries can do, by precision."""
    output = subprocess.run([python, HERE / "peak.py", str(threads)], check=True, capture_output=True, text=True).stdout
    return json.loads(output)

"""What run.sh does with an unpacked bundle: doctor, bandwidth, conformance, greedy tokens, the matrix, the accuracy gate on a
trained model where the bundle has one, the table. Called by run.sh, with the environment that it has set.

Each step leaves OUT/steps/NAME.json when it has ended, whatever came out, and is not made again. One that the time limit
ends is made, or gone on with, by the next call; to make one again, remove its file."""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time

import backends
import table

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# After SIGINT the host ends its workers and keeps its records.
GRACE_S = 30
LEAST_S = 5
PASSED, SOME_FAILED, WAITING, OUT_OF_TIME, INTERRUPTED = 0, 1, 3, 75, 130
ORACLE = ("--plugin", "candle", "--option", "dtype=f64")
TOKENS = [[(row * 7919 + at * 104_729) % 50_257 for at in range(length)] for row, length in ((1, 19), (2, 7))]
TOKEN_MODELS = {"cpu": ("synthetic:tiny-gpt2",), "gpu": ("synthetic:tiny-gpt2", "synthetic:gpt2-124m")}
NEW_TOKENS = 32


class OutOfTime(Exception):
    """The step that the time limit ended."""


class Steps:
    """Steps that are made once, within a time limit for all of them."""

    def __init__(self, out, limit_s):
        self.folder, self.end, self.failed = out / "steps", time.monotonic() + limit_s, []
        self.folder.mkdir(parents=True, exist_ok=True)

    def make(self, name, command, judge):
        """Runs `command` unless an earlier call has; `judge` makes a verdict of its exit code and output: "ok…" passes."""
        mark = self.folder / f"{name}.json"
        if mark.exists():
            verdict = json.loads(mark.read_text())["verdict"]
            self.say(name, f"{verdict} (earlier)")
            return self.folder / f"{name}.out"
        start = time.monotonic()
        code = self.run(name, command)
        verdict = judge(code, (self.folder / f"{name}.out").read_text(errors="replace"))
        if not verdict.startswith("ok"):
            errors = (self.folder / f"{name}.err").read_text(errors="replace").strip().splitlines()
            verdict += f": {errors[-1][:300]}" if errors else ""
        found = {"verdict": verdict, "seconds": round(time.monotonic() - start, 1), "command": [str(one) for one in command]}
        mark.write_text(json.dumps(found, indent=1) + "\n")
        self.say(name, f"{verdict}, {found['seconds']} s")
        return self.folder / f"{name}.out"

    def say(self, name, verdict):
        print(f"{name}: {verdict}", flush=True)
        if verdict.startswith("FAILED"):
            self.failed.append(name)

    def run(self, name, command):
        left = self.end - time.monotonic()
        if left < LEAST_S:
            raise OutOfTime(name)
        with open(self.folder / f"{name}.out", "w") as out, open(self.folder / f"{name}.err", "w") as err:
            process = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, process_group=0)
            try:
                return process.wait(left)
            except (subprocess.TimeoutExpired, KeyboardInterrupt) as ended:
                end(process)
                if isinstance(ended, KeyboardInterrupt):
                    raise
                raise OutOfTime(name) from ended


def end(process):
    """Asks it to end as Ctrl-C does, and then ends it and all in its group."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def by_exit_code(code, _):
    return "ok" if code == 0 else f"FAILED (exit code {code})"


def conforms(code, output):
    counts = [text for text in output.splitlines() if " checks: " in text]
    return f"{'ok' if code == 0 else 'FAILED'} {counts[-1] if counts else f'(exit code {code})'}"


def doctor(args, steps):
    """By plugin: none where it can be used, else why not. Asked anew until all that the bundle brings is there."""
    inferhost = args.programs / "bin" / "inferhost"
    steps.run("doctor-text", [inferhost, "doctor"])
    shutil.copyfile(steps.folder / "doctor-text.out", args.out / "doctor.txt")
    steps.run("doctor", [inferhost, "doctor", "--json"])
    try:
        plugins = json.loads((steps.folder / "doctor.out").read_text())["plugins"]
    except (ValueError, KeyError):
        raise SystemExit(f"run.sh: inferhost doctor gave no answer; see {steps.folder}/doctor.err") from None
    return {plugin["name"]: problem(plugin) for plugin in plugins}


def problem(plugin):
    """Why a plugin cannot be used at all; that one of its devices is missing shows when that is opened."""
    description = plugin.get("description") or {}
    runtime = description.get("runtime") or {}
    if not plugin["path"]:
        return "the bundle does not hold it"
    return runtime.get("problem") or (None if description else plugin["fix"] or "it does not load")


def conformance(args, steps, unusable):
    for backend in backends.backends(args.device):
        if reason := unusable.get(backend.plugin, "the bundle does not hold it"):
            steps.say(f"conformance-{backend.name}", f"not possible: {reason}")
            continue
        golden = ["--golden", args.programs / "tests" / "golden", "--tolerance", str(backend.tolerance)]
        command = [args.programs / "bin" / "inferhost", "conformance", *backend.arguments(), *golden]
        steps.make(f"conformance-{backend.name}", command, conforms)


def greedy_tokens(args, steps, unusable):
    """What is computed in 32 bits gives the tokens that 64 bits on the CPU give."""
    prompts = args.out / "prompts.json"
    prompts.write_text(json.dumps(TOKENS) + "\n")
    for model in TOKEN_MODELS["cpu" if args.device == "cpu" else "gpu"]:
        rest = ["--model", model, "--tokens", prompts, "--max-new-tokens", str(NEW_TOKENS), "--json"]
        name = model.partition(":")[2]
        command = [args.programs / "bin" / "inferhost", "generate"]
        oracle = steps.make(f"tokens-{name}-oracle", [*command, *ORACLE, *rest], by_exit_code)
        for backend in backends.exact(args.device):
            if unusable.get(backend.plugin, "absent"):
                continue
            judge = lambda code, output: same_tokens(code, output, oracle.read_text())
            steps.make(f"tokens-{name}-{backend.name}", [*command, *backend.arguments(), *rest], judge)


def same_tokens(code, output, wanted):
    if code:
        return f"FAILED (exit code {code})"
    try:
        found, wanted = (json.loads(text)["tokens"] for text in (output, wanted))
    except (ValueError, KeyError):
        return "FAILED (no tokens to compare)"
    same = sum(a == b for one, other in zip(found, wanted) for a, b in zip(one, other))
    return f"{'ok' if found == wanted else 'FAILED'} {same} of {sum(map(len, wanted))} tokens are the oracle's"


def gate(args, steps, unusable):
    """The accuracy gate where it has something to go by: the config's backends on a trained model."""
    models = sorted(args.work.glob("model/*/config.json"))
    texts = sorted(args.work.glob("model/*.txt"))
    if not (models and texts):
        return steps.say("gate", "not made: the bundle has no trained model (pack.sh --model FOLDER --text FILE)")
    path = args.out / "gate.toml"
    path.write_text(gate_config(args.config.read_text(), models[0].parent, texts[0], unusable, args.device))
    command = [args.programs / "bin" / "inferhost", "eval", path, "--out", args.out / "gate"]
    return steps.make("gate", goes_on(command, args.out / "gate"), by_exit_code)


def gate_config(text, model, corpus, unusable, device):
    """The matrix's backends that can be used, on the trained model and its text."""

    def is_usable(backend):
        plugin = re.search(r'(?m)^plugin = "(.*)"', backend).group(1)
        return not unusable.get(plugin, "absent") and (device != "cpu" or '"cuda' not in backend)

    top, *tables = re.split(r"(?m)^(?=\[)", re.sub(r"(?m)^#.*\n", "", text))
    kept = [one for one in tables if not one.startswith(("[[models]]", "[accuracy"))]
    kept = [one for one in kept if not one.startswith("[[backends]]") or is_usable(one)]
    added = f'[[models]]\nname = "trained"\nsource = {json.dumps(str(model))}\n[accuracy]\ntext = {json.dumps(str(corpus))}\n'
    if device == "cpu":
        added += "max_tokens = 512\nwindow = 128\n"
    return top + "".join(kept) + added


def goes_on(command, folder):
    """With --resume where an earlier call has begun."""
    return [*command, "--resume"] if (folder / "records.jsonl").exists() or (folder / "accuracy.jsonl").exists() else command


def matrix(args, steps):
    folder = args.out / args.config.stem
    command = [args.programs / "bin" / "inferhost", "run", args.config, "--out", folder]
    steps.make(args.config.stem, goes_on(command, folder), by_exit_code)
    return folder


def peers(args, steps):
    command = [sys.executable, HERE / "peers.py", "--binaries", args.programs / "bin", "--device", args.device]
    steps.make("peers", [*command, "--out", args.out / "peers"], by_exit_code)


def bandwidth(args, steps):
    path = args.out / "bandwidth.json"
    steps.make("bandwidth", [sys.executable, HERE / "bandwidth.py", "--device", args.device, "--json", path], by_exit_code)
    return json.loads(path.read_text()) if path.exists() else None


def export(out, path):
    """All results as one file, whole or not at all."""
    part = path.with_name(path.name + ".part")
    with tarfile.open(part, "w:xz") as tar:
        tar.add(out, out.name)
    part.replace(path)
    print(f"results: {out}, packed in {path}")


def all_steps(args, steps):
    """Gives what run.sh is to end with."""
    measured = bandwidth(args, steps)
    unusable = doctor(args, steps)
    conformance(args, steps, unusable)
    greedy_tokens(args, steps, unusable)
    if args.peers:
        peers(args, steps)
    if args.waiting:
        print("the matrix waits for the pieces that are missing; --incomplete runs it without them")
        return WAITING
    folder = matrix(args, steps)
    gate(args, steps, unusable)
    if (folder / "summary.csv").exists():
        text = table.table(folder, measured)
        (args.out / f"{folder.name}-table.txt").write_text(text + "\n")
        print(f"\n{folder.name}\n{text}")
    if steps.failed:
        print(f"\nFAILED: {', '.join(steps.failed)}; see {steps.folder}")
    return SOME_FAILED if steps.failed else PASSED


def arguments():
    parser = argparse.ArgumentParser(prog="run.sh")
    for name in ("work", "out", "config"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--limit", type=float, required=True)
    parser.add_argument("--export", type=pathlib.Path)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--waiting", action="store_true")
    args = parser.parse_args()
    args.work, args.out, args.programs = args.work.resolve(), args.out.resolve(), ROOT
    args.out.mkdir(parents=True, exist_ok=True)
    return args


def main():
    args = arguments()
    steps = Steps(args.out, args.limit)
    try:
        code = all_steps(args, steps)
    except OutOfTime as step:
        print(f"the time limit ended {step}; call again with the same arguments to go on")
        code = OUT_OF_TIME
    except KeyboardInterrupt:
        code = INTERRUPTED
    if args.export:
        export(args.out, args.export)
    sys.exit(code)


if __name__ == "__main__":
    main()

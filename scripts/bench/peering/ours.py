"""Our side: the `inferhost` binary, as a user runs it."""

import dataclasses
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile

from . import floor, machine, work


@dataclasses.dataclass(frozen=True)
class Backend:
    """A plugin, what it opens, and its options beside `threads` and `library`."""

    plugin: str
    # None: the plugin opens the model's own folder.
    artifact: str | None = None
    options: dict = dataclasses.field(default_factory=dict)


BACKENDS = {
    "ort-fp32": Backend("ort", "onnx-fp32"),
    "ort-int8-dynamic": Backend("ort", "onnx-int8-dynamic"),
    "ort-int8-weight": Backend("ort", "onnx-int8-weight"),
    "ort-int4-weight": Backend("ort", "onnx-int4-weight"),
    "torch-fp32": Backend("torch"),
    "torch-bf16": Backend("torch", options={"dtype": "bf16"}),
    "torch-int8-dynamic": Backend("torch", options={"quantize": "int8-dynamic"}),
    "torch-int8-weight": Backend("torch", options={"quantize": "int8-weight"}),
    "torch-int4-weight": Backend("torch", options={"quantize": "int4-weight"}),
}

CONFIG = """
name = "peers"
[run]
modes = ["{mode}"]
warmups = {warmups}
repetitions = {calls}
[[models]]
name = "model"
source = {model}
[[backends]]
name = "{backend}"
plugin = "{plugin}"
{artifact}
options = {{ {options} }}
"""
SCENARIO = """
[[scenarios]]
name = "{name}"
batch = {rows}
prompt_tokens = {tokens}
"""


@dataclasses.dataclass
class Host:
    """The binary, the runtimes' libraries by plugin, and a cache of its own."""

    binaries: pathlib.Path
    libraries: dict
    cache: pathlib.Path
    threads: int

    def environment(self, cache=None):
        return os.environ | {
            "INFERHOST_CACHE_DIR": str(cache or self.cache),
            "INFERHOST_PLUGIN_DIR": str(self.binaries),
        }

    def _output(self, *arguments):
        command = [self.binaries / "inferhost", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, env=self.environment())
        if result.returncode:
            raise SystemExit(f"peers.py: {' '.join(map(str, command))} failed: {result.stderr.strip()[-2000:]}")
        return result.stdout

    def model(self, shape):
        """The folder in Hugging Face's layout that `synthetic:<shape>` is written to."""
        kept = self.cache / f"{shape}.folder"
        if not (kept.exists() and pathlib.Path(kept.read_text()).exists()):
            models = self.cache / "synthetic"
            before = set(models.glob("*/"))
            artifact = "onnx-int8-dynamic"
            found = json.loads(self._output("prepare", "--model", f"synthetic:{shape}", "--artifact", artifact,
                                            "--no-check", "--json"))  # fmt: skip
            new = set(models.glob("*/")) - before
            assert len(new) == 1, f"which of {new} is {shape}?"
            kept.write_text(str(new.pop()))
            shutil.rmtree(found["folder"])
        return pathlib.Path(kept.read_text())

    def matrix_bytes(self, model, backend):
        """Bytes of the matrices that a step of the backend reads, each once; builds the artifact where the cache lacks
        it. A runtime that opens the folder tells in what it keeps how many of the weights."""
        artifact = BACKENDS[backend].artifact
        if artifact:
            output = self._output("prepare", "--model", model, "--artifact", artifact, "--no-check", "--json")
            return sum(json.loads(output)["artifact"]["coverage"]["weight_bytes"].values())
        _, manifest = self._run(model, backend, "prefill", [work.Prefill(1, 1)], 0, 1)
        session = manifest["backends"][0]["session"]["model"]
        return floor.stored_bytes(floor.Shape.of(model), session["details"]["matrices"])

    def measure_prepare(self, model, artifact, calls):
        """Wall seconds and peak resident bytes of `prepare` with a cache that holds nothing, of each call."""
        command = [self.binaries / "inferhost", "prepare", "--model", model, "--artifact", artifact, "--no-check"]
        measured = []
        for _ in range(calls):
            with tempfile.TemporaryDirectory(dir=self.cache) as empty:
                measured.append(machine.wall_and_peak(command, self.environment(empty)))
        return measured

    def reference(self, model, ids, new):
        """Logits and greedy tokens in 64 bits, from the plugin that others are checked with."""
        return self._answers(model, ids, new, "--plugin", "candle", "--option", "dtype=f64")

    def answers(self, model, backend, ids, new):
        """The same from a backend that is to be measured."""
        chosen = BACKENDS[backend]
        options = {"library": self.libraries[chosen.plugin]} | chosen.options
        arguments = [part for key, value in options.items() for part in ("--option", f"{key}={value}")]
        if chosen.artifact:
            arguments += ["--artifact", chosen.artifact]
        return self._answers(model, ids, new, "--plugin", chosen.plugin, *arguments)

    def _answers(self, model, ids, new, *plugin):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as tokens:
            json.dump(ids, tokens)
            tokens.flush()
            common = ["--model", model, "--tokens", tokens.name, "--option", f"threads={self.threads}", "--json"]
            logits = json.loads(self._output("prefill", *plugin, *common))["logits"]
            made = json.loads(self._output("generate", "--max-new-tokens", str(new), *plugin, *common))
        return {"logits": logits, "tokens": made["tokens"]}

    def measure(self, model, backend, tasks, warmups, calls):
        """Seconds of every task, by its name: the median of `calls`, each task's mode in a run of its own."""
        seconds = {}
        for mode, kind in (("generate", work.Decode), ("prefill", work.Prefill)):
            chosen = [task for task in tasks if isinstance(task, kind)]
            if chosen:
                seconds |= self._run(model, backend, mode, chosen, warmups[mode], calls[mode])[0]
        return seconds

    def _config(self, model, backend, mode, warmups, calls):
        chosen = BACKENDS[backend]
        options = {"threads": self.threads, "library": str(self.libraries[chosen.plugin])} | chosen.options
        return CONFIG.format(
            mode=mode, warmups=warmups, calls=calls, backend=backend, plugin=chosen.plugin,
            model=json.dumps(str(model)),
            artifact=f'artifact = "{chosen.artifact}"' if chosen.artifact else "",
            options=", ".join(f"{key} = {json.dumps(value)}" for key, value in options.items()),
        )  # fmt: skip

    def _run(self, model, backend, mode, tasks, warmups, calls):
        """Seconds of every task, by its name, and the run's manifest."""
        text = self._config(model, backend, mode, warmups, calls)
        by_scenario = {f"s{index}": task for index, task in enumerate(tasks)}
        for name, task in by_scenario.items():
            text += SCENARIO.format(name=name, rows=task.rows, tokens=task.tokens)
            if mode == "generate":
                text += f"new_tokens = {task.new}\n"
        with tempfile.TemporaryDirectory() as folder:
            config, out = pathlib.Path(folder, "config.toml"), pathlib.Path(folder, "out")
            config.write_text(text)
            self._output("run", config, "--out", out)
            records = [json.loads(line) for line in (out / "records.jsonl").open()]
            manifest = json.loads((out / "manifest.json").read_text())
        bad = [record["degraded"] for record in records if record["status"] != "ok"]
        if bad:
            raise SystemExit(f"peers.py: {backend} gave no valid measurement: {bad[0]}")
        seconds = {
            task.name: statistics.median(
                (record["latency_ms"] - (record["ttft_ms"] or 0.0)) / 1e3
                for record in records
                if record["scenario"] == scenario
            )
            for scenario, task in by_scenario.items()
        }
        return seconds, manifest

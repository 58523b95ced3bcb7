"""Their side: one process for each peer, kept from round to round and idle between its turns."""

import dataclasses
import json
import os
import pathlib
import statistics
import subprocess

from . import work

WORKER = pathlib.Path(__file__).with_name("worker.py")


class Ended(Exception):
    """A worker ended where an answer was due."""


@dataclasses.dataclass(frozen=True)
class Launch:
    """What a worker is started with. One that `compiles` may be unable to, and is then left out."""

    python: pathlib.Path
    kind: str
    file: pathlib.Path
    options: tuple = ()
    compiles: bool = False


class Peer:
    """A running worker."""

    def __init__(self, launch, threads, log):
        self.kind, self.compiles, self.log = launch.kind, launch.compiles, log
        # What torch compiled is kept for the next run.
        environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(log.parent / "inductor")}
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                [launch.python, WORKER, launch.kind, launch.file, str(threads), *launch.options],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment,
            )  # fmt: skip
        self.version = self._answer()["version"]

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            last = (self.log.read_text().strip().splitlines() or ["no message"])[-1]
            raise Ended(f"the {self.kind} worker ended with {code}: {last} ({self.log})")
        return json.loads(line)

    def ask(self, call, **arguments):
        self.process.stdin.write(json.dumps({"call": call} | arguments) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def answers(self, ids, new):
        """Logits of a prompt's last position, and greedy tokens."""
        if self.kind != "llama":
            return self.ask("greedy", ids=ids, new=new)
        rows = [self.ask("greedy", ids=[row], new=new) for row in ids]
        return {key: [row[key][0] for row in rows] for key in rows[0]}

    def warm(self, tasks):
        """Runs every task once, so that what is compiled at its first call is not compiled in a round."""
        once = {"generate": 1, "prefill": 1}
        self.measure(tasks, dict.fromkeys(once, 0), once)
        self.ask("settle")

    def measure(self, tasks, warmups, calls):
        """Seconds of every task it can do, by its name: the median of its calls."""
        seconds = {}
        for task in tasks:
            if self.kind == "llama" and task.rows > 1:
                continue
            mode = "generate" if isinstance(task, work.Decode) else "prefill"
            request = {"rows": task.rows, "tokens": task.tokens, "warmups": warmups[mode], "calls": calls[mode]}
            if mode == "generate":
                request["new"] = task.new
            seconds[task.name] = statistics.median(self.ask(mode, **request))
        return seconds

    def close(self):
        self.process.stdin.close()
        self.process.wait()

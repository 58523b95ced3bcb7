"""Their side: one process for each peer, kept from round to round and idle between its turns."""

import json
import pathlib
import statistics
import subprocess

from . import work

WORKER = pathlib.Path(__file__).with_name("worker.py")


class Ended(Exception):
    """A worker ended where an answer was due."""


class Peer:
    """A running worker."""

    def __init__(self, python, kind, file, threads, log, *options):
        self.kind, self.log = kind, log
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                [python, WORKER, kind, file, str(threads), *options], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=errors, text=True,
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

"""Rounds: every side in its turn, so that all meet the same machine, and what is made of them."""

import dataclasses

from . import machine, ours, work

# How often a call is made, in every round and by every side.
WARMUPS, CALLS = {"generate": 1, "prefill": 2}, {"generate": 2, "prefill": 5}
QUICK_CALLS = {"generate": 1, "prefill": 2}
# Neighbours are what is compared.
ORDER = [
    "torch-int4-weight", "torch-int8-dynamic", "transformers BF16", "transformers compiled BF16", "torch-bf16",
    "torch-int8-weight", "transformers compiled FP32", "torch-fp32", "transformers FP32", "optimum FP32", "ort-fp32",
    "llama.cpp F32", "ort-int4-weight", "ort-int8-weight", "llama.cpp Q8_0", "ort-int8-dynamic", "optimum INT8",
]  # fmt: skip
# More of the CPUs' time than this in other hands, and the figures are theirs.
MOST_OTHERS = 0.05


@dataclasses.dataclass
class Setting:
    """What a round needs: the host and its model, running peers by name, bytes of matrices by backend of ours, what is
    to be done how often, and two gauges of the machine."""

    host: ours.Host
    model: object
    peers: dict
    sizes: dict
    tasks: list
    calls: dict
    memory: machine.Memory
    others: machine.Others

    def _turn(self, name):
        """Seconds by task; for ours also the memory's speed."""
        if name in self.peers:
            return self.peers[name].measure(self.tasks, WARMUPS, self.calls), None
        measure = self.host.measure
        return self.memory.around(
            self.sizes[name], lambda: measure(self.model, name, self.tasks, WARMUPS, self.calls)
        )

    def round(self, backwards):
        """Seconds by side and task, the memory's speed by backend of ours, and the others' share of the CPUs."""
        workers = [peer.process.pid for peer in self.peers.values()]
        before = self.others.reading(workers)
        sides = [name for name in ORDER if name in self.peers or name in self.sizes]
        turns = {name: self._turn(name) for name in (sides[::-1] if backwards else sides)}
        return {
            "seconds": {name: turns[name][0] for name in sides},
            "speeds": {name: turns[name][1] for name in self.sizes},
            "dram": self.memory.read_speed(machine.DRAM_BYTES),
            "others": self.others.share(before, self.others.reading(workers)),
        }


def run(count, setting):
    """`count` rounds, every second one backwards. A round in which other processes were busy is run again, at most
    `count` times in all; it then counts only where too few were quiet."""
    quiet, loud = [], []
    while len(quiet) < count and len(loud) <= count:
        done = setting.round(backwards=(len(quiet) + len(loud)) % 2 == 1)
        noise = done["others"]
        busy = "an unknown share" if noise is None else f"{noise:.0%}"
        again = noise is not None and noise > MOST_OTHERS
        (loud if again else quiet).append(done)
        print(f"  memory reads at {done['dram'] / 1e9:.1f} GB/s, other processes took {busy} of these CPUs: "
              f"{'not counted' if again else f'round {len(quiet)} of {count}'}", flush=True)  # fmt: skip
    if len(quiet) < count:
        loud.sort(key=lambda done: done["others"])
        print("  NOTE: this machine has other things to do; the quietest rounds count, and figures to keep need better")
    return quiet + loud[: count - len(quiet)]


def shares(sizes, rounds):
    """How near our decode of one row comes to the memory floor, by backend."""
    found = {}
    for backend, size in sizes.items():
        steps = work.DECODE.new - 1
        speeds = [r["speeds"][backend] for r in rounds]
        seconds = [r["seconds"][backend][work.DECODE.name] for r in rounds]
        found[backend] = {
            "weight_bytes": size,
            "speed": machine.spread(speeds),
            "floor_tok_s": machine.spread([speed / size for speed in speeds]),
            "tok_s": machine.spread([work.DECODE.rate(taken) for taken in seconds]),
            "share": machine.spread(
                [size / speed * steps / taken for speed, taken in zip(speeds, seconds, strict=True)]
            ),
        }
    return found

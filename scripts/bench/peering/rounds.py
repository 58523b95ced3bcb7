"""Rounds: every side in its turn, so that all meet the same machine, and what is made of them."""

from . import floor, machine, work

# How often a call is made, in every round and by every side.
WARMUPS, CALLS = {"generate": 1, "prefill": 2}, {"generate": 2, "prefill": 5}
QUICK_CALLS = {"generate": 1, "prefill": 2}
# Neighbours are what is compared.
ORDER = [
    "transformers FP32", "optimum FP32", "ort-fp32", "llama.cpp F32", "ort-int4-weight", "ort-int8-weight",
    "llama.cpp Q8_0", "ort-int8-dynamic", "optimum INT8",
]  # fmt: skip
# More of the CPUs' time than this in other hands, and the figures are theirs.
MOST_OTHERS = 0.05


def _turn(name, host, model, peers, calls, artifacts, memory):
    """Seconds by task; for ours also the memory's speed."""
    if name in peers:
        return peers[name].measure(work.WORK, WARMUPS, calls), None
    size = floor.weight_bytes(artifacts[name])
    return memory.around(size, lambda: host.measure(model, name, work.WORK, WARMUPS, calls))


def _round(backwards, calls, host, model, peers, memory, artifacts, others):
    """Seconds by side and task, the memory's speed by backend of ours, and the others' share of the CPUs."""
    workers = [peer.process.pid for peer in peers.values()]
    before = others.reading(workers)
    order = ORDER[::-1] if backwards else ORDER
    turns = {name: _turn(name, host, model, peers, calls, artifacts, memory) for name in order}
    return {
        "seconds": {name: turns[name][0] for name in ORDER},
        "speeds": {name: turns[name][1] for name in artifacts},
        "dram": memory.read_speed(machine.DRAM_BYTES),
        "others": others.share(before, others.reading(workers)),
    }


def run(count, *setting):
    """`count` rounds, every second one backwards. A round in which other processes were busy is run again, at most
    `count` times in all; it then counts only where too few were quiet."""
    quiet, loud = [], []
    while len(quiet) < count and len(loud) <= count:
        done = _round((len(quiet) + len(loud)) % 2 == 1, *setting)
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


def shares(artifacts, rounds):
    """How near our decode of one row comes to the memory floor, by backend."""
    found = {}
    for backend, artifact in artifacts.items():
        size, steps = floor.weight_bytes(artifact), work.DECODE.new - 1
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

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


def _measure(name, host, model, peers, calls):
    if name in peers:
        return peers[name].measure(work.WORK, WARMUPS, calls)
    return host.measure(model, name, work.WORK, WARMUPS, calls)


def run(count, calls, host, model, peers, memory, sizes, others):
    """Of every round: seconds by side and task, the memory's speed by size, and the others' share of the CPUs. Every
    second round goes backwards."""
    workers = [peer.process.pid for peer in peers.values()]
    rounds = []
    for index in range(count):
        before = others.reading(workers)
        order = ORDER if index % 2 == 0 else ORDER[::-1]
        measured = {name: _measure(name, host, model, peers, calls) for name in order}
        speeds = {size: memory.read_speed(size) for size in sizes}
        share = others.share(before, others.reading(workers))
        rounds.append({"seconds": {name: measured[name] for name in ORDER}, "speeds": speeds, "others": share})
        busy = "an unknown share" if share is None else f"{share:.0%}"
        print(f"  round {index + 1} of {count}: memory reads at {speeds[machine.DRAM_BYTES] / 1e9:.1f} GB/s; other "
              f"processes took {busy} of these CPUs", flush=True)  # fmt: skip
    if any((r["others"] or 0) > MOST_OTHERS for r in rounds):
        print("  NOTE: other processes were busy; figures to keep need a machine that has nothing else to do")
    return rounds


def shares(artifacts, rounds):
    """How near our decode of one row comes to the memory floor, by backend."""
    found = {}
    for backend, artifact in artifacts.items():
        size, steps = floor.weight_bytes(artifact), work.DECODE.new - 1
        speeds = [r["speeds"][size] for r in rounds]
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

"""What a program is held against: transformers itself on seeded random tokens."""

import torch

from exporting.program import Program, attentions, context_of, load, results
from exporting.refusal import Refused, first_line

# Largest difference of logits from those of transformers, relative to the largest logit. In half precision those are
# computed in float32 from the same rounded weights; in f64, transformers itself rounds to float32 inside of norms.
TOLERANCE = {"f32": 1e-4, "f16": 1e-2, "bf16": 5e-2, "f64": 1e-5}
# Lengths of a batch's prompts, then the lengths of the steps that follow with the cache.
CHECKS = [
    ("prefill 1x1", [1], []),
    ("prefill 1x7", [7], []),
    ("prefill 3x5", [5, 5, 5], []),
    ("prefill 1x24", [24], []),
    ("decode 1x4+3", [4], [1, 1, 1]),
    ("decode 1x1+2", [1], [1, 1]),
    ("decode 2x6+2", [6, 6], [1, 1]),
    ("chunks 1x2+3+4+1", [2], [3, 4, 1]),
]
RAGGED = [("ragged 5,1,3", [5, 1, 3], []), ("ragged 2,7+2", [2, 7], [1, 1])]


class Answers:
    """What transformers itself gives for seeded random tokens: every row alone, whole, without a cache."""

    def __init__(self, options, model):
        self.tolerance, self.device = TOLERANCE[options.dtype], options.device
        self.vocabulary, self.context = model.config.get_text_config().vocab_size, context_of(model.config)
        self.generator = torch.Generator().manual_seed(20261120)
        self.uncached = options.no_cache
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        self.architecture = type(model).__name__
        with torch.no_grad():
            self.cache_shapes = [] if options.no_cache else cache_shapes_of(model, options)
            self.rows = {name: [self.row(model, length + sum(steps)) for length in lengths]
                         for name, lengths, steps in CHECKS + RAGGED if self.fits(lengths, steps)}

    def fits(self, lengths, steps):
        return max(lengths) + sum(steps) <= self.context

    def row(self, model, length):
        ids = torch.randint(self.vocabulary, (1, length), generator=self.generator)
        return ids[0].tolist(), model(ids.to(self.device), use_cache=False).logits[0]

    def compare(self, program, checks):
        """The largest difference of any logit, relative to the largest logit of its row; infinite for NaN."""
        worst = 0.0
        with torch.no_grad():
            for name, lengths, steps in checks:
                if name in self.rows:
                    for got, expected in self.followed(program, self.rows[name], lengths, steps):
                        difference = ((got.float() if got.dtype.itemsize == 2 else got) - expected).abs().max()
                        relative = float(difference / expected.abs().max())
                        worst = max(worst, relative) if relative == relative else float("inf")
        return worst

    def followed(self, program, rows, lengths, steps):
        """Runs prompts and then the steps; yields each row's logits with the expected ones."""
        width = max(lengths)
        pads = [width - length for length in lengths]
        ids = [[0] * pad + row for pad, (row, _) in zip(pads, rows)]
        cache, done = None, 0
        for step in [width, *steps]:
            end = done + step
            first = 0 if self.uncached else done
            mask = [[int(at >= pad) for at in range(end)] for pad in pads]
            positions = [[max(at - pad, 0) for at in range(first, end)] for pad in pads]
            given = ([row[first:end] for row in ids], mask, positions)
            everything = list(range(end - first))
            logits, grown = program(*given, everything, cache)
            last, _ = program(*given, everything[-1:], cache)
            if logits.shape != (len(ids), end - first, logits.shape[-1]) or last.shape[1] != 1:
                raise Refused(f"the program's logits have the shape {list(logits.shape)} for {len(ids)}x{end - first}")
            for index, (pad, (_, expected)) in enumerate(zip(pads, rows)):
                start = max(pad - first, 0)
                yield logits[index, start:], expected[max(first - pad, 0):end - pad]
                yield last[index, -1], expected[end - pad - 1]
            cache, done = None if self.uncached else grown, end


def cache_shapes_of(model, options):
    """Heads and head size of every key and value in turn, as transformers keeps them."""
    out = model(torch.zeros(2, 3, dtype=torch.int64, device=options.device), use_cache=True)
    layers = getattr(getattr(out, "past_key_values", None), "layers", None)
    advice = "export it with --no-cache"
    if not layers:
        raise Refused(f"{type(model).__name__} keeps no key/value cache that can be a program's input; {advice}")
    halves = [half for layer in layers for half in (getattr(layer, "keys", None), getattr(layer, "values", None))]
    if any(half is None or half.dim() != 4 or half.shape[0] != 2 or half.shape[2] != 3 for half in halves):
        raise Refused(f"{type(model).__name__} keeps its cache in another layout than [batch, heads, past, size]; "
                      f"{advice}")
    return [(half.shape[1], half.shape[3]) for half in halves]


def agreeing(options, answers):
    """The model as it will be compiled, which must agree before that is worth its time, and whether its rows can be
    padded: `left` or `never`. The fused attention of some models leaves out what their own code does."""
    for attention in attentions(options):
        program = Program(load(options, attention), answers.cache_shapes, options)

        def run(*given):
            return results(program(**program.inputs(*given)), program.scripted)

        try:
            worst, ragged = answers.compare(run, CHECKS), answers.compare(run, RAGGED)
        except (TypeError, ValueError, RuntimeError, AttributeError, IndexError) as problem:
            raise Refused(f"{answers.architecture} does not take these inputs: {first_line(problem)}") from problem
        if worst <= answers.tolerance:
            return program, "left" if ragged <= answers.tolerance else "never"
    raise Refused(
        f"{answers.architecture} differs from itself by {worst:.1e} of the largest logit when batched or run with a "
        f"cache by the contract's inputs, more than the {answers.tolerance:.0e} allowed; nothing was written"
    )

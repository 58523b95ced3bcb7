"""From a program to a file that runs without Python, and back for the checks."""

import contextlib
import io
import json

import torch
import torch._inductor
from torch.fx.experimental import _config as symbols
from torch.utils._pytree import tree_leaves

from exporting.program import results
from exporting.refusal import Refused, first_line, keep_log


def compile_package(program, say, scratch, options):
    """torch.export, then AOTInductor."""
    given = program.example()
    auto = torch.export.Dim.AUTO
    sizes = {name: {0: auto, 1: auto} for name in given}
    sizes["logits_indices"] = {0: auto}
    if "past_key_values" in given:
        sizes["past_key_values"] = [{half: {0: auto, 2: auto} for half in layer} for layer in given["past_key_values"]]
    settings = {
        "aot_inductor.metadata": {"inferhost": json.dumps(say)},
        "freezing": not options.no_freeze,
        # Its check, which AOTI_RUNTIME_CHECK_INPUTS=1 turns on, wants 2 where 0 and 1 are fine.
        "aot_inductor.check_lowerbound": False,
    }
    file = scratch / "model.pt2"
    # Without `backed_size_oblivious` sizes of 0 and 1 would be taken for special; freezing needs `no_grad`.
    with torch.no_grad(), symbols.patch(backed_size_oblivious=True), hushed() as said:
        try:
            exported = torch.export.export(program.module, (), given, dynamic_shapes=sizes, strict=False)
            must_be_dynamic(exported, given)
            torch._inductor.aoti_compile_and_package(exported, package_path=str(file), inductor_configs=settings)
        except Refused:
            raise
        except Exception as problem:
            log = keep_log(said.getvalue(), problem)
            raise Refused(
                f"torch cannot compile {say['architecture']}: {first_line(problem)} (all of it in {log}); "
                "--form torchscript may work"
            ) from problem
    return file


def must_be_dynamic(exported, given):
    """Refuses a program that would take one size alone."""
    shapes = {node.name: node.meta["val"].shape for node in exported.graph.nodes if node.op == "placeholder"}
    for name, tensor in zip(exported.graph_signature.user_inputs, tree_leaves(given)):
        shape = shapes[name]
        open_dims = (0, 2) if tensor.dim() == 4 else range(tensor.dim())
        if any(isinstance(shape[dim], int) for dim in open_dims):
            raise Refused(f"torch.export fixed the sizes of {name} to {list(shape)}; the model's code decides by them")


def trace(program, say, scratch, options):
    """torch.jit.trace."""
    file = scratch / "model.ts"
    with torch.no_grad(), hushed():
        try:
            traced = torch.jit.trace(
                program.module, example_kwarg_inputs=program.example(), strict=False, check_trace=False
            )
            torch.jit.save(traced, str(file), _extra_files={"inferhost.json": json.dumps(say)})
        except Exception as problem:
            raise Refused(f"torch cannot trace {say['architecture']}: {first_line(problem)}") from problem
    return file


def opened(file, program):
    """The compiled program, as the checks call it, from its file."""
    if program.scripted:
        script = torch.jit.load(str(file))
        return lambda *given: results(script(*program.inputs(*given).values()), True)
    package = torch._inductor.aoti_load_package(str(file))
    return lambda *given: results(package(**program.inputs(*given)), False)


@contextlib.contextmanager
def hushed():
    """What torch and the compiler print on failure is long; the caller keeps it."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        yield said

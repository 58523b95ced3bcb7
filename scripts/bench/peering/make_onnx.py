"""`python make_onnx.py MODEL FOLDER`: FOLDER/model.onnx as optimum exports MODEL, and FOLDER/model-int8.onnx, what
onnxruntime's `quantize_dynamic` makes of it with its defaults."""

import sys
from pathlib import Path

from onnxruntime.quantization import quantize_dynamic
from optimum.exporters.onnx import main_export


def main():
    model, folder = sys.argv[1], Path(sys.argv[2])
    main_export(
        model, str(folder), task="text-generation-with-past", opset=18, do_validation=False,
        library_name="transformers",
    )
    quantize_dynamic(folder / "model.onnx", folder / "model-int8.onnx")


if __name__ == "__main__":
    main()

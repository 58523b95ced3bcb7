"""The parts of torch_export.py."""

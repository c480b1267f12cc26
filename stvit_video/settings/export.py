"""What a network is exported to."""

from typing import Literal

ExportFormat = Literal["onnx", "aoti", "torch"]
"""`onnx`: for ONNX Runtime and TensorRT. `aoti`: compiled machine code, run by torch in Python or
C++. `torch`: a program of `torch.export`."""
ExportInput = Literal["uint8", "float32"]
"""`uint8`: RGB clips (B, T, S, S, C), as decoders give them. `float32`: normalised clips (B, C, T,
S, S)."""

"""The names of the runtimes: a module without imports, so that the command line starts at once."""

from typing import Literal

RuntimeName = Literal["auto", "torch", "onnxruntime", "openvino"]

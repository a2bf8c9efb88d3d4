"""Run a network with PyTorch, ONNX Runtime or OpenVINO.

network      the description of a network by its stage, and the interface to run it
names        of the runtimes
choose       `open_network`: the runtime asked for, or the fastest that agrees with PyTorch
exports      the network as ONNX in the user's cache, written once
torch_runtime, onnx_runtime, openvino_runtime
"""

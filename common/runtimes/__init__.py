"""Run a network with PyTorch, ONNX Runtime or OpenVINO.

network      what a stage says about its network, and what it gets to call
names        of the runtimes
choose       `open_network`: the runtime asked for, or the fastest that agrees with PyTorch
exports      the network as ONNX in the user's cache, written once
torch_runtime, onnx_runtime, openvino_runtime
"""

"""Run a network with PyTorch, ONNX Runtime or OpenVINO.

network      the description of a network by its stage, and the interface to run it
names        of the runtimes
choose       `open_network`: the runtime asked for, or the fastest that agrees with PyTorch
exports      the network as ONNX: shipped beside its weights, or written once into the user's cache
onnx_file    opens it in onnx_runtime or openvino_runtime
torch_runtime
"""

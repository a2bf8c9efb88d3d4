"""Make the ONNX files of the shipped networks, which need no PyTorch: python -m tools.make_graphs [NAME]...

Such a file lies beside the weights and holds the network's graph alone. Its weights are references into the
file of weights (ONNX calls them external data): place and length of the float16 numbers there, converted to
float32 when the network is opened. So both ways compute with the same numbers, and new weights add a few
kilobytes to the repository, not a second copy.

The manifest gets the SHA-256 of each file. Run it again after weights have changed: a test compares the
SHA-256 of the weights, which the file keeps too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import typer
from onnx import TensorProto, helper, numpy_helper

from common.command_line import echo, run
from common.errors import UserError
from common.files import replace_file, sha256
from common.runtimes.choose import cpu_threads
from common.runtimes.exports import export, measure_disagreement
from common.runtimes.network import Floats, Source
from common.runtimes.onnx_runtime import OnnxRuntime
from common.weights import FOLDER, MANIFEST, manifest, verify
from demo.detection.detector import yolo_source
from demo.models import LIFTER, NETWORKS
from demo.pose.networks import hrnet_source
from lifter.loading import lifter_source

SHIPPED = (*NETWORKS["shipped"], LIFTER)
SOURCES: dict[str, Callable[[Path], Source]] = {
    "detector": yolo_source,
    "pose": hrnet_source,
    "lifter": lifter_source,
}
SMALLEST = 16  # numbers; smaller tensors stay in the graph: a reference would be no shorter

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def make_graph(source: Source) -> Path:
    """Write the ONNX file beside a network's weights.

    Raises:
        UserError: a weight is not in the file of weights as float16, or the result disagrees with PyTorch.
    """
    path = source.weights.with_suffix(".onnx")
    with replace_file(path) as temporary:
        export(source, source.load(), temporary)
        model = onnx.load(str(temporary))
        refer_to_weights(model, source.weights)
        temporary.write_bytes(model.SerializeToString(deterministic=True))
        opened = OnnxRuntime(temporary, "cpu", cpu_threads())
        if problem := measure_disagreement(source, opened, opened.metadata):
            raise UserError(f"{path.name} {problem}")
    return path


def refer_to_weights(model: Any, weights: Path) -> None:
    """Replace the weights of a graph by references to the same numbers in a file of weights beside it.

    Raises:
        UserError: the file does not hold one of them as float16.
    """
    content = weights.read_bytes()
    whole = list(model.graph.initializer)
    del model.graph.initializer[:]
    conversions = []
    for tensor in whole:
        numbers = numpy_helper.to_array(tensor)
        if numbers.dtype != np.float32 or numbers.size < SMALLEST:
            model.graph.initializer.append(tensor)
            continue
        found = _find(numbers, content)
        if found is None:
            raise UserError(f"{weights}: {tensor.name} is not in it as float16: save the weights as float16")
        at, layout = found
        name = f"{tensor.name}.stored"
        model.graph.initializer.append(_reference(name, numbers.transpose(layout).shape, weights.name, at))
        if layout != tuple(sorted(layout)):
            stored, name = name, f"{tensor.name}.half"
            back = np.argsort(layout).tolist()
            conversions.append(helper.make_node("Transpose", [stored], [name], perm=back))
        conversions.append(helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*conversions, *nodes])


def _find(numbers: Floats, content: bytes) -> tuple[int, tuple[int, ...]] | None:
    """Return where numbers lie in a file as float16, and the order of their axes there; None if nowhere."""
    if (numbers.astype("<f2").astype(np.float32) != numbers).any():
        return None
    plain = tuple(range(numbers.ndim))
    for layout in (plain, (0, 2, 3, 1))[: 1 + (numbers.ndim == 4)]:  # PyTorch's, with the channels last
        at = content.find(np.ascontiguousarray(numbers.transpose(layout)).astype("<f2").tobytes())
        if at >= 0:
            return at, layout
    return None


def _reference(name: str, shape: tuple[int, ...], file: str, at: int) -> Any:
    """Return a float16 tensor whose numbers lie in another file."""
    reference = TensorProto(
        name=name, data_type=TensorProto.FLOAT16, dims=shape, data_location=TensorProto.EXTERNAL
    )
    length = 2 * math.prod(shape)
    for key, value in (("location", file), ("offset", str(at)), ("length", str(length))):
        reference.external_data.add(key=key, value=value)
    return reference


def record(text: str, name: str, digest: str) -> str:
    """Return the text of a manifest with the SHA-256 of a network's ONNX file.

    Raises:
        UserError: it has no such entry.
    """
    entry = re.search(rf'(?<=^name = "{re.escape(name)}"\n)(.*\n)*?(?=^size_bytes)', text, re.MULTILINE)
    if entry is None:
        raise UserError(f"{MANIFEST}: there is no entry {name} with size_bytes")
    kept = re.sub(r"^graph_sha256 = .*\n", "", entry[0], flags=re.MULTILINE)
    return f'{text[: entry.start()]}{kept}graph_sha256 = "{digest}"\n{text[entry.end() :]}'


@app.command()
def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(SHIPPED)}; all if none.")] = None,
) -> None:
    """Write the ONNX files and their SHA-256."""
    for name in names or SHIPPED:
        info = manifest().get(name)
        if info is None:
            raise UserError(f"{name}: not in {MANIFEST}; choose of {', '.join(SHIPPED)}")
        weights = FOLDER / info.file
        verify(weights, info)
        path = make_graph(SOURCES[info.kind](weights))
        text = record(MANIFEST.read_text("utf-8"), name, sha256(path))
        with replace_file(MANIFEST) as temporary:
            temporary.write_text(text, encoding="utf-8")
        echo(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    run(app)

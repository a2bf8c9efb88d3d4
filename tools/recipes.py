"""How each shipped weight file is made: stages as data, run by `tools.make_weights`.

A stage is one call of `python -m lifter train` or `python -m demo.training`. Its arguments contain
placeholders: `{out}`, the folder of the recipe, and the names of the recipe's inputs (`INPUTS`).
Cards with data, figures and limits: weights/cards/.
"""

from __future__ import annotations

from dataclasses import dataclass

INPUTS = {
    "mocap": "folder of motion capture, as lifter/datasets/mocap/npz.py reads it",
    "pictures": "folder of labelled detection pictures: data.yaml and images.zip",
    "crops": "folder of crops with COCO-17 keypoints: crops.zip and labels.npz",
    "unpacked": "the folder `a/pictures` that the first stage of yolo-person leaves",
    "yolo11n": "weights of a YOLO11n of 80 classes, the teacher of detectors and features",
    "tinypose": "PP-TinyPose as ONNX, 256 x 192 pixels, the teacher of keypoints",
    "everyday": "folder with unlabelled crops, crops.zip and crops_index.csv, and labelled pictures.zip",
    "movenet": "MoveNet Thunder as ONNX with the output person_heatmaps, the second teacher of keypoints",
}


@dataclass(frozen=True)
class Stage:
    """One training or blending.

    Attributes:
        name: unique in the recipe.
        module: what `python -m` runs, "lifter" or "demo.training".
        arguments: of that command, with placeholders.
        result: the file that the stage leaves, below the recipe's folder.
        processes: 1, or as many as share the batches (torch.distributed.run).
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    result: str
    processes: int = 1


@dataclass(frozen=True)
class Recipe:
    """The ordered stages of one weight file; the last result is the weight file."""

    inputs: tuple[str, ...]
    stages: tuple[Stage, ...]


def _lifter(name: str, model: str, flags: str) -> Stage:
    """Train a lifter into `{out}/NAME`."""
    arguments = f"train --model {model} --data {{mocap}} --out {{out}}/{name} {flags}"
    return Stage(name, "lifter", tuple(arguments.split()), f"{name}/{model.partition(':')[0]}.safetensors")


def _detector(name: str, command: str, result: str) -> Stage:
    """Train or distil a detector; `result` is the folder, which several stages may continue."""
    arguments = f"{command} --out {{out}}/{result} --teacher {{yolo11n}}"
    return Stage(name, "demo.training", tuple(arguments.split()), f"{result}/yolo-person.pt")


def _imitate(name: str, flags: str) -> Stage:
    pictures = "--pictures {pictures}/images.zip --pictures {crops}/crops.zip"
    return _detector(name, f"imitate {pictures} --init {{out}}/b/yolo-person.pt {flags}", "i")


def _relabel(name: str, flags: str = "") -> Stage:
    arguments = f"relabel --pictures {{unpacked}} --teacher {{tinypose}} --out {{out}}/{name} {flags}"
    return Stage(name, "demo.training", tuple(arguments.split()), f"{name}/labels.npz")


def _teach(name: str, data: str, flags: str = "") -> Stage:
    """Label crops by PP-TinyPose, and by the teachers that the flags name."""
    arguments = f"teach --data {data} --tinypose {{tinypose}} --out {{out}}/{name} {flags}"
    return Stage(name, "demo.training", tuple(arguments.split()), f"{name}/labels.npz")


def _backgrounds(name: str) -> Stage:
    pictures = "--pictures {everyday}/pictures.zip --pictures {pictures}/images.zip"
    arguments = f"backgrounds {pictures} --out {{out}}/{name}"
    return Stage(name, "demo.training", tuple(arguments.split()), f"{name}/labels.npz")


def _pose(
    name: str, variant: str, flags: str, data: str = "crops more", init: str = "", processes: int = 1
) -> Stage:
    """Train HRNet into `{out}/` and the first word of `name`.

    data: words of `crops`, the labelled crops, and names of stages before that make others.
    init: weights to start from, below `{out}`.
    """
    folder = name.partition("-")[0]
    given = " ".join(
        "--data {crops}" if word == "crops" else f"--data {{out}}/{word}" for word in data.split()
    )
    start = f"--init {{out}}/{init}" if init else ""
    arguments = f"pose {given} --variant {variant} --out {{out}}/{folder} {flags} {start} --compile"
    return Stage(name, "demo.training", tuple(arguments.split()), f"{folder}/hrnet.safetensors", processes)


def _deeper(name: str, init: str, flags: str, data: str = "crops more") -> Stage:
    """Continue with five exchange modules, the stem frozen, on two processes."""
    flags = f"--keep-start --batch 24 --teacher {{tinypose}} {flags}"
    return _pose(name, "w32m-192x144", flags, data, init, processes=2)


def _blend(name: str, first: str, second: str, flags: str = "") -> Stage:
    """Interpolate two networks into `{out}/NAME.safetensors`."""
    arguments = (
        f"blend --first {{out}}/{first} --second {{out}}/{second} {flags} --out {{out}}/{name}.safetensors"
    )
    return Stage(f"blend-{name}", "demo.training", tuple(arguments.split()), f"{name}.safetensors")


_JOINTFORMER = (
    _lifter("jointformer-a", "jointformer:small", "--steps 2500 --batch 16"),
    _lifter(
        "jointformer",
        "jointformer",
        "--init {out}/jointformer-a/jointformer.safetensors --steps 3500 --batch 144 --frames 3 --seed 2",
    ),
)
_ALL = "crops more close"
_ALL_FOLDERS = "--data {crops} --data {out}/more --data {out}/close"
_TAUGHT = "crops everyday detection backgrounds"

RECIPES = {
    "wild": Recipe(
        ("mocap",),
        (
            _lifter("a", "wild", "--steps 5000 --batch 128 --frames 27"),
            _lifter(
                "b",
                "wild",
                "--steps 2600 --batch 64 --frames 81 --learning-rate 6e-4 --init {out}/a/wild.safetensors",
            ),
            _lifter(
                "c",
                "wild",
                "--steps 1700 --batch 64 --frames 81 --learning-rate 6e-4 --seed 2 "
                "--init {out}/b/wild.safetensors",
            ),
            _lifter(
                "d",
                "wild",
                "--steps 7300 --batch 64 --frames 27 --learning-rate 5e-4 --seed 11 --set depth=6 "
                "--set encoder_depth=3 --set contacts=True --init {out}/c/wild.safetensors",
            ),
            _lifter(
                "e",
                "wild",
                "--steps 1300 --batch 24 --frames 81 --learning-rate 3e-4 --seed 12 "
                "--init {out}/d/wild.safetensors",
            ),
        ),
    ),
    "martinez": Recipe(("mocap",), (_lifter("a", "martinez", "--steps 2500 --batch 128 --frames 27"),)),
    "simple_posenet": Recipe(("mocap",), (_lifter("a", "simple_posenet:small", "--steps 3000 --batch 256"),)),
    "lstm_posenet": Recipe(("mocap",), (_lifter("a", "lstm_posenet:small", "--steps 2000 --batch 128"),)),
    "transformer_posenet": Recipe(
        ("mocap",), (_lifter("a", "transformer_posenet:small", "--steps 4000 --batch 128"),)
    ),
    "crossformer": Recipe(
        ("mocap",),
        (_lifter("a", "crossformer:small", "--steps 2600 --batch 192 --learning-rate 2e-3"),),
    ),
    "ktpformer": Recipe(
        ("mocap",), (_lifter("a", "ktpformer:small", "--steps 2000 --batch 64 --learning-rate 2e-3"),)
    ),
    "jointformer": Recipe(("mocap",), _JOINTFORMER),
    "refinement": Recipe(
        ("mocap",),
        (
            *_JOINTFORMER,
            _lifter(
                "refinement-a",
                "refinement:small",
                "--first-stage {out}/jointformer/jointformer.safetensors --steps 1200 --batch 144 --frames 3",
            ),
            _lifter(
                "refinement",
                "refinement",
                "--init {out}/refinement-a/refinement.safetensors --steps 1200 --batch 144 --frames 3 "
                "--seed 2",
            ),
        ),
    ),
    "esmformer": Recipe(("mocap",), (_lifter("a", "esmformer:small", "--steps 4000 --batch 32"),)),
    "yolo-person": Recipe(
        ("pictures", "crops", "yolo11n"),
        (
            _detector("a", "detector --data {pictures} --epochs 40", "a"),
            _detector("b", "detector --data {pictures} --epochs 50 --init {out}/a/yolo-person.pt", "b"),
            _imitate("i-6600", "--steps 6600"),
            # These two continue the stage before, at the end of its schedule, with larger pictures.
            _imitate("i-7600", "--steps 7600 --learning-rate 6e-3 --size 256 --size 352 --size 448"),
            _imitate("i-10600", "--steps 10600 --learning-rate 1e-2 --size 256 --size 352 --size 448"),
        ),
    ),
    "hrnet-wild": Recipe(
        ("crops", "unpacked", "yolo11n", "tinypose", "everyday", "pictures", "movenet"),
        (
            _relabel("more"),
            _relabel("close", "--smallest 160"),
            _pose("c", "w32s-192x144", "--steps 3000", "crops"),
            _pose("d", "w32s-128x96", "--steps 6000 --learning-rate 1e-3", "crops", "c/hrnet.safetensors"),
            _pose("e", "w32s-128x96", "--steps 8500 --batch 32", init="d/hrnet.safetensors"),
            _pose("f", "w32s-128x96", "--steps 8000 --batch 32", init="e/hrnet.safetensors"),
            _pose(
                "g",
                "w32s-128x96",
                "--steps 4000 --batch 32 --seed 2 --hints {yolo11n}",
                init="f/hrnet.safetensors",
            ),
            _pose(
                "h",
                "w32s-160x120",
                "--steps 900 --batch 32 --seed 3 --learning-rate 5e-4",
                init="g/hrnet.safetensors",
            ),
            _pose(
                "j-6000",
                "w32s-160x120",
                "--steps 6000 --batch 32 --teacher {tinypose}",
                init="h/hrnet.safetensors",
            ),
            # Continues the stage before at the full size.
            _pose(
                "j-7600",
                "w32s-192x144",
                "--steps 7600 --batch 32 --learning-rate 7e-3 --teacher {tinypose}",
                init="h/hrnet.safetensors",
                processes=2,
            ),
            _deeper("k", "j/hrnet.safetensors", "--steps 1750 --learning-rate 2.2e-3"),
            _blend("k", "j/hrnet.safetensors", "k/hrnet.safetensors"),
            _deeper("l", "k.safetensors", "--steps 3400 --learning-rate 1.8e-3 --seed 5"),
            _blend("l", "j/hrnet.safetensors", "l/hrnet.safetensors"),
            _deeper("m", "l/hrnet.safetensors", "--steps 2700 --learning-rate 1.8e-3 --seed 6"),
            _blend("m", "l.safetensors", "m/hrnet.safetensors"),
            _deeper("n", "m.safetensors", "--steps 2600 --learning-rate 1.8e-3 --seed 7"),
            _blend("n", "m/hrnet.safetensors", "n/hrnet.safetensors"),
            _deeper("o", "n.safetensors", "--steps 2500 --learning-rate 1.3e-3 --seed 8", _ALL),
            _blend("o", "n.safetensors", "o/hrnet.safetensors", "--share 0.3"),
            _deeper("p", "o.safetensors", "--steps 2300 --learning-rate 8e-4 --seed 9", _ALL),
            _blend("p", "o.safetensors", "p/hrnet.safetensors"),
            _deeper("q", "p.safetensors", "--gentle --steps 1300 --learning-rate 6e-4 --seed 10", _ALL),
            _blend("q", "o.safetensors", "q/hrnet.safetensors", _ALL_FOLDERS),
            _deeper("r", "q.safetensors", "--gentle --steps 3000 --learning-rate 1e-3 --seed 11", _ALL),
            _deeper("s", "r/hrnet.safetensors", "--gentle --steps 3000 --learning-rate 1e-3 --seed 12", _ALL),
            _blend("s", "r/hrnet.safetensors", "s/hrnet.safetensors", _ALL_FOLDERS),
            _teach("everyday", "{everyday}", "--movenet {movenet}"),
            _relabel("people", "--smallest 64"),
            _teach("detection", "{out}/people"),
            _backgrounds("backgrounds"),
            _pose(
                "t",
                "w32m-192x144",
                "--keep-start --gentle --batch 16 --steps 1090 --learning-rate 1e-3 --warmup 40 "
                "--average 0.99 --seed 21",
                _TAUGHT,
                "s.safetensors",
                processes=2,
            ),
            _blend("hrnet-wild", "s.safetensors", "t/hrnet.safetensors", "--share 0.75"),
        ),
    ),
}

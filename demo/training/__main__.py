"""The command line: python -m demo.training --help"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common.command_line import run
from common.errors import UserError

app = typer.Typer(
    help="Train the person detector and the 2D keypoint network.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

_Data = Annotated[Path, typer.Option(help="Folder of the labelled pictures.")]
_Out = Annotated[Path, typer.Option(help="Folder for checkpoints, the log and the weights.")]
_Seed = Annotated[int, typer.Option(help="Of all random numbers.")]
_Device = Annotated[str, typer.Option(help="cpu or cuda.")]


@app.command()
def pose(
    data: Annotated[list[Path], typer.Option(help="Folder of labelled crops; may be given again.")],
    out: _Out,
    variant: Annotated[
        str, typer.Option(help="Shape of the network; see demo/pose/hrnet.py.")
    ] = "w32s-192x144",
    steps: Annotated[int, typer.Option(min=1, help="Batches in all.")] = 20_000,
    batch: Annotated[int, typer.Option(min=1, help="People a batch.")] = 64,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate of Muon.")] = 2e-3,
    init: Annotated[
        Path | None,
        typer.Option(
            help="Start from these weights, ours or the authors', and use the full size only. They may be of "
            "a network with fewer exchange modules."
        ),
    ] = None,
    warmup: Annotated[int, typer.Option(min=1, help="Batches until the peak learning rate.")] = 300,
    average: Annotated[float, typer.Option(help="Decay of the averaged weights, a batch.")] = 0.998,
    hints: Annotated[
        Path | None,
        typer.Option(help="Weights of a detector whose features are learnt as well, at the full size only."),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(help="ONNX weights of a keypoint network to imitate, instead of the labels."),
    ] = None,
    freeze_stem: Annotated[
        bool, typer.Option("--keep-start", help="Train from stage 2 on only: a third less time a step.")
    ] = False,
    gentle: Annotated[
        bool, typer.Option("--gentle", help="Augment less, for the end of a training.")
    ] = False,
    seed: _Seed = 1,
    device: _Device = "cpu",
    compiled: Annotated[bool, typer.Option("--compile", help="Through torch.compile.")] = False,
) -> None:
    """Train HRNet, and write OUT/hrnet.safetensors. Run again after an interruption, it goes on."""
    import torch
    from rich.progress import Progress

    from demo.detection.ultralytics_files import load_yolo
    from demo.pose.hrnet import VARIANTS, build, save_hrnet
    from demo.training.crops_dataset import load_people
    from demo.training.feature_distillation import FeatureHints
    from demo.training.net2net import grow_network
    from demo.training.pose import FULL_SIZE, SMALL_FIRST, PoseTraining, train
    from demo.training.pose_distillation import Teacher
    from lifter.training.parallel import init_distributed
    from lifter.training.plots import draw_log

    team = init_distributed()
    settings = PoseTraining(
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        warmup=warmup,
        ema=average,
        seed=seed,
        device=team.device(device),
        compiled=compiled,
        freeze_stem=freeze_stem,
        gentle=gentle,
        sizes=SMALL_FIRST if init is None and hints is None else FULL_SIZE,
    )
    torch.manual_seed(seed)
    if variant not in VARIANTS:
        raise UserError(f"--variant {variant}: choose one of {', '.join(VARIANTS)}")
    config = VARIANTS[variant]
    model = build(config) if init is None else grow_network(init, config)
    people, held_out = load_people(data, "train"), load_people(data, "val")
    detector = FeatureHints(model, load_yolo(hints).layers, config.input_size) if hints else None
    with Progress(disable=not team.first) as bars:
        task = bars.add_task("training", total=steps)
        teaching = Teacher(teacher) if teacher else None
        for state in train(model, config, people, held_out, out, settings, detector, teaching, team):
            bars.update(task, completed=state.step, description=f"loss {state.loss:.3f}")
            if state.pck is not None:
                bars.console.print(f"step {state.step}: PCK@0.1 of held-out people {state.pck:.3f}")
    if not team.first:
        return
    target = out / "hrnet.safetensors"
    save_hrnet(model.to(memory_format=torch.contiguous_format).half(), config, target)
    draw_log(out / "log.csv", out / "log.png")
    typer.echo(str(target))


@app.command()
def blend(
    first: Annotated[Path, typer.Option(help="Weights of HRNet that a training began from.")],
    second: Annotated[Path, typer.Option(help="Weights at the end of that training.")],
    out: Annotated[Path, typer.Option(help="File for the weights between them.")],
    share: Annotated[float, typer.Option(min=0, max=1, help="0 is the first, 1 the second.")] = 0.5,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of labelled crops, to measure the normalisations' means again on."),
    ] = None,
    seed: _Seed = 1,
) -> None:
    """Average the weights from before and after a training, often better than both on other pictures."""
    from rich.progress import Progress

    from demo.pose.hrnet import save_hrnet
    from demo.training.batch_norm import recompute_batch_norm
    from demo.training.crops_dataset import load_people
    from demo.training.net2net import interpolate_weights

    model, config = interpolate_weights(first, second, share)
    if data:
        people = load_people(data, "train")
        with Progress() as bars:
            task = bars.add_task("measuring", total=None)
            recompute_batch_norm(
                model,
                config.input_size,
                people,
                lambda done, total: bars.update(task, completed=done, total=total),
                seed=seed,
            )
    save_hrnet(model.half(), config, out)
    typer.echo(str(out))


@app.command()
def relabel(
    pictures: Annotated[Path, typer.Option(help="Folder of a detector's pictures, unpacked.")],
    out: Annotated[Path, typer.Option(help="Folder for the crops and their labels.")],
    teacher: Annotated[Path, typer.Option(help="Weights of a keypoint network.")],
    smallest: Annotated[
        int, typer.Option(min=1, help="Pixels of a box's long side; elbows of smaller people are invisible.")
    ] = 48,
    device: _Device = "cpu",
) -> None:
    """Label the people in a detector's pictures by a keypoint network, for `pose --data`."""
    from rich.progress import Progress

    from demo.pose.estimator import load_pose
    from demo.training.pseudo_labels import label_people

    network = load_pose(teacher, device, flip_test=True)
    with Progress() as bars:
        task = bars.add_task("the teacher labels", total=None)
        count = label_people(
            pictures,
            network,
            out,
            smallest,
            lambda done, total: bars.update(task, completed=done, total=total),
        )
    typer.echo(f"{out}: {count} people")


@app.command()
def teach(
    data: Annotated[Path, typer.Option(help="Folder of crops, with labels or without.")],
    out: Annotated[Path, typer.Option(help="Folder for the crops and the teachers' labels.")],
    tinypose: Annotated[Path, typer.Option(help="PP-TinyPose, 256 x 192 pixels, as ONNX.")],
    movenet: Annotated[
        Path | None, typer.Option(help="MoveNet Thunder with its heatmaps, as ONNX: a second teacher.")
    ] = None,
) -> None:
    """Label crops by one or two teachers, for `pose --data`. Run again after an interruption, it goes on."""
    from rich.progress import Progress

    from demo.training.teacher_labels import label_crops
    from demo.training.teachers import MoveNet, TeacherNetwork, TinyPose

    teachers: list[TeacherNetwork] = [TinyPose(tinypose)]
    if movenet is not None:
        teachers.append(MoveNet(movenet))
    with Progress() as bars:
        task = bars.add_task("the teachers label", total=None)
        count = label_crops(
            data, teachers, out, lambda done, total: bars.update(task, completed=done, total=total)
        )
    typer.echo(f"{out}: {count} people")


@app.command()
def backgrounds(
    pictures: Annotated[list[Path], typer.Option(help="Zip of pictures and labels; may be given again.")],
    out: Annotated[Path, typer.Option(help="Folder for the crops.")],
    seed: _Seed = 1,
) -> None:
    """Cut crops from pictures labelled to be without people, for `pose --data`."""
    from demo.training.backgrounds import cut_backgrounds

    typer.echo(f"{out}: {cut_backgrounds(pictures, out, seed)} crops")


@app.command()
def detector(
    data: _Data,
    out: _Out,
    epochs: Annotated[int, typer.Option(min=1, help="Times through the pictures.")] = 60,
    batch: Annotated[int, typer.Option(min=1, help="Pictures a batch.")] = 16,
    image_size: Annotated[int, typer.Option(min=64, help="Long side in pixels.")] = 320,
    teacher: Annotated[
        Path | None,
        typer.Option(help="Weights of a detector that labels unlabelled people, and is imitated."),
    ] = None,
    init: Annotated[Path | None, typer.Option(help="Start from these weights.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that make the pictures.")] = 1,
    seed: _Seed = 1,
    device: _Device = "cpu",
) -> None:
    """Train a nano YOLO, and write OUT/yolo-person.pt. Run again after an interruption, it goes on."""
    from rich.progress import Progress

    from demo.detection.detector import load_detector
    from demo.training.detector import DetectorTraining, prepare, train

    settings = DetectorTraining(epochs, batch, image_size, seed=seed, device=device, workers=workers)
    labeller = load_detector(teacher, device) if teacher else None
    with Progress() as bars:
        task = bars.add_task("unpacking", total=None)

        def pictures(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total, description="the teacher labels")

        def epochs_done(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        description = prepare(data, out / "pictures", labeller, pictures)
        bars.update(task, completed=0, total=epochs, description="training, epochs")
        target = train(description, out, settings, epochs_done, teacher=teacher, init=init)
    typer.echo(str(target))


@app.command()
def imitate(
    pictures: Annotated[list[Path], typer.Option(help="Zip of JPEG pictures; may be given again.")],
    teacher: Annotated[Path, typer.Option(help="Weights of the detector to imitate.")],
    init: Annotated[Path, typer.Option(help="Weights to start from, of `detector`.")],
    out: _Out,
    steps: Annotated[int, typer.Option(min=1, help="Batches in all.")] = 10_000,
    batch: Annotated[int, typer.Option(min=1, help="Pictures a batch.")] = 16,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate of Muon.")] = 2e-3,
    size: Annotated[
        list[int] | None, typer.Option(min=64, help="Side of the collages in pixels; several: any of them.")
    ] = None,
    seed: _Seed = 1,
    device: _Device = "cpu",
) -> None:
    """Distil a teacher into a YOLO of one class on any pictures, and write OUT/yolo-person.pt."""
    import torch
    from rich.progress import Progress

    from demo.detection.ultralytics_files import load_yolo
    from demo.training.detector import save_detector
    from demo.training.detector_distillation import DetectorDistillation, train
    from demo.training.mosaics import read_pictures
    from lifter.training.plots import draw_log

    sizes = tuple(size or DetectorDistillation.sizes)
    settings = DetectorDistillation(
        steps, batch, sizes, learning_rate=learning_rate, seed=seed, device=device
    )
    torch.manual_seed(seed)
    model = load_yolo(init).layers
    if len(model.names) != 1:
        raise UserError(f"--init {init} finds {len(model.names)} classes: give one that finds people only")
    theirs = load_yolo(teacher)
    pool = [read_pictures(archive, "train") for archive in pictures]
    held_out = read_pictures(pictures[0], "val")
    with Progress() as bars:
        task = bars.add_task("training", total=steps)
        for step, loss, measured in train(model, theirs.layers, theirs.person, pool, held_out, out, settings):
            bars.update(task, completed=step, description=f"loss {loss:.3f}")
            if measured is not None:
                bars.console.print(f"step {step}: loss of held-out pictures {measured:.3f}")
    save_detector(model, int(1.2 * max(sizes)), out / "yolo-person.pt")  # the program's pictures are larger
    draw_log(out / "log.csv", out / "log.png")
    typer.echo(str(out / "yolo-person.pt"))


if __name__ == "__main__":
    run(app)

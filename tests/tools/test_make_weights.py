"""Recipes of the shipped weights: they parse, they chain, finished stages are not repeated."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from common.errors import InputMissing, UserError
from common.weights import MANIFEST
from tests.command_lines import parse
from tests.lifter.motions import write_mocap
from tools.make_weights import app, command, is_finished, make, parse_inputs
from tools.recipes import INPUTS, RECIPES, Recipe, Stage


def stages(name):
    inputs = {each: Path(each.upper()) for each in RECIPES[name].inputs}
    return [(stage, command(stage, Path("OUT"), inputs)) for stage in RECIPES[name].stages]


def test_every_file_of_ours_has_a_recipe_and_a_card():
    entries = tomllib.loads(MANIFEST.read_text())["weights"]
    ours = {each["name"] for each in entries if not each["urls"]}
    assert set(RECIPES) == ours
    assert {path.stem for path in (MANIFEST.parent / "cards").glob("*.md")} == ours


@pytest.mark.parametrize("name", RECIPES)
def test_commands_parse(name):
    for stage, arguments in stages(name):
        parse(["-m", *arguments[arguments.index(stage.module) :]])


@pytest.mark.parametrize("name", RECIPES)
def test_stages_start_from_results_of_earlier_ones(name):
    made = set()
    for stage, arguments in stages(name):
        for flag in ("--init", "--first", "--second", "--first-stage"):
            if flag in arguments:
                assert arguments[arguments.index(flag) + 1].removeprefix("OUT/") in made
        made.add(stage.result)
    names = [stage.name for stage in RECIPES[name].stages]
    assert len(set(names)) == len(names)
    assert set(RECIPES[name].inputs) <= set(INPUTS)


def test_dry_run_prints_the_commands_with_the_given_paths():
    flags = ["refinement", "--dry-run", "--data", "mocap=some where", "--out", "here"]
    done = CliRunner().invoke(app, flags)
    lines = [shlex.split(line) for line in done.output.splitlines()]
    assert [line[:4] for line in lines] == [["python", "-m", "lifter", "train"]] * 4
    assert all("some where" in line for line in lines)
    assert "here/jointformer/jointformer.safetensors" in lines[2]


def test_two_processes():
    [stage] = [stage for stage in RECIPES["hrnet-wild"].stages if stage.name == "s"]
    inputs = dict.fromkeys(RECIPES["hrnet-wild"].inputs, Path("x"))
    start = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--module", "demo.training", "pose"]
    assert command(stage, Path("o"), inputs)[:7] == start


def test_a_tiny_recipe_from_data_to_weights_and_again(tmp_path, capfd):
    write_mocap(tmp_path / "mocap")
    recipe = Recipe(("mocap",), (tiny("a", "--steps 2 --batch 2 --frames 3 --set width=8"),))
    inputs = parse_inputs(recipe, [f"mocap={tmp_path / 'mocap'}"])
    out = tmp_path / "out"
    weights = out / "a" / "martinez.safetensors"
    assert make(recipe, inputs, out) == weights
    assert (out / "a" / "log.csv").read_text().splitlines()[-1].startswith("2,")
    before = weights.stat().st_mtime_ns
    capfd.readouterr()
    make(recipe, inputs, out)
    assert "finished before" in capfd.readouterr().out
    assert weights.stat().st_mtime_ns == before

    with pytest.raises(UserError, match="another command"):
        make(Recipe(("mocap",), (tiny("a", "--steps 4"),)), inputs, out)
    weights.unlink()
    assert not is_finished(recipe.stages[0], out, command(recipe.stages[0], out, inputs))


def tiny(name, flags):
    arguments = f"train --model martinez --data {{mocap}} --out {{out}}/{name} {flags}"
    return Stage(name, "lifter", tuple(arguments.split()), f"{name}/martinez.safetensors")


def test_a_stage_that_fails_ends_the_run(tmp_path):
    recipe = Recipe(("mocap",), (tiny("a", "--no-such-option"), tiny("b", "--steps 1")))
    with pytest.raises(UserError, match="stage a ended with status 2"):
        make(recipe, {"mocap": tmp_path}, tmp_path / "out")
    assert not (tmp_path / "out" / "b").exists()


def test_wrong_inputs(tmp_path):
    recipe = RECIPES["wild"]
    with pytest.raises(UserError, match="give --data mocap=PATH"):
        parse_inputs(recipe, [])
    with pytest.raises(UserError, match="one of mocap"):
        parse_inputs(recipe, [f"crops={tmp_path}"])
    with pytest.raises(InputMissing, match="no such"):
        parse_inputs(recipe, [f"mocap={tmp_path / 'absent'}"])
    done = CliRunner().invoke(app, ["nothing"])
    assert "choose one of: wild" in str(done.exception)

"""docs/papers-tables.md: every command is one that the pipeline accepts; counts of docs/methods from the facts."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise, product
from math import comb
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

from eegpipe import datasets
from eegpipe.errors import UsageProblem
from eegpipe.params import Params, load
from eegpipe.protocols import PROTOCOLS
from eegpipe.segment import WINDOWINGS

from import_graph import ROOT

TEXT = (ROOT / "docs/papers-tables.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


def commands() -> list[str]:
    joined = (block.replace("\\\n", " ") for block in blocks("bash"))
    return [line for block in joined for line in block.splitlines() if line.strip()]


def overrides(command: str) -> list[str]:
    words = shlex.split(command)
    return [value for name, value in pairwise(words) if name in ("-S", "--set-param")]


def settings(folder: Path, changes: list[str]) -> list[Params]:
    """What `dvc exp run` would leave in params.yaml, one for each experiment, checked as every stage does."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    (named,) = blocks("yaml")
    made = []
    for experiment in get_hydra_sweeps({"params.yaml": changes}):
        file = folder / "params.yaml"
        file.write_text(yaml.safe_dump(values | yaml.safe_load(named)), encoding="utf-8")
        apply_overrides(str(file), experiment["params.yaml"])
        if find_spec("braindecode") is None:
            _without_networks(file)
        made.append(load(file))
    return made


def _without_networks(file: Path) -> None:
    """Take out the baselines that params.py refuses where their package is not installed."""
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    values["baselines"] = [name for name in values["baselines"] if name not in ("eegnet", "eegconformer")]
    file.write_text(yaml.safe_dump(values), encoding="utf-8")


@pytest.mark.parametrize("command", commands())
def test_a_command_is_accepted(command, tmp_path):
    assert command.startswith("dvc exp run -")
    assert set(shlex.split(command)[3::2]) <= {"-S"} or "--queue" in command
    made = settings(tmp_path, overrides(command))
    assert (len(made) > 1) == ("--queue" in command)
    for params in made:
        assert params.size == "paper"
        assert params.methods in (params.windowings, [])
        # A published protocol stands beside a stricter one, unless the encoder has met its target.
        published = {name for name in params.split.protocols if PROTOCOLS[name].paper}
        assert published
        assert params.pretrain_on_target or set(params.split.protocols) - published
        assert all(any(_fits(name, target) for name in params.split.protocols) for target in params.targets)


def _fits(protocol: str, target: str) -> bool:
    """EMOD's parts are those of one data set each."""
    owner = {"emod_faced": "faced", "emod_seedv": "seed_v", "emod_seed": "seed"}.get(protocol)
    return PROTOCOLS[protocol].kind != "parts" or owner == target


def test_rows_that_add_to_a_command(tmp_path):
    added = re.findall(r"`-S (\S+)` \|", TEXT)
    assert len(added) == 4
    three = [command for command in commands() if "pretrain_on_target" in command and "--queue" not in command][:3]
    targets = []
    for command, more in product(three, added):
        (params,) = settings(tmp_path, [*overrides(command), more])
        targets += params.targets
    assert sorted(set(targets)) == ["deap", "dreamer", "seed"]


@pytest.mark.parametrize("wrong", ["mdjpt.paper.model.encodr=mlla", "emod.paper.model.contrast=sofd", "targets=[sead]"])
def test_a_mistyped_override_would_be_found(wrong, tmp_path):
    from dvc.exceptions import InvalidArgumentError

    with pytest.raises((UsageProblem, InvalidArgumentError)):
        settings(tmp_path, [*overrides(commands()[0]), wrong])


def test_the_mixes_are_the_papers():
    mixes = load(ROOT / "params.yaml").mixes
    assert {name: set(mix["paper"]) for name, mix in mixes.items()} == {
        "mdjpt": {"seed", "seed_iv", "seed_v", "seed_vii", "faced", "deap"},
        "emod": {"deap", "seed_iv", "seed_vii", "amigos", "mped", "dreamer", "mahnob_hci", "mdme"},
        "art": {"seed", "deap"},
    }
    assert not {"faced", "seed_v", "seed"} & set(mixes["emod"]["paper"])


def windows(name: str, windowing: str, variant: str | None = None) -> int:
    """Windows of a data set, from the published durations of its trials."""
    facts = datasets.get(name).variant(variant).facts if variant else datasets.get(name).facts
    cut = WINDOWINGS[windowing].of(name)
    rate_hz = cut.rate_hz or facts.rate_hz
    sessions = [facts.durations(number) or () for number in range(1, facts.sessions + 1)]
    return facts.subjects * sum(len(cut.starts(round(s * rate_hz), rate_hz)) for one in sessions for s in one)


@pytest.mark.parametrize(
    ("name", "reported"), [("faced", 10_332), ("seed_v", 117_744), ("seed", 30_375), ("mdme", 5_329)]
)
def test_segments_of_emod_as_reported(name, reported):
    assert windows(name, "emod") == reported


def test_steps_of_an_epoch_of_art():
    items = windows("seed", "art") * 62 + windows("deap", "art", "original") * 32
    assert round(items / 512) == 12_874


@pytest.mark.parametrize(
    ("name", "subjects", "pairs", "windows_of_step"),
    [
        ("seed", 15, 315, 30),
        ("seed_iv", 15, 315, 48),
        ("seed_v", 16, 360, 30),
        ("seed_vii", 20, 760, 40),
        ("faced", 20, 190, 56),
        ("deap", 32, 496, 80),
    ],
)
def test_pairs_and_windows_of_a_step_of_mdjpt(name, subjects, pairs, windows_of_step):
    facts = datasets.get(name).facts
    # Of FACED the public code takes 20 of the 123.
    assert facts.subjects == subjects or (name, facts.subjects) == ("faced", 123)
    assert comb(subjects, 2) * facts.sessions == pairs
    assert 2 * facts.trials == windows_of_step


def test_a_clip_of_faced_has_thirteen_windows_in_half_a_minute():
    mdjpt = WINDOWINGS["mdjpt"]
    assert len(mdjpt.starts(round(30 * 125.0), 125.0)) == 13
    assert replace(mdjpt, step_s=5.0).of("faced").step_s == 5.0

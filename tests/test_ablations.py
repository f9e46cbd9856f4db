"""docs/ablations.md: every command is one that the pipeline accepts, and changes what the page says it reaches."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

from eegpipe.params import Params, load

from import_graph import ROOT

TEXT = (ROOT / "docs/ablations.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"\| `(dvc exp run [^`]*)` \|", TEXT)


def experiments(command: str, folder: Path) -> list[Params]:
    """What each experiment of a command would find in params.yaml, checked as every stage does."""
    words = shlex.split(command)
    changes = [word for before, word in pairwise(words) if before == "-S"]
    made = []
    for one in get_hydra_sweeps({"params.yaml": changes}):
        file = folder / "params.yaml"
        file.write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
        apply_overrides(str(file), one["params.yaml"])
        made.append(load(file))
    return made


def test_there_are_commands():
    assert len(COMMANDS) > 20
    assert len(set(COMMANDS)) == len(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_accepted_and_changes_something(command, tmp_path):
    made = experiments(command, tmp_path)
    assert ("--queue" in command) == (len(made) > 1)
    # One value of a sweep may be the committed one; no two may be the same.
    committed = load(ROOT / "params.yaml")
    assert any(one != committed for one in made)
    assert all(one != other for number, one in enumerate(made) for other in made[:number])


def test_a_setting_of_the_demo_is_one_of_the_size_that_runs():
    size = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["size"]
    for name in re.findall(r"-S '?(?:mdjpt|emod|art|evaluate)\.(\w+)\.", TEXT):
        assert name == size

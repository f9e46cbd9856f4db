"""docs/ablations.md: every command is one that the pipeline accepts, and changes what the page says it reaches."""

from __future__ import annotations

import re
import shlex
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

from eegpipe.params import Params, load

from import_graph import ROOT

TEXT = (ROOT / "docs/ablations.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"\| `(dvc exp run [^`]*)` \|", TEXT)


@pytest.fixture(scope="module")
def ablations():
    """benchmarks/ablations.py: no package, so that it runs from anywhere."""
    folder = str(ROOT / "benchmarks")
    sys.path.insert(0, folder)
    try:
        import ablations

        yield ablations
    finally:
        sys.path.remove(folder)


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


# --- benchmarks/ablations.py ------------------------------------------------------------------------------------------


def test_the_script_runs_what_the_page_says(ablations):
    found = ablations.commands(TEXT)
    assert [one.words for one in found] == COMMANDS
    assert [one.number for one in found] == list(range(1, len(found) + 1))
    assert all(one.question for one in found)


def metrics_file(leaking: float, clean: float) -> dict:
    def score(value: float) -> dict:
        return {"value": value, "interval": {"low": value - 0.1, "high": value + 0.1}}

    return {
        "protocols": {
            "fewshot_subject": {"leak_free": False, "balanced_accuracy": score(leaking)},
            "kfold_subject_stimulus": {"leak_free": True, "balanced_accuracy": score(clean - 0.2)},
            "fewshot_subject_stimulus": {"leak_free": True, "balanced_accuracy": score(clean)},
        }
    }


def test_only_what_changed_is_shown_and_only_what_is_leak_free(ablations):
    committed = {"seed/mdjpt": metrics_file(0.9, 0.6), "seed/de": metrics_file(0.8, 0.5)}
    found = committed | {"seed/mdjpt": metrics_file(0.9, 0.4), "deap/mdjpt": metrics_file(0.9, 0.7)}
    rows = ablations.scores(1, "cda_lambda 0.1", found, committed)
    assert [(row.target, row.method, row.value, row.committed) for row in rows] == [
        ("seed", "mdjpt", 0.4, 0.6),
        ("deap", "mdjpt", 0.7, None),
    ]
    assert rows[0].low == pytest.approx(0.3)
    lines = ablations.page_table(rows).splitlines()
    assert "0.600" in lines[2]
    assert "0.400" in lines[2]
    assert len(lines) == 4


def test_a_method_without_a_leak_free_row_has_no_score(ablations):
    content = {"protocols": {"fewshot_subject": {"leak_free": False, "balanced_accuracy": {"value": 1.0}}}}
    assert ablations.strictest(content) is None


def test_a_worker_that_ended_is_replaced_while_something_waits(ablations, monkeypatch):
    """Queued with nobody at work: after some looks workers are started again; running: never."""
    looks = [{"a": "Running", "b": "Queued"}] * 3 + [{"b": "Queued"}] * 7 + [{"b": "Running"}] * 8 + [{}]
    started = []
    monkeypatch.setattr(ablations, "_PAUSE_S", 0.0)
    monkeypatch.setattr(ablations, "_queued", lambda _: looks.pop(0))
    monkeypatch.setattr(ablations, "_start_workers", lambda jobs: started.append((jobs, len(looks))))
    ablations._wait(1)
    assert started == [(1, 10)]
    assert not looks

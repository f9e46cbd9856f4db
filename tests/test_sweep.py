"""Experiments of DVC become a curve over one setting, or a clear line says why not."""

from __future__ import annotations

import json

import pytest

from eegpipe.cli import main
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.report.tables import read_sweep
from eegpipe.sweep import collect, sweep_points


def metrics(method: str, score: float | None) -> dict:
    def entry(value, leak_free):
        interval = {"low": value - 0.1, "high": value + 0.1} if value is not None else None
        return {
            "leak_free": leak_free,
            "balanced_accuracy": {"value": value, "interval": interval},
            "chance": {"uniform": 0.5},
        }

    clean, leaky = entry(score, True), entry(0.99, False)
    return {"method": method, "target": "seed", "protocols": {"fewshot_subject": leaky, "loso_stimulus": clean}}


def state(rev: str, value, of_mdjpt: float | None, experiments=None) -> dict:
    files = {
        "metrics/seed/mdjpt.json": {"data": metrics("mdjpt", of_mdjpt)},
        "metrics/seed/de.json": {"data": metrics("de", 0.6)},
        "metrics/broken.json": {"error": {"type": "x", "msg": "y"}},
    }
    params = {"params.yaml": {"data": {"cda_lambda": value, "mdjpt": {"demo": {"hidden": 8}}}}}
    return {"rev": rev, "data": {"params": params, "metrics": files}, "experiments": experiments}


FAILED = {"rev": "9", "data": None, "error": {"type": "x", "msg": "y"}}
CONTENT = [
    state("workspace", 0.02, 0.7),
    state("main", 0.02, 0.1, [{"revs": [state("1", 0.1, 0.65)]}, {"revs": [FAILED]}, {"revs": [state("2", 0, 0.5)]}]),
]


def test_points_are_of_the_strictest_protocol_of_methods_that_depend_on_it():
    points = sweep_points(CONTENT, "cda_lambda")
    assert [(point.value, point.balanced_accuracy) for point in points] == [(0.0, 0.5), (0.02, 0.7), (0.1, 0.65)]
    assert {(point.method, point.protocol) for point in points} == {("mdjpt", "loso_stimulus")}


def test_a_curve_holds_no_step_of_a_second_setting():
    other, more = state("3", 0.5, 0.9), state("4", 0.5, 0.8)
    other["data"]["params"]["params.yaml"]["data"]["mdjpt"]["demo"]["hidden"] = 16
    more["data"]["params"]["params.yaml"]["data"]["targets"] = ["seed"]
    content = [*CONTENT, state("main~1", 0.02, 0.1, [{"revs": [other]}, {"revs": [more]}])]
    points = {point.value: point.balanced_accuracy for point in sweep_points(content, "cda_lambda")}
    assert points == {0.0: 0.5, 0.02: 0.7, 0.1: 0.65, 0.5: 0.8}


def test_the_command_writes_what_the_report_reads(tmp_path, monkeypatch, capsys):
    (tmp_path / "experiments.json").write_text(json.dumps(CONTENT))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["eegpipe", "sweep", "experiments.json", "cda_lambda"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0, capsys.readouterr().err
    rows = read_sweep(tmp_path)
    assert [(row.value, row.score, row.low) for row in rows] == [
        (0.0, 0.5, 0.4),
        (0.02, 0.7, pytest.approx(0.6)),
        (0.1, 0.65, pytest.approx(0.55)),
    ]
    assert {row.setting for row in rows} == {"cda_lambda"}


@pytest.mark.parametrize(
    ("content", "setting", "message"),
    [
        (CONTENT, "cda_lamda", "Did you mean 'cda_lambda'"),
        (CONTENT[:1], "cda_lambda", "1 values, expected two or more"),
        ([state("workspace", 0.1, 0.7), state("main", 0.2, 0.7)], "cda_lambda", "no method depends on it"),
        ([state("workspace", None, 0.7), state("main", True, 0.6)], "cda_lambda", "0 values"),
    ],
)
def test_refusals(content, setting, message):
    with pytest.raises(UsageProblem, match=message):
        sweep_points(content, setting)


@pytest.mark.parametrize("text", ["{", "{}", "[1]", '[{"name": 1}]'])
def test_what_is_no_list_of_experiments_is_named(text, tmp_path):
    (tmp_path / "experiments.json").write_text(text)
    with pytest.raises(DataProblem, match=r"experiments\.json"):
        collect(tmp_path / "experiments.json", "cda_lambda", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()

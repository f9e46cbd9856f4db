"""Which differences hold: p against hand counts, the correction, what few people cannot show, the command."""

from __future__ import annotations

import csv
import json
import shutil
from collections import defaultdict
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm
from typer.testing import CliRunner

from eegpipe.cli import app
from eegpipe.evaluate import EvaluateSettings, evaluate
from eegpipe.models.baselines import MlpSettings
from eegpipe.paired import (
    RESAMPLES,
    Predicted,
    compare,
    holm,
    read_predictions,
    resolution,
    sign_flip,
    smallest_p,
    subject_scores,
)
from eegpipe.protocols import SplitSettings
from eegpipe.splits import make

from planted_segments import condition, planted

STRICT, LOOSE = "fewshot_subject_stimulus", "fewshot_subject"
MLP = MlpSettings(least_steps=60, hidden=(16, 8))


def named(values: np.ndarray) -> dict[str, float]:
    return {f"{number:03}": float(value) for number, value in enumerate(values)}


# -- the test ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("differences", "extreme"),
    [
        # Sums of the eight flips of 1, 2, 3: -6, -4, -2, 0, 0, 2, 4, 6.
        ([1, 2, 3], 2),
        ([3, 2, -1], 4),
        ([1, 2, -3], 8),
        # A person without a difference halves what the others can show.
        ([1, 2, 0], 4),
        ([0, 0, 0], 8),
        # Thirds are not exact in binary: 1/3 + 1/3 - 2/3 is a tie with its own negative.
        ([1 / 3, 1 / 3, -2 / 3], 8),
        ([0.1 + 0.2, -0.3, 0.1], 8),
    ],
)
def test_p_is_the_share_of_flips_at_least_as_extreme(differences, extreme):
    assert sign_flip(np.array(differences, dtype=float)) == extreme / 8


def test_many_people_are_drawn_and_the_same_each_time():
    differences = np.random.default_rng(0).normal(0.4, 1, size=40)
    assert sign_flip(differences) == sign_flip(differences) == sign_flip(-differences)
    # Of many people the mean of flips is normal.
    z = differences.sum() / np.sqrt((differences**2).sum())
    assert sign_flip(differences) == pytest.approx(2 * norm.sf(abs(z)), abs=0.004)
    assert sign_flip(np.ones(40)) == smallest_p(40) == 2 / (RESAMPLES + 1)
    assert sign_flip(np.ones(15)) == smallest_p(15) == 2 / 2**15


def test_the_correction_is_holms():
    # In order .005 x 4, .01 x 3, .03 x 2, .04 x 1; the last may not fall below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


def test_without_a_difference_the_level_is_kept():
    """One pair by its own p, and all pairs of four methods after the correction."""
    rng = np.random.default_rng(3)
    found = np.mean([sign_flip(rng.normal(size=8)) < 0.05 for _ in range(600)])
    # 12 of the 256 values lie below 0.05; four standard errors.
    assert abs(found - 12 / 256) < 4 * np.sqrt(0.05 * 0.95 / 600)
    any_of_six = 0
    for _ in range(120):
        people = rng.normal(size=10)  # who is easy for one method is for the others
        scores = {name: named(people + rng.normal(size=10)) for name in "abcd"}
        any_of_six += any(one.holds for one in compare(scores))
    assert any_of_six / 120 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 120)


def test_a_planted_difference_is_found_and_no_other():
    rng = np.random.default_rng(5)
    people = rng.normal(0.5, 0.2, size=12)
    scores = {name: named(people + rng.normal(0, 0.03, size=12)) for name in ("a", "b", "c")}
    scores["better"] = named(people + 0.1 + rng.normal(0, 0.03, size=12))
    found = compare(scores)
    assert {(one.higher, one.lower) for one in found if one.holds} == {("better", name) for name in ("a", "b", "c")}
    assert all(one.difference == pytest.approx(0.1, abs=0.05) for one in found[:3])
    assert resolution(found) == ""


def test_the_order_of_methods_and_of_people_changes_nothing():
    rng = np.random.default_rng(1)
    scores = {name: named(rng.random(9) + 0.2 * number) for number, name in enumerate("abc")}
    expected = compare(scores)
    for order in permutations("abc"):
        shuffled = {name: dict(rng.permutation(list(scores[name].items())).tolist()) for name in order}
        assert compare({name: {one: float(score) for one, score in of.items()} for name, of in shuffled.items()}) == (
            expected
        )


def test_only_people_whom_both_tested_count():
    scores = {
        "a": {"1": 0.9, "2": 0.8, "3": 0.7, "only a": 0.0},
        "b": {"only b": 1.0, "3": 0.6, "2": 0.6, "1": 0.6},
        "c": {"1": 0.5, "somebody": 0.5},
        "d": {"nobody": 0.5},
    }
    found = {frozenset((one.higher, one.lower)): one for one in compare(scores)}
    pair = found[frozenset("ab")]
    assert (pair.higher, pair.people, pair.p) == ("a", 3, 0.25)
    assert pair.difference == pytest.approx(0.2)
    # The others are no tests, so nothing is corrected for them.
    assert pair.corrected == pair.p
    alone, strangers = found[frozenset("ac")], found[frozenset("cd")]
    assert (alone.people, alone.difference, alone.p, alone.corrected) == (1, pytest.approx(0.4), None, None)
    assert (strangers.people, strangers.difference, strangers.p, strangers.holds) == (0, None, None, False)
    assert "no test" in resolution([alone, strangers])


@pytest.mark.parametrize(
    ("people", "methods", "words"),
    [
        (5, 2, "the smallest p that the test can give is 0.062. It takes 6 people or more."),
        (6, 2, ""),
        (6, 8, "is 0.031, and 0.88 after the correction for 28 comparisons. It takes 11 people or more."),
        (10, 8, "is 0.002, and 0.055 after the correction for 28 comparisons. It takes 11 people or more."),
        (11, 8, ""),
        (2, 14, "is 0.5, and 1 after the correction for 91 comparisons. It takes 12 people or more."),
    ],
)
def test_what_so_few_people_cannot_show_is_said(people, methods, words):
    """And it is true: methods as far apart as can be hold exactly where nothing is said."""
    scores = {str(method): named(np.full(people, method / 20)) for method in range(methods)}
    found = compare(scores)
    assert resolution(found).endswith(words)
    assert bool(resolution(found)) == bool(words) == (not any(one.holds for one in found))


# -- by trial ----------------------------------------------------------------------------------------------------------


def made(rows: list[tuple[str, int, int, int, float]]) -> Predicted:
    """Of (subject, group, trial, truth, probability of class 1)."""
    subject, group, trial, truth, high = (np.array(column) for column in zip(*rows, strict=True))
    return Predicted(subject, group, trial[:, None], truth, np.column_stack([1 - high, high]))


def test_a_trial_counts_once_whatever_the_windowing():
    """Long windows: one a trial. Short ones: four of one trial and one of the other, with the same mean."""
    long = made([("01", 0, 1, 0, 0.3), ("01", 0, 2, 1, 0.4)])
    short = made([*[("01", 0, 1, 0, high) for high in (0.6, 0.6, 0.0, 0.0)], ("01", 0, 2, 1, 0.4)])
    assert subject_scores(long) == subject_scores(short) == {"01": 0.5}
    # Were each segment a trial of its own, two of four would be wrong, and the other trial's only one: 1/4.
    apart = [("01", 0, number, 0, 0.6 * (number < 2)) for number in range(4)]
    assert subject_scores(made([*apart, ("01", 0, 4, 1, 0.4)])) == {"01": 0.25}


def test_a_score_is_the_mean_over_training_groups():
    rows = [("01", 0, 1, 0, 0.1), ("01", 0, 2, 1, 0.9), ("01", 1, 1, 0, 0.9), ("01", 1, 2, 1, 0.9)]
    rows += [("02", 1, 3, 0, 0.1), ("02", 1, 4, 0, 0.9), ("02", 1, 5, 1, 0.9)]
    order = np.random.default_rng(0).permutation(len(rows))
    assert subject_scores(made(rows)) == subject_scores(made([rows[one] for one in order])) == {"01": 0.75, "02": 0.75}


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", name="project")
def make_project(tmp_path_factory) -> Path:
    """Two methods on one target, one of them with windows of another length, and one method on another target."""
    root = tmp_path_factory.mktemp("paired")
    settings = EvaluateSettings(resamples=20, mlp=MLP)
    long = planted("class", dataset="seed", subjects=7, clips=9, per_trial=3)
    short = replace(planted("class", dataset="seed", subjects=7, clips=9, per_trial=5, seconds=1.0), windowing="short")
    for segments, method, protocols in (
        (long, "de", (STRICT, LOOSE)),
        (short, "prior", (STRICT, LOOSE)),
        (condition(), "de", (LOOSE,)),
    ):
        place = Path(segments.dataset) / method
        splits = [make(one, segments, settings=SplitSettings(groups=2)) for one in protocols]
        evaluate(
            method, segments, splits, root / "metrics" / f"{place}.json", root / "plots" / place, settings=settings
        )
    return root


def run(*words: str | Path):
    return CliRunner().invoke(app, ["compare", *map(str, words)])


def test_the_table_is_that_of_the_stored_predictions(project):
    result = run(project / "metrics" / "seed")
    assert result.exit_code == 0, result.output
    assert f"seed, {STRICT} (leak free)" in result.stdout
    assert "balanced accuracy by trial" in result.stdout
    (pair,) = json.loads(run(project / "metrics" / "seed", "--json").stdout)["comparisons"]
    # Each class is as frequent as the others in the trials of a person, so that accuracy is balanced accuracy.
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    for method in ("de", "prior"):
        with (project / f"plots/seed/{method}/per_subject.csv").open(newline="") as lines:
            rows = [row for row in csv.DictReader(lines) if row["protocol"] == STRICT]
        scores[method] = {row["subject"]: float(row["trial_accuracy"]) for row in rows}
    (expected,) = compare(scores)
    assert (pair["higher"], pair["lower"], pair["people"], pair["p"]) == ("de", "prior", 7, expected.p)
    assert pair["difference"] == pytest.approx(expected.difference, abs=1e-5)


def test_a_protocol_can_be_named_and_a_leak_is(project):
    result = run(project / "metrics/seed/de.json", project / "metrics/seed/prior.json", "--protocol", LOOSE)
    assert result.exit_code == 0, result.output
    assert f"{LOOSE} (with leaks: no evidence about new people)" in result.stdout


def test_a_method_without_the_protocol_is_left_out_and_named(project, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(project, root)
    content = json.loads((root / "metrics/seed/de.json").read_text()) | {"method": "other"}
    content["protocols"] = {"loso_stimulus": content["protocols"][STRICT]}
    (root / "metrics/seed/other.json").write_text(json.dumps(content))
    result = run(root / "metrics/seed")
    assert f"seed, {STRICT} (leak free)" in result.stdout
    assert f"Not under this protocol without a leak: {root / 'metrics/seed/other.json'}" in result.stdout


def test_predictions_may_lie_beside_metrics_of_the_same_method(project, tmp_path):
    """Two runs of one method are told apart by their files."""
    for name in ("one", "two"):
        shutil.copytree(project / "plots/seed/de", tmp_path / name)
        shutil.copy(project / "metrics/seed/de.json", tmp_path / name / "metrics.json")
    result = run(tmp_path / "one", tmp_path / "two", tmp_path / "one" / "metrics.json", "--json")
    (pair,) = json.loads(result.stdout)["comparisons"]
    assert {pair["higher"], pair["lower"]} == {f"de ({tmp_path / name / 'metrics.json'})" for name in ("one", "two")}
    assert (pair["difference"], pair["p"]) == (0, 1)


def in_seed(change):
    """The words of the command after a change of a copied project."""
    return lambda root: (change(root), [root / "metrics" / "seed"])[1]


def resplit(root: Path) -> None:
    path = root / "metrics/seed/prior.json"
    content = json.loads(path.read_text())
    content["protocols"][STRICT]["split"] = "0" * 64
    path.write_text(json.dumps(content))


def without(protocol: str):
    def change(root: Path) -> None:
        path = root / "metrics/seed/prior.json"
        content = json.loads(path.read_text())
        del content["protocols"][protocol]
        path.write_text(json.dumps(content))

    return change


def shorten(root: Path) -> None:
    path = root / "plots/seed/de/predictions.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays[f"{STRICT}/trial"] = arrays[f"{STRICT}/trial"][:-1]
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (lambda root: [root / "metrics/seed/de.json"], 2, "Only one method"),
        (lambda root: [root / "metrics"], 2, "Metrics of several targets: eegmat, seed. Make a table of each."),
        (lambda root: [root / "nothing"], 2, "does not exist"),
        (lambda root: [root / "plots"], 2, "no metrics found"),
        (lambda root: [root / "metrics/seed", "--protocol", "fewshot_subjct"], 2, f"Did you mean '{LOOSE}'?"),
        (
            lambda root: (without(LOOSE)(root), [root / "metrics/seed", "--protocol", LOOSE])[1],
            2,
            f"Only one method under '{LOOSE}': ",
        ),
        (in_seed(without(STRICT)), 2, "No leak-free protocol that two of these methods share. Tested: "),
        (in_seed(lambda root: (root / "metrics/seed/de.json").write_text("[]")), 1, "de.json: found something unread"),
        (in_seed(lambda root: (root / "plots/seed/de/predictions.npz").unlink()), 1, "predictions.npz: found no file"),
        (
            in_seed(lambda root: (root / "plots/seed/de/predictions.npz").write_bytes(b"PK\x03\x04 nothing")),
            1,
            "predictions.npz: found something unreadable (BadZipFile)",
        ),
        (in_seed(shorten), 1, "predictions.npz: found arrays"),
        (in_seed(resplit), 1, f"prior.json: protocols.{STRICT}.split: found 000000000000, expected"),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_no_table(words, code, message, project, tmp_path):
    shutil.copytree(project, tmp_path / "copy")
    result = run(*words(tmp_path / "copy"))
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


def test_a_protocol_that_is_not_stored_is_left_out(project):
    path = project / "plots/eegmat/de/predictions.npz"
    assert list(read_predictions(path, "here", [STRICT, LOOSE])) == [LOOSE]

"""The curve over numbers of training subjects: nobody trains and is tested, and nothing but the class makes it rise."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from eegpipe.evaluate import EvaluateSettings, evaluate
from eegpipe.fewshot_curve import curve_protocol, fewshot_curve, folds, numbers
from eegpipe.models.baselines import MlpSettings
from eegpipe.predictions import FeatureCache
from eegpipe.protocols import SplitSettings
from eegpipe.splits import make

from planted_segments import condition, planted

SETTINGS = EvaluateSettings(resamples=100, mlp=MlpSettings(least_steps=5, hidden=(8, 4)))


def splits(segments, *protocols):
    return [make(protocol, segments, settings=SplitSettings(groups=2)) for protocol in protocols]


def points(segments, *protocols):
    made = splits(segments, *protocols)
    return fewshot_curve(made, segments, FeatureCache(segments, None, SETTINGS), SETTINGS, seed=0)


def test_numbers_of_subjects():
    assert numbers(6) == [1, 2, 4, 6]
    assert numbers(4) == [1, 2, 4]
    assert numbers(1) == [1]
    assert numbers(0) == []


def test_every_subject_is_tested_once_at_each_number_and_never_trains_there():
    segments = planted("class", subjects=6, clips=9)
    split = splits(segments, "fewshot_subject_stimulus")[0]
    tested: dict[int, list[str]] = {}
    for size, fold in folds(split, segments.subject_names, "demo"):
        assert len(fold.train.subjects) == size
        assert not set(fold.train.subjects) & set(fold.test.subjects)
        assert not set(fold.train.stimuli) & set(fold.test.stimuli)
        units = [f"{name}/{clip}" for name in fold.test.subjects for clip in fold.test.stimuli]
        tested.setdefault(size, []).extend(units)
    assert list(tested) == [1, 2, 4]
    for units in tested.values():
        assert len(units) == len(set(units)) == 6 * 9


def test_it_rises_with_the_class_and_stays_at_chance_with_clips_alone():
    segments = planted("class", subjects=6, clips=12)
    curve = points(segments, "fewshot_subject", "fewshot_subject_stimulus")
    assert {point.protocol for point in curve} == {"fewshot_subject_stimulus"}
    assert [point.subjects for point in curve] == [1, 2, 4]
    assert curve[-1].low > 0.5 > curve[-1].chance
    clips = splits(segments, "fewshot_subject_stimulus")[0].folds[0].train.stimuli
    assert curve[-1].train_trials == 4 * len(clips)
    assert curve[0].n_test_subjects == 6
    for point in points(planted("clip", subjects=6, clips=12), "fewshot_subject_stimulus"):
        assert point.low < 1 / 3 + 0.1


def test_where_no_leak_free_protocol_trains_a_few_there_is_no_curve():
    segments = planted("class", subjects=4, clips=9)
    assert curve_protocol(splits(segments, "fewshot_subject", "mdjpt_fewshot", "zeroshot_subject_stimulus")) is None
    assert points(segments, "fewshot_subject") == []
    # Where the class is the condition there are no clips to share.
    assert points(condition(), "fewshot_subject")[-1].protocol == "fewshot_subject"


@pytest.mark.parametrize(("method", "rows"), [("de", 2), ("prior", 0)])
def test_the_evaluation_writes_it(method, rows, tmp_path):
    segments = planted("class", subjects=4, clips=9)
    split = splits(segments, "fewshot_subject_stimulus")
    content = evaluate(method, segments, split, tmp_path / "m.json", tmp_path / "plots", settings=SETTINGS)
    with (tmp_path / "plots" / "fewshot.csv").open(encoding="utf-8", newline="") as lines:
        table = list(csv.DictReader(lines))
    assert [int(row["subjects"]) for row in table] == [1, 2, 3][: rows + 1 if rows else 0]
    assert "fewshot" not in str(content["files"])
    assert all(0 <= float(row["low"]) <= float(row["high"]) <= 1 for row in table)
    assert np.isfinite([float(row["chance"]) for row in table]).all()

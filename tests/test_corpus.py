"""Damaged, changed and hostile vendor files end in a clear refusal or a right result: a short run of the corpus.

The long run: ``python tests/corpus.py --cases 2000``.
"""

from __future__ import annotations

import contextlib
import pickle
import shutil

import numpy as np
import pytest

from eegpipe import datasets
from eegpipe.bids import convert

import corpus

CASES = 120


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return corpus.bases(tmp_path_factory.mktemp("corpus"), seed=7)


def test_every_case_is_refused_clearly_or_right(made):
    verdicts = corpus.run(made, CASES, seed=7, processes=1)
    faults = [one for one in verdicts if one.result not in ("refused", "right")]
    assert len(verdicts) == CASES + len(made)
    told = "\n".join(f"{one.result}: {one.case.base.dataset} {one.case.seed} {one.what}\n{one.fault}" for one in faults)
    assert not faults, told
    # The corpus bites: most changes are noticed, and an unchanged tree is not.
    assert sum(one.result == "refused" for one in verdicts) > CASES / 3
    untouched = [one for one in verdicts if one.case.seed == corpus.UNTOUCHED]
    assert {one.result for one in untouched} == {"right"}


def test_the_judge_sees_what_is_wrong(made, tmp_path):
    """A reader that swaps two labels, a message without an expectation, and a program that runs are faults."""
    assert corpus._unclear("s01.dat: KeyError: 'data' (at eegpipe.datasets.deap:12)", True, tmp_path)
    assert corpus._unclear("s01.dat is broken", True, tmp_path)
    assert corpus._unclear(f"{tmp_path}/s01.dat: found a, expected b.", True, tmp_path)
    assert not corpus._unclear("s01.dat: found a, expected b. Copy it again.", True, tmp_path)
    base = next(one for one in made if one.dataset == "seed" and one.variant == "preprocessed")
    convert(datasets.get("seed"), base.folder / "raw", tmp_path / "bids", variant="preprocessed", workers=1)
    truth = corpus.planted(base.folder / "truth")
    stem = next(iter(truth))
    assert corpus._wrong(base, tmp_path / "bids", stem, truth, "meaning") == ""
    [events] = list((tmp_path / "bids").rglob(f"{stem}_events.tsv"))
    good = events.read_text()
    events.write_text(good.replace("positive", "negative", 1))
    assert "stimuli and labels" in corpus._wrong(base, tmp_path / "bids", stem, truth, "bytes")
    events.write_text(good)
    [signal] = list((tmp_path / "bids").rglob(f"{stem}_eeg.eeg"))
    values = np.fromfile(signal, "<f4")
    values[0] += 1
    values.tofile(signal)
    assert "another signal" in corpus._wrong(base, tmp_path / "bids", stem, truth, "meaning")


def test_hostile_pickles_are_hostile(tmp_path):
    """Python's own loader runs them: otherwise the corpus would prove nothing."""
    place = tmp_path / corpus.RAN
    programs = corpus.hostile_pickles(place)
    for number in (0, 2, 3):
        with contextlib.suppress(Exception):
            pickle.loads(programs[number])
        assert place.is_file()
        place.unlink()


def test_a_case_is_the_same_every_time(made, tmp_path):
    changes = []
    for turn in (1, 2):
        shutil.copytree(made[0].folder / "raw", tmp_path / str(turn))
        case = corpus.Case(made[0], "7/3")
        changes.append(case.apply(tmp_path / str(turn)))
    assert changes[0] == changes[1]

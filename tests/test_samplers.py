"""The pair rule of mdJPT, its uniformity, and what it refuses."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from eegpipe.errors import DataProblem
from eegpipe.samplers import PairSampler

from stimulus_locked import segments

SHORT = {"channels": ("Cz",), "samples": 8}


@pytest.fixture(scope="module")
def two_sessions():
    return segments("beta", subjects=4, sessions=2, stimuli=5, windows=6, **SHORT)


def test_two_subjects_one_session_one_window_a_stimulus(two_sessions):
    data = two_sessions
    sampler = PairSampler([data], seed=1)
    assert len(sampler.pairs[0]) == 2 * 4 * 3 / 2
    times = set()
    for number in range(40):
        first, second = sampler.draw(number)[0]
        for rows in (first, second):
            assert len(set(data.subject[rows])) == len(set(data.session[rows])) == 1
        assert data.subject[first[0]] != data.subject[second[0]]
        assert data.session[first[0]] == data.session[second[0]]
        np.testing.assert_array_equal(np.sort(data.stimulus[first]), np.unique(data.stimulus))
        np.testing.assert_array_equal(data.stimulus[first], data.stimulus[second])
        np.testing.assert_array_equal(data.stimulus_time[first], data.stimulus_time[second])
        # On a full grid of segments: a constant multiple of the windows of one subject.
        assert len(set(second - first)) == 1
        assert (second - first)[0] % (2 * 5 * 6) == 0
        times.update(data.stimulus_time[first])
    assert times == set(data.stimulus_time)


def test_a_draw_depends_on_seed_and_number_only(two_sessions):
    other = segments("gamma", subjects=3, stimuli=4, windows=2, **SHORT)
    drawn = [PairSampler([two_sessions], seed=1).draw(number)[0].first.tolist() for number in (7, 7, 8)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] != PairSampler([two_sessions], seed=2).draw(7)[0].first.tolist()
    assert drawn[0] == PairSampler([other, two_sessions], seed=1).draw(7)[1].first.tolist()


def test_independent_draws_are_uniform():
    """12 and 3 pairs, 2400 draws: every pair and every combination of pairs as often as any other (chi-square)."""
    sources = [
        segments("beta", subjects=4, sessions=2, stimuli=2, windows=1, **SHORT),
        segments("gamma", subjects=3, stimuli=2, windows=1, **SHORT),
    ]
    sampler = PairSampler(sources, seed=3)
    combinations = Counter(
        tuple((batch.first[0], batch.second[0]) for batch in sampler.draw(number)) for number in range(2400)
    )
    cells = 12 * 3
    expected = 2400 / cells
    missing = cells - len(combinations)
    chi_square = sum((count - expected) ** 2 / expected for count in combinations.values()) + missing * expected
    assert chi_square < 66.6  # 35 degrees of freedom, p = 0.001


def test_coupled_draws_are_not():
    sources = [
        segments("beta", subjects=4, sessions=2, stimuli=2, windows=1, **SHORT),
        segments("gamma", subjects=3, stimuli=2, windows=1, **SHORT),
    ]
    sampler = PairSampler(sources, seed=3, pair_draw="coupled")
    combinations = {tuple((batch.first[0], batch.second[0]) for batch in sampler.draw(number)) for number in range(600)}
    assert len(combinations) == 12  # the pair of the longer list decides that of the shorter


def test_missing_windows_are_never_drawn(two_sessions):
    """Segments that one of the two lacks do not count, whatever their order in the store."""
    rng = np.random.default_rng(0)
    data = two_sessions.select(rng.permutation(np.flatnonzero(rng.random(len(two_sessions)) < 0.4)))
    sampler = PairSampler([data], seed=1)
    for number in range(40):
        first, second = sampler.draw(number)[0]
        np.testing.assert_array_equal(data.stimulus[first], data.stimulus[second])
        np.testing.assert_array_equal(data.stimulus_time[first], data.stimulus_time[second])
        assert len(set(data.stimulus[first])) == len(first) >= 2


def test_times_that_differ_by_rounding_match(two_sessions):
    wobble = np.where(two_sessions.subject == 0, 1e-9, -1e-9)
    data = replace(two_sessions, stimulus_time=two_sessions.stimulus_time + wobble)
    assert len(PairSampler([data], seed=1).draw(0)[0].first) == 5


def test_most_stimuli(two_sessions):
    sampler = PairSampler([two_sessions], seed=1, most_stimuli=3)
    seen = set()
    for number in range(20):
        stimuli = two_sessions.stimulus[sampler.draw(number)[0].first]
        assert len(set(stimuli)) == len(stimuli) == 3
        seen.update(stimuli.tolist())
    assert len(seen) == 5
    assert len(PairSampler([two_sessions], seed=1, most_stimuli=9).draw(0)[0].first) == 5


def test_a_repeated_stimulus_counts_once():
    """Sessions joined into one: of two showings the first, by trial number, is used."""
    data = segments(subjects=2, sessions=2, stimuli=3, windows=2, **SHORT)
    joined = replace(data, session=np.zeros_like(data.session), trial=data.trial + 10 * data.session)
    for number in range(10):
        batch = PairSampler([joined], seed=0).draw(number)[0]
        assert (joined.trial[np.concatenate(batch)] < 10).all()


class TestRefusals:
    def test_one_subject(self):
        with pytest.raises(DataProblem, match="alpha: segments: found 1 subject, expected at least two subjects"):
            PairSampler([segments(subjects=1, **SHORT)], seed=0)

    def test_no_session_in_common(self):
        data = segments(subjects=2, sessions=2, **SHORT)
        apart = data.select(data.subject == data.session)
        with pytest.raises(DataProblem, match="no two subjects with the same session"):
            PairSampler([apart], seed=0)

    def test_no_stimulus_in_common(self):
        data = segments(subjects=2, stimuli=4, **SHORT)
        apart = data.select((data.stimulus % 2) == data.subject)
        with pytest.raises(DataProblem, match="at most 0 stimuli"):
            PairSampler([apart], seed=0)

    def test_no_time_in_common(self):
        data = segments(subjects=2, stimuli=4, **SHORT)
        shifted = replace(data, stimulus_time=data.stimulus_time + 0.5 * data.subject)
        with pytest.raises(DataProblem, match="at the same stimulus time"):
            PairSampler([shifted], seed=0)

"""The valence-arousal space."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eegpipe import affect
from eegpipe.affect import AffectSource
from eegpipe.errors import UsageProblem


@pytest.mark.parametrize(
    ("rating", "scale", "value"),
    [(1, (1, 9), -4), (5, (1, 9), 0), (9, (1, 9), 4), (7.2, (1, 9), 2.2), (3, (1, 5), 0), (5, (1, 5), 4),
     (0, (0, 7), -4), (3.5, (0, 7), 0), (7, (0, 7), 4), (-1, (-1, 1), -4)],
)  # fmt: skip
def test_scales_are_moved_linearly(rating, scale, value):
    point = affect.from_rating(rating, scale[0], scale)
    assert point.valence == pytest.approx(value)
    assert point.arousal == -4
    assert point.source is AffectSource.SELF_REPORT


@pytest.mark.parametrize(("valence", "arousal"), [(0.9, 5), (5, 9.1), (math.inf, 5)])
def test_ratings_outside_their_scale_are_errors(valence, arousal):
    with pytest.raises(ValueError, match="outside its scale"):
        affect.from_rating(valence, arousal, (1, 9))


def test_no_rating_is_unknown():
    assert affect.from_rating(math.nan, 5, (1, 9)) is affect.UNKNOWN
    assert affect.UNKNOWN.source is AffectSource.UNKNOWN


def test_word_norms():
    for word, (valence, arousal) in affect.WORD_NORMS.items():
        assert max(abs(valence), abs(arousal)) <= affect.LIMIT, word
        assert affect.from_word(word) == affect.Affect(valence, arousal, AffectSource.WORD_NORM)
    norms = affect.WORD_NORMS
    # Made from the others, as the module says.
    pleasant = np.mean([norms["joy"], norms["amusement"]], axis=0)
    unpleasant = np.mean([norms[word] for word in ("sadness", "anger", "fear", "disgust")], axis=0)
    np.testing.assert_allclose(norms["positive"], pleasant, atol=0.011)
    np.testing.assert_allclose(norms["negative"], unpleasant, atol=0.011)
    assert norms["neutral"] == (0, 0)


def test_an_unknown_word_is_met_with_the_nearest():
    with pytest.raises(UsageProblem, match="Did you mean 'sadness'"):
        affect.from_word("saddness")


def test_sources_keep_their_numbers_and_texts():
    stored = {source.value: source.text for source in AffectSource}
    assert stored == {0: "n/a", 1: "self-report", 2: "clip-norm", 3: "word-norm"}
    assert all(AffectSource.from_text(text) == value for value, text in stored.items())

"""The valence-arousal space: every label of every data set, on two axes from -4 to 4.

Valence runs from unpleasant (-4) to pleasant (4), arousal from calm (-4) to excited (4). Where the number comes from is
kept beside it, because a participant's own rating and the norm of an emotion word are not the same kind of fact.
Sources and disagreements between norms: docs/formats.md, section "Valence and arousal".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from eegpipe.errors import UsageProblem, did_you_mean

LIMIT = 4.0


class AffectSource(IntEnum):
    """Where a trial's valence and arousal come from. The values are stored in segment stores: never renumber."""

    UNKNOWN = 0
    SELF_REPORT = 1
    CLIP_NORM = 2
    WORD_NORM = 3

    @property
    def text(self) -> str:
        """The spelling in BIDS events files: ``n/a``, ``self-report``, ``clip-norm``, ``word-norm``."""
        return _SOURCE_TEXT[self]

    @classmethod
    def from_text(cls, text: str) -> AffectSource:
        return {value: key for key, value in _SOURCE_TEXT.items()}[text]


_SOURCE_TEXT = {
    AffectSource.UNKNOWN: "n/a",
    AffectSource.SELF_REPORT: "self-report",
    AffectSource.CLIP_NORM: "clip-norm",
    AffectSource.WORD_NORM: "word-norm",
}


@dataclass(frozen=True)
class Affect:
    """A point of the space; NaN on both axes means unknown."""

    valence: float
    arousal: float
    source: AffectSource


UNKNOWN = Affect(math.nan, math.nan, AffectSource.UNKNOWN)

# Mean rating of the videos of one category in Cowen & Keltner 2017 (1-9 scales), minus 5. "positive" is the mean of joy
# and amusement, "negative" of sadness, anger, fear and disgust; "neutral" is the centre by convention.
WORD_NORMS: Mapping[str, tuple[float, float]] = {
    "joy": (2.32, 1.06),
    "happy": (2.32, 1.06),
    "happiness": (2.32, 1.06),
    "amusement": (1.11, 0.77),
    "funny": (1.11, 0.77),
    "inspiration": (1.21, 0.93),
    "tenderness": (2.39, 0.33),
    "calm": (2.16, 0.16),
    "calmness": (2.16, 0.16),
    "contentment": (1.85, 0.36),
    "sadness": (-1.95, 0.37),
    "sad": (-1.95, 0.37),
    "fear": (-1.84, 1.23),
    "disgust": (-2.68, 0.12),
    "anger": (-1.93, 1.01),
    "angry": (-1.93, 1.01),
    "surprise": (-0.29, 1.24),
    "anxiety": (-1.38, 1.34),
    "excitement": (1.25, 1.81),
    "awe": (1.01, 1.17),
    "neutral": (0.0, 0.0),
    "positive": (1.71, 0.92),
    "negative": (-2.10, 0.68),
}


def from_rating(valence: float, arousal: float, scale: tuple[float, float]) -> Affect:
    """A participant's own rating on ``scale`` (lowest, highest), moved linearly to -4..4.

    Raises
    ------
    ValueError
        If a rating lies outside its scale. NaN (no rating given) yields :data:`UNKNOWN`.
    """
    low, high = scale
    if math.isnan(valence) or math.isnan(arousal):
        return UNKNOWN
    if not (low <= valence <= high and low <= arousal <= high):
        raise ValueError(f"rating (valence {valence}, arousal {arousal}) outside its scale {low:g}..{high:g}")

    def move(rating: float) -> float:
        return (2 * (rating - low) / (high - low) - 1) * LIMIT

    return Affect(move(valence), move(arousal), AffectSource.SELF_REPORT)


def from_word(word: str) -> Affect:
    """The norm of an emotion word."""
    try:
        valence, arousal = WORD_NORMS[word]
    except KeyError:
        raise UsageProblem(f"No valence-arousal norm for the word '{word}'.{did_you_mean(word, WORD_NORMS)}") from None
    return Affect(valence, arousal, AffectSource.WORD_NORM)

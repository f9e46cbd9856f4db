"""Affect: what a clip evokes, what a person feels, what they write down, and what it does to band power.

The three axes are valence, arousal and approach (the wish to go towards or away, which separates anger from fear), each
from -1 to 1. Sources of the effects on band power: docs/simulator.md, "Affect".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eegpipe.simulate.head import N_CORTICAL, Head
from eegpipe.simulate.plan import Clip
from eegpipe.simulate.streams import stream

# Places on the circumplex, set by hand in the order on which emotion-word norms agree.
WORDS: Mapping[str, tuple[float, float, float]] = {
    "positive": (0.8, 0.4, 0.5),
    "neutral": (0.0, -0.6, 0.0),
    "negative": (-0.8, 0.3, -0.5),
    "anger": (-0.7, 0.7, 0.6),
    "disgust": (-0.8, 0.2, -0.7),
    "fear": (-0.7, 0.8, -0.8),
    "sadness": (-0.8, -0.3, -0.2),
    "amusement": (0.7, 0.6, 0.4),
    "inspiration": (0.5, 0.1, 0.7),
    "joy": (0.9, 0.4, 0.6),
    "tenderness": (0.6, -0.5, 0.2),
    "happy": (0.9, 0.4, 0.6),
    "sad": (-0.8, -0.3, -0.2),
    "surprise": (0.1, 0.8, 0.1),
}

RHYTHMS = ("theta", "alpha", "beta", "gamma")

_FELT_SPREAD = 0.22  # how far a person's feeling lies from what the clip evokes on average
_RATING_SPREAD = 0.12  # how far the mark on the scale lies from the feeling


@dataclass(frozen=True, eq=False)
class Effects:
    """Change of log power per unit of affect: rhythm -> (axis, cortical source)."""

    log_power: Mapping[str, np.ndarray]

    def log_amplitude(self, rhythm: str, felt: np.ndarray, size: float) -> np.ndarray:
        """Change of the log amplitude of one rhythm in each cortical source, shape (source,)."""
        return 0.5 * size * (felt @ self.log_power[rhythm])


def effects(head: Head) -> Effects:
    """The published effects of watching emotional films, as maps over the cortex."""
    temporal = head.nearness(("T7", "T8", "FT7", "FT8", "TP7", "TP8"))
    prefrontal = head.nearness(("Fp1", "Fpz", "Fp2"))
    posterior = head.nearness(("Pz", "POz", "Oz", "O1", "O2", "P7", "P8"))
    midline = head.nearness(("Fz", "FCz"))
    left, right = head.nearness(("F3", "F7")), head.nearness(("F4", "F8"))
    nothing = np.zeros(N_CORTICAL)
    return Effects(
        {
            # valence, arousal, approach
            "theta": np.stack([0.4 * midline, 0.6 * midline, nothing]),
            "alpha": np.stack([nothing, -0.7 * posterior, 0.6 * (right - left)]),
            "beta": np.stack([0.8 * temporal, 0.3 * posterior, nothing]),
            "gamma": np.stack([1.1 * temporal - 0.5 * prefrontal, nothing, nothing]),
        }
    )


def felt(seed: int, dataset: str, subject: object, clip: Clip) -> np.ndarray:
    """What one person feels at one clip, shape (3,), each about -1 to 1."""
    return np.array(clip.latent) + _FELT_SPREAD * stream(seed, dataset, subject, "felt", clip.number).standard_normal(3)


def rate(random: np.random.Generator, feeling: float, scale: tuple[float, float]) -> float:
    """The mark that a feeling of -1 to 1 gets on a scale (lowest, highest)."""
    low, high = scale
    marked = feeling + _RATING_SPREAD * random.standard_normal()
    return float(np.clip((low + high) / 2 + 0.45 * (high - low) * marked, low, high))

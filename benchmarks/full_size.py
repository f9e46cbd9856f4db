"""What the papers pre-train on: synthetic segments of the same shapes, windows of a step, steps of the budget.

The values are noise: neither time nor memory depends on them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from eegpipe import datasets
from eegpipe.affect import AffectSource
from eegpipe.channels import schema
from eegpipe.loader import Segments
from eegpipe.params import ArtParams, EmodParams, MdjptParams, MethodParams
from eegpipe.segment import WindowingSettings

# Segments of EMOD's eight data sets (arXiv 2511.05863, in the text; its table sums to 80,070).
_EMOD_SEGMENTS = 79_070


@dataclass(frozen=True)
class Source:
    """One data set: every subject sees every stimulus once, ``windows`` windows of each."""

    name: str
    channels: int
    stimuli: int
    windows: int = 2
    subjects: int = 2
    rate_hz: float = 0.0  # 0: that of the windowing


# mdJPT: the five data sets beside the target SEED-V, stimuli of a session.
_MDJPT = (
    Source("deap", 32, 40),
    Source("faced", 30, 28),
    Source("seed", 60, 15),
    Source("seed_iv", 62, 24),
    Source("seed_vii", 62, 20),
)
# EMOD: the eight of its public code, with the channels that it stores. Nine stimuli, one for each region of the plane.
_EMOD = (
    Source("amigos", 14, 9),
    Source("deap", 32, 9),
    Source("dreamer", 14, 9),
    Source("mahnob_hci", 32, 9),
    Source("mdme", 18, 9),
    Source("mped", 62, 9),
    Source("seed_iv", 62, 9),
    Source("seed_vii", 62, 9),
)
# ART: SEED and DEAP at their own rates, with windows in about the proportion of the real data sets.
_ART = (Source("deap", 32, 8, rate_hz=128.0), Source("seed", 62, 16, rate_hz=200.0))


def part_of(params: MethodParams, part: int) -> MethodParams:
    """The settings of a step of about one in ``part`` of the windows. mdJPT's step takes every stimulus: it becomes
    smaller with the sources."""
    if isinstance(params, EmodParams):
        return replace(params, model=replace(params.model, per_region=max(1, params.model.per_region // part)))
    if isinstance(params, ArtParams):
        return replace(params, model=replace(params.model, batch_items=max(2, params.model.batch_items // part)))
    return params


def sources(params: MethodParams, windowing: WindowingSettings, *, part: int = 1) -> list[Segments]:
    """Segments of all data sets of the method."""
    return [segments(one, windowing) for one in _shapes(params, part)]


def _shapes(params: MethodParams, part: int) -> list[Source]:
    if isinstance(params, MdjptParams):
        return [replace(one, stimuli=max(2, round(one.stimuli / part))) for one in _MDJPT]
    return list(_EMOD if isinstance(params, EmodParams) else _ART)


def segments(source: Source, windowing: WindowingSettings, *, seed: int = 0) -> Segments:
    """White noise of 20 microvolt with all that a store says of a segment; stimulus k stands in region k mod 9 of the
    valence-arousal plane."""
    rate_hz = source.rate_hz or windowing.rate_hz
    assert rate_hz is not None
    shape = (source.subjects, source.stimuli, source.windows)
    subject, stimulus, window = (axis.ravel() for axis in np.indices(shape))
    count = len(subject)
    rng = np.random.default_rng([seed, *source.name.encode()])
    eeg = rng.standard_normal((count, source.channels, round(windowing.window_s * rate_hz)), dtype=np.float32)
    centre = np.array([-2.5, 0.5, 3.0], dtype=np.float32)
    return Segments(
        dataset=source.name,
        windowing="synthetic",
        rate_hz=rate_hz,
        channels=tuple(schema())[: source.channels],
        eeg=20 * eeg,
        subject=subject,
        subject_names=tuple(f"{index + 1:02d}" for index in range(source.subjects)),
        session=np.zeros(count, dtype=np.int64),
        session_names=("1",),
        trial=stimulus + 1,
        stimulus=stimulus.astype(np.int64),
        stimulus_names={index: f"{source.name}/{index + 1:02d}" for index in range(source.stimuli)},
        stimulus_time=window * windowing.step_s,
        recording_time=stimulus * 60.0 + window * windowing.step_s,
        label=(stimulus % 3).astype(np.int16),
        labels=("negative", "neutral", "positive"),
        valence=centre[stimulus % 3],
        arousal=centre[stimulus // 3 % 3],
        affect_source=np.full(count, AffectSource.SELF_REPORT, dtype=np.int8),
        digest="synthetic",
    )


def windows_of_step(params: MethodParams, *, part: int = 1) -> int:
    """Windows that a step takes from these data sets; of ART single channels of windows. Other methods than mdJPT have
    the part in their settings."""
    draws = params.training.draws_per_step
    shapes = _shapes(params, part)
    if isinstance(params, MdjptParams):
        most = params.training.most_stimuli or max(one.stimuli for one in shapes)
        return draws * sum(2 * min(one.stimuli, most) for one in shapes)
    if isinstance(params, EmodParams):
        return draws * 9 * params.model.per_region * len(shapes)
    return draws * params.model.batch_items


def steps_of_budget(params: MethodParams, windowing: WindowingSettings) -> int:
    """Optimiser steps of the whole pre-training on the paper's data."""
    training = params.training
    if training.steps_per_epoch is not None:
        return training.epochs * training.steps_per_epoch
    if isinstance(params, EmodParams):
        return training.epochs * (_EMOD_SEGMENTS // len(_EMOD) // (9 * params.model.per_region))
    assert isinstance(params, ArtParams)
    return training.epochs * round(_art_items(windowing) / params.model.batch_items)


def _art_items(windowing: WindowingSettings) -> int:
    """Channels of windows of SEED and DEAP: windows do not span trials, and DEAP's trials begin with 3 s of rest."""
    items = 0
    for name, channels, skipped_s in (("seed", 62, 0.0), ("deap", 32, 3.0)):
        facts = datasets.get(name).variants[0].facts
        durations = facts.durations()
        assert durations is not None
        windows = sum(int((one - skipped_s - windowing.window_s) / windowing.step_s + 1e-9) + 1 for one in durations)
        items += facts.subjects * facts.sessions * windows * channels
    return items

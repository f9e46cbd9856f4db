"""Segments with a known effect: the power of five rhythms depends on the class, the clip, the trial, or on nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from eegpipe.affect import UNKNOWN, Affect, AffectSource
from eegpipe.loader import Segments

RATE_HZ = 100.0
RHYTHMS_HZ = np.array([2.5, 6.0, 10.0, 20.0, 35.0])  # one in each band of differential entropy


def planted(
    effect: Literal["class", "clip", "trial", "nothing"] = "nothing",
    *,
    dataset: str = "demo",
    subjects: int = 6,
    clips: int = 12,
    n_classes: int = 3,
    per_trial: int = 3,
    channels: int = 6,
    seconds: float = 2.0,
    seed: int = 0,
) -> Segments:
    """All subjects share the effect, but for "trial": each trial drifts its own way.

    Without "class", the labels of the clips are drawn at random.
    """
    rng = np.random.default_rng(seed)
    n = subjects * clips * per_trial
    subject = np.repeat(np.arange(subjects), clips * per_trial)
    clip = np.tile(np.repeat(np.arange(clips), per_trial), subjects)
    window = np.tile(np.arange(per_trial), subjects * clips)
    of_clip = np.arange(clips) % n_classes
    if effect != "class":
        of_clip = rng.permutation(of_clip)
    time = np.arange(int(RATE_HZ * seconds)) / RATE_HZ
    gain = rng.uniform(0.7, 1.4, size=(subjects, channels, 1))
    eeg = rng.normal(size=(n, channels, len(time))) * 5 * gain[subject]
    if effect != "nothing":
        cause = {"class": of_clip[clip], "clip": clip, "trial": subject * clips + clip}[effect]
        amplitude = rng.uniform(0, 4, size=(cause.max() + 1, channels, len(RHYTHMS_HZ), 1))
        phase = rng.uniform(0, 2 * np.pi, size=(n, channels, len(RHYTHMS_HZ), 1))
        eeg += (amplitude[cause] * np.sin(2 * np.pi * RHYTHMS_HZ[:, None] * time + phase)).sum(axis=2)
    unknown = np.full(n, np.nan, dtype=np.float32)
    return Segments(
        dataset=dataset,
        windowing="test",
        rate_hz=RATE_HZ,
        channels=("Fz", "Cz", "Pz", "Oz", "C3", "C4", "F3", "F4")[:channels],
        eeg=eeg.astype(np.float32),
        subject=subject,
        subject_names=tuple(f"{number + 1:02d}" for number in range(subjects)),
        session=np.zeros(n, dtype=int),
        session_names=("1",),
        trial=clip + 1,
        stimulus=clip.astype(np.int64) + 1000,
        stimulus_names={number + 1000: f"{dataset}/{number + 1:02d}" for number in range(clips)},
        stimulus_time=window * seconds,
        recording_time=clip * 60 + window * seconds,
        label=of_clip[clip].astype(np.int16),
        labels=("calm", "fear", "joy", "anger")[:n_classes],
        valence=unknown,
        arousal=unknown,
        affect_source=np.zeros(n, dtype=np.int8),
        digest="0123456789abcdef",
    )


def in_sessions(segments: Segments, sessions: int, *, other_clips: bool = False) -> Segments:
    """The same subjects ``sessions`` times, each with noise of its own, watching the same clips or ``other_clips``.

    Other clips have the classes of the first ones. Trials are numbered from 1 in each session.
    """
    n, clips = len(segments), len(segments.stimulus_names)
    again = segments.select(np.tile(np.arange(n), sessions))
    rng = np.random.default_rng(7)
    again.eeg = again.eeg + rng.normal(size=again.eeg.shape).astype(np.float32)
    again.session = np.repeat(np.arange(sessions), n)
    again.session_names = tuple(str(number + 1) for number in range(sessions))
    if other_clips:
        again.stimulus = again.stimulus + clips * again.session
        again.stimulus_names = {
            1000 + number: f"{segments.dataset}/{number + 1:02d}" for number in range(clips * sessions)
        }
    return again


def rated(segments: Segments, valence_of: dict[tuple[str, str], float]) -> Segments:
    """Without labels; ``valence_of`` (subject, stimulus) by self-report."""
    names = zip(segments.subject, segments.stimulus, strict=True)
    valence = [valence_of[segments.subject_names[one], segments.stimulus_names[int(clip)]] for one, clip in names]
    same = segments.select(np.arange(len(segments)))
    same.label, same.labels = np.full(len(same), -1, dtype=np.int16), ()
    same.valence = same.arousal = np.array(valence, dtype=np.float32)
    same.affect_source = np.full(len(same), AffectSource.SELF_REPORT, dtype=np.int8)
    return same


def condition(subjects: int = 4) -> Segments:
    """Two recordings a subject, rest and arithmetic: the label is what the participant did."""
    segments = planted("class", dataset="eegmat", subjects=subjects, clips=2, n_classes=2, per_trial=4)
    segments.labels = ("rest", "arithmetic")
    segments.stimulus_names = {1000: "eegmat/rest", 1001: "eegmat/arithmetic"}
    return segments


def write_segments(path: Path, segments: Segments) -> None:
    """The segments as a store."""
    from eegpipe.store import StoreHeader, TrialSegments, write_store

    columns = np.stack([segments.subject, segments.session, segments.trial, segments.stimulus], axis=1)
    trials = []
    for key in dict.fromkeys(map(tuple, columns.tolist())):
        mine = np.flatnonzero((columns == key).all(axis=1))
        subject, session, trial, stimulus = key
        label = int(segments.label[mine[0]])
        source = AffectSource(segments.affect_source[mine[0]])
        rating = (float(segments.valence[mine[0]]), float(segments.arousal[mine[0]]))
        trials.append(
            TrialSegments(
                eeg=segments.eeg[mine],
                channels=segments.channels,
                subject=segments.subject_names[subject],
                session=segments.session_names[session],
                trial=trial,
                stimulus=segments.stimulus_names[stimulus],
                stimulus_time=segments.stimulus_time[mine],
                recording_time=segments.recording_time[mine],
                label=segments.labels[label] if label >= 0 else None,
                affect=Affect(*rating, source) if source else UNKNOWN,
            )
        )
    write_store(path, trials, StoreHeader(segments.dataset, segments.windowing, segments.rate_hz, segments.labels))

"""Segments in which people who see the same clip share a part of their signal: what pre-training can learn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eegpipe.channels import position, schema
from eegpipe.loader import Segments

TEN = ("Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2")


def segments(
    dataset: str = "alpha",
    *,
    subjects: int = 3,
    sessions: int = 1,
    stimuli: int = 4,
    windows: int = 3,
    channels: Sequence[str] = TEN,
    samples: int = 625,
    rate_hz: float = 125.0,
    shared: float = 1.0,
    seed: int = 0,
) -> Segments:
    """Every subject sees every stimulus once per session, ``windows`` windows of each at steps of 2 s.

    ``shared``: size of the stimulus-locked part relative to each subject's own smooth noise. Positions of the shared
    sources are the same for all; each subject mixes them a little differently.
    """
    rng = np.random.default_rng([seed, *dataset.encode()])
    length = samples + round((windows - 1) * 2 * rate_hz)

    def smooth(*shape: int) -> np.ndarray:
        white = rng.standard_normal((*shape, length))
        frequency = np.fft.rfftfreq(length, 1 / rate_hz)
        shaped = np.fft.irfft(np.fft.rfft(white) / np.maximum(frequency, 1.0), length)
        return shaped / shaped.std(axis=-1, keepdims=True)

    place = np.array([position(name) for name in channels])
    sources = np.array([position(name) for name in list(schema())[0:57:14]])
    mixing = np.exp(-(np.linalg.norm(place[:, None] - sources[None], axis=-1) ** 2) / 0.05**2)
    clips = smooth(stimuli, len(sources))
    rows, signal = [], []
    for subject in range(subjects):
        own = mixing * rng.normal(1.0, 0.2, mixing.shape)
        gain = rng.uniform(5.0, 20.0)
        for session in range(sessions):
            for stimulus in range(stimuli):
                brain = mixing @ smooth(len(sources)) + 0.3 * rng.standard_normal((len(channels), length))
                eeg = gain * (shared * own @ clips[stimulus] + brain)
                for window in range(windows):
                    start = round(window * 2 * rate_hz)
                    signal.append(eeg[:, start : start + samples])
                    rows.append((subject, session, stimulus + 1, stimulus, window * 2.0))
    subject, session, trial, stimulus, time = np.array(rows).T
    count = len(rows)
    return Segments(
        dataset=dataset,
        windowing="mdjpt",
        rate_hz=rate_hz,
        channels=tuple(channels),
        eeg=np.array(signal, dtype=np.float32),
        subject=subject.astype(np.int32),
        subject_names=tuple(f"{index + 1:02d}" for index in range(subjects)),
        session=session.astype(np.int32),
        session_names=tuple(str(index + 1) for index in range(sessions)),
        trial=trial.astype(np.int32),
        stimulus=stimulus.astype(np.int64) + 100 * len(dataset),
        stimulus_names={index + 100 * len(dataset): f"{dataset}/{index + 1:02d}" for index in range(stimuli)},
        stimulus_time=time,
        recording_time=time + 20.0 * stimulus,
        label=(stimulus % 3).astype(np.int16),
        labels=("negative", "neutral", "positive"),
        valence=np.full(count, np.nan, np.float32),
        arousal=np.full(count, np.nan, np.float32),
        affect_source=np.zeros(count, np.int8),
        digest=f"{dataset}-{seed}",
    )

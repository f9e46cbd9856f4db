"""A set of windows as the stage `segment` stores them: simulated signal of an amplifier, filtered, cut with overlap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import signal

from eegpipe.models.montage import MONTAGE
from eegpipe.segment import BUTTERWORTH_ORDER
from eegpipe.store import MANTISSA_BITS, StoreHeader, TrialSegments, write_store

RATE_HZ, WINDOW_S, STEP_S = 200.0, 5.0, 2.0
BAND_HZ = (0.5, 47.0)
AMPLIFIER_UV = 0.1  # a step of its 16 bits
SUBJECTS, STIMULI = 4, 15


@dataclass(frozen=True)
class WindowSet:
    """``segments`` windows of 60 channels and 1000 samples, about equally many of each subject and stimulus."""

    segments: int = 4_000

    @property
    def per_trial(self) -> int:
        return max(1, round(self.segments / (SUBJECTS * STIMULI)))

    def trials(self) -> Iterator[TrialSegments]:
        samples = round(((self.per_trial - 1) * STEP_S + WINDOW_S) * RATE_HZ)
        starts = np.arange(self.per_trial) * round(STEP_S * RATE_HZ)
        for subject in range(SUBJECTS):
            for stimulus in range(STIMULI):
                uv = recording_uv(len(MONTAGE), samples, np.random.default_rng([subject, stimulus]))
                windows = np.lib.stride_tricks.sliding_window_view(uv, round(WINDOW_S * RATE_HZ), axis=1)
                yield TrialSegments(
                    eeg=windows[:, starts].transpose(1, 0, 2),
                    channels=MONTAGE,
                    subject=f"{subject + 1:02d}",
                    session="1",
                    trial=stimulus + 1,
                    stimulus=f"bench/{stimulus + 1:02d}",
                    stimulus_time=starts / RATE_HZ,
                    recording_time=stimulus * 300 + starts / RATE_HZ,
                )

    def write(self, path: Path, *, dtype: str = "float32", mantissa_bits: int = MANTISSA_BITS) -> Path:
        write_store(path, self.trials(), StoreHeader("bench", "bench", RATE_HZ, (), dtype, mantissa_bits))
        return path


def recording_uv(channels: int, samples: int, rng: np.random.Generator) -> np.ndarray:
    """(channel, sample): noise of power 1/f with a rhythm at 10 Hz, mixed over channels as sources on a scalp are, in
    steps of the amplifier, then band-passed."""
    hz = np.fft.rfftfreq(samples, 1 / RATE_HZ)
    gain = 1 / np.sqrt(np.maximum(hz, 0.3)) + 1.5 * np.exp(-0.5 * (hz - 10) ** 2)
    spectrum = gain * (rng.standard_normal((channels, len(hz))) + 1j * rng.standard_normal((channels, len(hz))))
    sources = np.fft.irfft(spectrum, samples, axis=1)
    sources /= sources.std(axis=1, keepdims=True)
    apart = np.abs(np.subtract.outer(np.arange(channels), np.arange(channels)))
    scalp = 15 * np.exp(-((apart / 4) ** 2)) @ sources + rng.standard_normal((channels, samples))
    scalp = np.round(scalp / AMPLIFIER_UV) * AMPLIFIER_UV
    sections = signal.butter(BUTTERWORTH_ORDER, BAND_HZ, "bandpass", fs=RATE_HZ, output="sos")
    return signal.sosfiltfilt(sections, scalp, axis=1)

"""A small recording whose brain signal, blinks and muscle are known apart, for the tests of cleaning."""

from __future__ import annotations

from dataclasses import dataclass

import mne
import numpy as np
from scipy import signal

from eegpipe import channels
from eegpipe.recording import Event, Recording, RecordingId

# fmt: off
MONTAGE_32 = (
    "Fp1", "Fp2", "AF3", "AF4", "F7", "F3", "Fz", "F4", "F8", "FC5", "FC1", "FC2", "FC6", "T7", "C3", "Cz", "C4", "T8",
    "CP5", "CP1", "CP2", "CP6", "P7", "P3", "Pz", "P4", "P8", "PO3", "PO4", "O1", "Oz", "O2",
)
MONTAGE_14 = ("AF3", "F7", "F3", "FC5", "T7", "P7", "O1", "O2", "P8", "T8", "FC6", "F4", "F8", "AF4")
# fmt: on


@dataclass
class Planted:
    """``recording``: what an amplifier would give. ``brain_uv``, ``blinks_uv`` (channel, sample): its parts."""

    recording: Recording
    brain_uv: np.ndarray
    blinks_uv: np.ndarray


def planted(
    names: tuple[str, ...] = MONTAGE_32,
    *,
    rate_hz: float = 200.0,
    duration_s: float = 60.0,
    blinks: bool = True,
    boundaries_s: tuple[float, ...] = (),
    seed: int = 1,
) -> Planted:
    """Sixteen cortical sources with modulated rhythms (the first an occipital alpha), blinks, 50 Hz line, noise."""
    rng = np.random.default_rng(seed)
    samples = round(rate_hz * duration_s)
    places = np.array([channels.position(name) for name in names]) - [0, 0.0146, 0.0417]
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    brain_uv = np.zeros((len(names), samples))
    for number in range(16):
        centre = rng.normal(size=3)
        centre[2] = abs(centre[2])
        frequency_hz = float(np.exp(rng.uniform(np.log(3), np.log(30))))
        if number == 0:  # occipital alpha
            centre, frequency_hz = np.array([0.0, -1.0, 0.3]), 10.0
        centre *= 0.7 / np.linalg.norm(centre)
        away = places - centre
        topography = (away @ centre) / np.linalg.norm(away, axis=1) ** 3
        topography *= (25 if number == 0 else 12) / np.abs(topography).max()
        width = 1.05 if number == 0 else 1.25
        band = [max(frequency_hz / width, 0.5), min(frequency_hz * width, 0.4 * rate_hz)]
        rhythm = signal.sosfilt(signal.butter(2, band, "bandpass", fs=rate_hz, output="sos"), rng.normal(size=samples))
        slow = signal.sosfilt(signal.butter(2, 0.3, fs=rate_hz, output="sos"), rng.normal(size=samples))
        rhythm *= np.exp(slow / slow.std())
        brain_uv += topography[:, np.newaxis] * rhythm / rhythm.std()
    blinks_uv = np.zeros_like(brain_uv)
    if blinks:
        train = np.zeros(samples)
        train[(np.arange(2, duration_s - 2, 3.7) * rate_hz + rng.uniform(-50, 50)).astype(int)] = 1
        shape = np.hanning(round(0.35 * rate_hz))
        frontal = np.exp(5 * (places[:, 1] - places[:, 1].max()) - 2 * np.maximum(places[:, 2], 0))
        blinks_uv = 180 * frontal[:, np.newaxis] / frontal.max() * np.convolve(train, shape, "same")
    time_s = np.arange(samples) / rate_hz
    noise_uv = 0.7 * rng.normal(size=brain_uv.shape)
    line_uv = rng.uniform(1, 5, size=(len(names), 1)) * np.sin(2 * np.pi * 50 * time_s)
    info = mne.create_info(list(names), rate_hz, "eeg", verbose="error")
    raw = mne.io.RawArray((brain_uv + blinks_uv + noise_uv + line_uv) * 1e-6, info, verbose="error")
    montage = mne.channels.make_dig_montage({name: channels.position(name) for name in names}, coord_frame="head")
    raw.set_montage(montage, verbose="error")
    events = [Event(onset_s, 0.0, "boundary") for onset_s in boundaries_s]
    return Planted(Recording(RecordingId("01"), raw, events, "CPz", 50.0), brain_uv, blinks_uv)

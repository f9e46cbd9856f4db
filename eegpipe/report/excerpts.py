"""A few seconds of one recording before and after cleaning, and its spectra: what cleaning does, to be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import signal

from eegpipe import bids
from eegpipe.recording import Recording, RecordingId
from eegpipe.report.collect import CLEAN, DataSet

SHOWN_S = 12.0
_SPECTRUM_WINDOW_S = 2.0
_HIGHEST_HZ = 70.0
_NOTHING_REMOVED = 0.9995  # share of the variance kept from which on no component was taken out
# One of each region, from front to back; where one is missing, the next of its region.
_REGIONS = (
    ("Fp1", "AF3", "Fp2", "AF4"),
    ("F7", "F3", "F8"),
    ("T7", "FT7", "T8"),
    ("Cz", "C3", "FC5", "C4"),
    ("Pz", "P3", "P7"),
    ("O1", "Oz", "O2"),
)


@dataclass(frozen=True)
class Excerpt:
    """The same seconds before and after. Signals in microvolt against the average of the good EEG channels.

    before_uv, after_uv : (channel, sample), of ``channels``
    frequencies_hz : (f,); before_db, after_db : (f,) power density of the median channel, dB against 1 uV^2/Hz
    """

    recording: RecordingId
    why: str
    start_s: float
    rate_hz: float
    line_hz: float
    channels: tuple[str, ...]
    before_uv: np.ndarray
    after_uv: np.ndarray
    frequencies_hz: np.ndarray
    before_db: np.ndarray
    after_db: np.ndarray


def excerpt(root: Path, dataset: DataSet) -> Excerpt | None:
    """Of the recording that cleaning changed most; None if nothing of the data set was cleaned."""
    both = [recording for recording in dataset.cleaned if recording in set(dataset.recordings)]
    if not both:
        return None
    chosen, why = _most_changed(both, dataset.quality or ())
    before = bids.read_recording(root / "data" / "bids" / dataset.name, chosen)
    clean = root / "data" / "clean" / dataset.name
    after = bids.read_recording(clean, chosen, description=CLEAN)
    before_uv, names = _eeg_uv(before)
    after_uv, _ = _eeg_uv(after)
    # A channel that cleaning called bad must not draw into all others through the reference.
    bad = bids.read_sidecar(clean, chosen, description=CLEAN).get("Cleaning", {}).get("bad_channels", {})
    good = [index for index, name in enumerate(names) if name not in bad] or list(range(len(names)))
    before_uv = before_uv - before_uv[good].mean(axis=0)
    rate_hz = float(before.raw.info["sfreq"])
    shown = _channels(names)
    start = _start(before_uv[shown], after_uv[shown], before.blocks, rate_hz)
    piece = slice(start, start + round(SHOWN_S * rate_hz))
    frequencies_hz, before_db = _spectrum(before_uv, before.blocks, rate_hz)
    _, after_db = _spectrum(after_uv, before.blocks, rate_hz)
    return Excerpt(
        recording=chosen,
        why=why,
        start_s=start / rate_hz,
        rate_hz=rate_hz,
        line_hz=before.line_hz,
        channels=tuple(names[index] for index in shown),
        before_uv=before_uv[shown, piece],
        after_uv=after_uv[shown, piece],
        frequencies_hz=frequencies_hz,
        before_db=before_db,
        after_db=after_db,
    )


def _most_changed(both: Sequence[RecordingId], quality: Sequence[Mapping[str, str]]) -> tuple[RecordingId, str]:
    """The recording of which cleaning kept the smallest share of the variance; the first one without a table."""
    kept = {row["recording"]: float(row["variance_kept"]) for row in quality if row["status"] == "ok"}
    known = [recording for recording in both if recording.stem in kept]
    if not known:
        return both[0], "the first recording"
    chosen = min(known, key=lambda recording: kept[recording.stem])
    if kept[chosen.stem] > _NOTHING_REMOVED:
        return chosen, "no component was removed from any recording, only the filters acted"
    return chosen, f"the recording that cleaning changed most: {kept[chosen.stem]:.0%} of its variance was kept"


def _eeg_uv(recording: Recording) -> tuple[np.ndarray, list[str]]:
    kinds = recording.raw.get_channel_types()
    names = [name for name, kind in zip(recording.raw.ch_names, kinds, strict=True) if kind == "eeg"]
    return recording.raw.get_data(picks=names) * 1e6, names


def _channels(names: Sequence[str]) -> list[int]:
    """Positions of one channel of each region, as far as there are any; else the first few."""
    found = [next((names.index(name) for name in region if name in names), None) for region in _REGIONS]
    known = [index for index in found if index is not None]
    return known or list(range(min(len(names), len(_REGIONS))))


def _start(before_uv: np.ndarray, after_uv: np.ndarray, blocks: Sequence[tuple[int, int]], rate_hz: float) -> int:
    """First sample of the stretch that cleaning changed most, inside one block if one is long enough."""
    samples = round(SHOWN_S * rate_hz)
    step = max(1, round(rate_hz / 2))
    inside = [start for first, last in blocks for start in range(first, last - samples + 1, step)] or list(
        range(0, max(1, before_uv.shape[1] - samples), step)
    )
    # Absolute, not squared: one glitch must not win against many blinks.
    change = np.concatenate([[0.0], np.cumsum(np.abs(before_uv - after_uv).mean(axis=0))])
    last = len(change) - 1
    return max(inside, key=lambda start: change[min(start + samples, last)] - change[start])


def _spectrum(data_uv: np.ndarray, blocks: Sequence[tuple[int, int]], rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """(f,) Hz and (f,) dB: mean over blocks, because a window across a joint would see its step."""
    window = min(round(_SPECTRUM_WINDOW_S * rate_hz), max(last - first for first, last in blocks))
    total, weight = np.zeros(0), 0
    for first, last in blocks:
        if last - first >= window:
            frequencies_hz, power = signal.welch(data_uv[:, first:last], rate_hz, nperseg=window, axis=1)
            total = total + power * (last - first) if weight else power * (last - first)
            weight += last - first
    shown = (frequencies_hz >= 0.5) & (frequencies_hz <= min(_HIGHEST_HZ, 0.97 * rate_hz / 2))
    power_of_channels = total[:, shown] / weight
    return frequencies_hz[shown], 10 * np.log10(np.maximum(np.median(power_of_channels, axis=0), 1e-6))

"""What ART asks of its input: channels with their embeddings' weights, and every channel at mean 0 and spread 1."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.loader import Segments
from eegpipe.models.art_settings import ArtConfig
from eegpipe.models.channel_schema import read_channels

# Windows whose sums are taken at once: bounds memory.
_CHUNK = 256


class Scale(NamedTuple):
    """Mean and spread (divisor: count) of each channel, (channel,) float64, in the unit of the signal."""

    mean: np.ndarray
    spread: np.ndarray


class SessionScales:
    """Mean and spread of every channel over the windows of each subject and session that it was made from.

    Overlapping windows weigh their common samples twice. Keys are names, so that scales taken on one part of a data set
    apply to another.
    """

    def __init__(self, segments: Segments, columns: np.ndarray) -> None:
        self._known: dict[tuple[str, str], Scale] = {}
        for subject, session in np.unique(np.stack([segments.subject, segments.session], axis=1), axis=0):
            rows = np.flatnonzero((segments.subject == subject) & (segments.session == session))
            key = segments.subject_names[subject], segments.session_names[session]
            where = f"{segments.dataset}: subject {key[0]}, session {key[1]}"
            self._known[key] = _scale(segments, rows, columns, where)

    def __contains__(self, key: object) -> bool:
        return key in self._known

    def __getitem__(self, key: tuple[str, str]) -> Scale:
        return self._known[key]


def _scale(segments: Segments, rows: np.ndarray, columns: np.ndarray, where: str) -> Scale:
    total, squares = np.zeros(len(columns)), np.zeros(len(columns))
    for start in range(0, len(rows), _CHUNK):
        eeg = segments.eeg[rows[start : start + _CHUNK]][:, columns].astype(np.float64)
        total += eeg.sum(axis=(0, 2))
        squares += (eeg**2).sum(axis=(0, 2))
    count = len(rows) * segments.eeg.shape[-1]
    mean = total / count
    variance = squares / count - mean**2
    names = [segments.channels[column] for column in columns]
    bad = [name for name, value in zip(names, variance, strict=True) if not np.isfinite(value)]
    if bad:
        cure = "Clean and segment the data again."
        raise DataProblem(where, f"values that are not finite in {', '.join(bad)}", "finite microvolts", cure)
    # Against rounding: the variance of a constant is not exactly 0.
    flat = [name for name, value, offset in zip(names, variance, mean, strict=True) if value <= 1e-12 * offset**2]
    if flat:
        cure = "Look at the cleaned recording; a dead channel should have been interpolated."
        raise DataProblem(where, f"no change at all in {', '.join(flat)}", "a signal that varies", cure)
    return Scale(mean, np.sqrt(variance))


class ArtWindows:
    """A data set as ART sees it.

    Parameters
    ----------
    segments : Segments
    config : ArtConfig
        With its channels resolved.
    scales : SessionScales or None
        Taken on a training part. Sessions that it does not know, and all without it, are scaled by the windows in
        ``segments`` themselves. Without effect for the scaling of each window alone.

    Attributes
    ----------
    names : channels that take part, in order of their ids
    mixture : (channel, known channel) float32, see :class:`channel_schema.Reading`

    Raises
    ------
    DataProblem
        No channel takes part, or the signal of one is flat or not finite.
    UsageProblem
        The windows are too short for the tokenizer, or too long for the fixed one.
    """

    def __init__(self, segments: Segments, config: ArtConfig, scales: SessionScales | None = None) -> None:
        check_window(config, segments)
        where = f"{segments.dataset}: channels"
        reading = read_channels(segments.channels, config.channels, config.unknown_channels or "nearest", where=where)
        self.segments, self.rate_hz = segments, float(segments.rate_hz)
        self.names, self.mixture = reading.names, reading.mixture
        self._columns = reading.columns
        self._alone = config.scaling == "window"
        self.scales: SessionScales | None = None
        if not self._alone:
            self._mean, self._spread = self._look_up(scales)

    def _look_up(self, scales: SessionScales | None) -> tuple[np.ndarray, np.ndarray]:
        """Mean and spread for every (subject, session), (subject, session, channel)."""
        segments = self.segments
        pairs = np.unique(np.stack([segments.subject, segments.session], axis=1), axis=0)
        keys = [(segments.subject_names[subject], segments.session_names[session]) for subject, session in pairs]
        if scales is None:
            scales = self.scales = SessionScales(segments, self._columns)
        unknown = [pair for pair, key in zip(pairs, keys, strict=True) if key not in scales]
        own = scales
        if unknown:
            rows = [(segments.subject == subject) & (segments.session == session) for subject, session in unknown]
            own = SessionScales(segments.select(np.logical_or.reduce(rows)), self._columns)
        shape = (len(segments.subject_names), len(segments.session_names), len(self._columns))
        mean, spread = np.zeros(shape, np.float32), np.ones(shape, np.float32)
        for (subject, session), key in zip(pairs, keys, strict=True):
            scale = scales[key] if key in scales else own[key]
            mean[subject, session], spread[subject, session] = scale.mean, scale.spread
        return mean, spread

    def __len__(self) -> int:
        return len(self.segments)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Windows, float32, (len(rows), channel, time)."""
        eeg = np.asarray(self.segments.eeg[rows][:, self._columns], dtype=np.float32)
        if self._alone:
            return _alone(eeg)
        owner = self.segments.subject[rows], self.segments.session[rows]
        return (eeg - self._mean[owner][..., None]) / self._spread[owner][..., None]

    def items(self, rows: np.ndarray, channels: np.ndarray) -> np.ndarray:
        """One channel (position in ``names``) of each window, float32, (len(rows), time)."""
        eeg = np.asarray(self.segments.eeg[rows, self._columns[channels]], dtype=np.float32)
        if self._alone:
            return _alone(eeg)
        owner = self.segments.subject[rows], self.segments.session[rows], channels
        return (eeg - self._mean[owner][:, None]) / self._spread[owner][:, None]


def _alone(eeg: np.ndarray) -> np.ndarray:
    """z-score along time; a flat window becomes zeros."""
    centred = eeg - eeg.mean(axis=-1, keepdims=True)
    spread = centred.std(axis=-1, keepdims=True)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)


def check_window(config: ArtConfig, segments: Segments) -> None:
    """Raise :class:`UsageProblem` unless the tokenizer can take windows of this length."""
    samples = segments.eeg.shape[-1]
    what = f"art: windows of {samples} samples ({segments.dataset}, {segments.rate_hz:g} Hz)"
    if config.tokenizer == "fixed":
        patches = samples // config.patch_samples
        if not 0 < patches <= config.most_patches:
            raise UsageProblem(
                f"{what} make {patches} patches of {config.patch_samples}, and 1 to {config.most_patches} can be "
                "taken. Use other windows, most_patches or patch_samples."
            )
    elif samples < config.patches:
        raise UsageProblem(f"{what} are too short for {config.patches} tokens. Use longer windows.")

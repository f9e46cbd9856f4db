"""The cleaning of one recording: continuous, in one order, with a record of everything that was decided.

line noise and band-pass (each block by itself) -> bad channels -> average reference over good channels -> ICA on a copy
above 1 Hz -> ICLabel -> removal -> rest of blinks and muscles -> interpolation of bad channels -> average reference
over all EEG channels.

A recording of an hour is large, so the signal is held once as it came, and twice in single precision while it is worked
on; everything else is done channel by channel or in pieces.
"""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from eegpipe.clean import (
    bad_channels,
    blink_rest,
    evidence,
    filters,
    ica,
    iclabel,
    interpolation,
    muscle_rest,
    quality,
)
from eegpipe.clean.evidence import Evidence
from eegpipe.clean.filters import FilterDesign
from eegpipe.clean.ica import Decomposition
from eegpipe.clean.record import CleanRecord, Component
from eegpipe.clean.settings import CleanSettings
from eegpipe.errors import DataProblem
from eegpipe.recording import Recording

if TYPE_CHECKING:
    import mne

# Filtered like EEG. Muscle and skin channels are not: their signal lies outside the band.
_FILTERED_KINDS = ("eog", "ecg")
_PIECE = 16384  # samples that are worked on at once where all channels are needed


@dataclass(frozen=True)
class Cleaned:
    """What comes of a recording: the cleaned one, what was decided, and what a person may look at."""

    recording: Recording
    record: CleanRecord
    evidence: Evidence


class _Eeg:
    """The EEG channels of a recording as they came, in microvolt, one at a time."""

    def __init__(self, recording: Recording) -> None:
        self.raw = recording.raw if recording.raw.preload else recording.raw.copy().load_data(verbose="error")
        self.where = recording.id.stem
        self.rate_hz = float(self.raw.info["sfreq"])
        self.samples = int(self.raw.n_times)
        self.blocks = [(first, end) for first, end in recording.blocks if end > first]
        kinds = np.array(self.raw.get_channel_types())
        self.index = np.flatnonzero(kinds == "eeg")
        self.filtered_others = np.flatnonzero(np.isin(kinds, _FILTERED_KINDS))
        self.names = [self.raw.ch_names[index] for index in self.index]
        self.positions_m = np.array([self.raw.info["chs"][index]["loc"][:3] for index in self.index])

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, number: int) -> np.ndarray:
        return self.raw.get_data(picks=[int(self.index[number])])[0] * 1e6

    def mean(self, numbers: Iterable[int]) -> np.ndarray:
        """(sample,) over some channels."""
        chosen = list(numbers)
        total = np.zeros(self.samples)
        for number in chosen:
            total += self[number]
        return total / len(chosen)


def clean_recording(recording: Recording, settings: CleanSettings, *, threads: int = 1) -> Cleaned:
    """Clean one recording.

    Parameters
    ----------
    recording
        Not changed. EEG channels need positions; other kinds are kept: EOG and ECG get the filters of the EEG, all
        others (GSR, EMG, misc) stay as they are, and none is re-referenced.
    threads
        Cores to use. They change no byte.

    Returns
    -------
    Cleaned
        With a recording of the same channels, samples and events; EEG in average reference.

    Raises
    ------
    DataProblem
        If the signal holds NaN, hardly any EEG, a channel without position, or too many bad channels.
    UsageProblem
        If the filter band is empty at this rate.
    """
    with threadpool_limits(limits=1), ThreadPoolExecutor(max_workers=threads) as pool:
        return _clean(recording, settings.resolved(), pool, threads)


def _clean(recording: Recording, settings: CleanSettings, pool: ThreadPoolExecutor, threads: int) -> Cleaned:
    eeg = _Eeg(recording)
    _check(eeg)
    names, blocks, rate_hz = eeg.names, eeg.blocks, eeg.rate_hz
    wide_uv, filtered_uv, wide, narrow = _filtered(eeg, recording, settings, pool)

    index = bad_channels.windows(blocks, round(rate_hz))
    bad = bad_channels.find(
        bad_channels.pieces(wide_uv, index), names, eeg.positions_m, eeg.raw.info["bads"], settings.bad_channels
    )
    _refuse_too_many(bad, eeg, settings)
    good = [number for number, name in enumerate(names) if name not in {one.name for one in bad}]
    good_names = [names[number] for number in good]
    # The reference must not carry a broken channel into all others.
    wide_uv, filtered_uv = (_referenced(_rows(data_uv, good)) for data_uv in (wide_uv, filtered_uv))

    calm = bad_channels.calm_windows(wide_uv, index, settings.ica.glitch_ratio)
    keep = index[calm].ravel()
    frontal = quality.frontal_channels(good_names)
    blinks = quality.find_blinks(filtered_uv[frontal].mean(axis=0) if frontal else None, rate_hz)
    blinks = blinks[np.isin(blinks, keep)]

    windows = filters.spectrum_windows(blocks, rate_hz)
    frequencies_hz = filters.spectrum_frequencies(rate_hz)
    reference_uv = eeg.mean(good)
    power_before = np.array(
        list(pool.map(lambda number: filters.density((eeg[number] - reference_uv)[windows], rate_hz), range(len(eeg))))
    )
    frontal_uv = eeg.mean(good[number] for number in frontal) - reference_uv if frontal else None
    before = quality.figures(
        frequencies_hz, power_before[good], good_names, frontal_uv, rate_hz, recording.line_hz, blinks
    )
    covariance_uv2 = ica.covariance(wide_uv, keep)
    record = CleanRecord(
        band_hz=narrow.band_hz,
        high_passed=narrow.high_passed,
        notches_hz=narrow.notches_hz,
        data_band_hz=_data_band(frequencies_hz, power_before[good], recording.history),
        duration_s=float(eeg.samples / rate_hz),
        blocks=len(blocks),
        bad_channels={one.name: one.reason for one in bad},
        bad_share=len(bad) / len(names),
        rank=ica.rank(covariance_uv2, settings.ica.rank_ratio),
        calm_share=float(np.mean(calm)) if len(calm) else 0.0,
        blinks=len(blinks),
        before=before,
        after=before,
    )
    record = replace(record, ica_skipped=_why_no_ica(record.rank, len(keep), settings))
    decomposition = None
    if not record.ica_skipped:
        decomposition = ica.fit(wide_uv, keep, record.rank, settings.ica, threads=threads)
    source_power = evidence.source_power(decomposition, wide_uv, blocks, rate_hz)
    if decomposition is not None:
        # A second witness for muscles, where ICLabel alone is not enough.
        slopes = quality.slopes(frequencies_hz, source_power, record.data_band_hz[1], recording.line_hz)
        part = _Part(good_names, eeg.positions_m[good], blocks, rate_hz, blinks, wide.band_hz, tuple(recording.history))
        record = _judge(decomposition, wide_uv, covariance_uv2, slopes, part, record, settings)
    exclude = [number for number, component in enumerate(record.components) if component.removed]
    if decomposition is not None and exclude:
        variance = _variance(filtered_uv)
        eyes = _with_blinks(record, len(blinks), settings)
        muscles = _muscles(record, settings)
        sources = ica.courses(decomposition, eyes + muscles, filtered_uv)
        ica.remove(decomposition, exclude, filtered_uv)
        blink_rest.regress_out(filtered_uv, sources[: len(eyes)], blinks, rate_hz)
        least_windows = math.ceil(settings.iclabel.contracted_s_for_rest)
        muscle_rest.regress_out(filtered_uv, sources[len(eyes) :], index[calm], least_windows)
        del sources
        record = replace(record, variance_kept=_variance(filtered_uv) / variance)
    excerpt = evidence.choose_excerpt(wide_uv, decomposition, exclude, index[calm], blocks, rate_hz)
    source_excerpt = evidence.source_excerpt(decomposition, wide_uv, excerpt)
    del wide_uv
    _trim()

    cleaned = _rebuilt(eeg, filtered_uv, good, recording, settings)
    del filtered_uv
    after = _Eeg(replace(recording, raw=cleaned))
    # In the same reference as before, so that interpolated channels do not look like a change of the others.
    reference_after_uv = after.mean(good)
    power_after = np.array(
        list(
            pool.map(
                lambda number: filters.density((after[number] - reference_after_uv)[windows], rate_hz), range(len(eeg))
            )
        )
    )
    frontal_uv = after.mean(good[number] for number in frontal) - reference_after_uv if frontal else None
    record = replace(
        record,
        after=quality.figures(
            frequencies_hz, power_after[good], good_names, frontal_uv, rate_hz, recording.line_hz, blinks
        ),
    )
    seen = Evidence(
        names=tuple(names),
        positions_m=eeg.positions_m,
        frequencies_hz=frequencies_hz,
        power_before=power_before,
        power_after=power_after,
        excerpt_start_s=excerpt.start / rate_hz,
        excerpt_rate_hz=rate_hz / excerpt.step,
        excerpt_before_uv=excerpt.of(eeg[number] - reference_uv for number in range(len(eeg))),
        excerpt_after_uv=excerpt.of(after[number] - reference_after_uv for number in range(len(eeg))),
        good=tuple(good_names) if decomposition else (),
        topographies_uv=decomposition.topographies_uv if decomposition else np.empty((0, 0)),
        source_power=source_power,
        source_excerpt=source_excerpt,
    )
    history = {**recording.history, **_history(record)}
    return Cleaned(replace(recording, raw=cleaned, reference="average", history=history), record, seen)


def _check(eeg: _Eeg) -> None:
    if len(eeg) < 4:
        raise DataProblem(
            eeg.where, f"{len(eeg)} EEG channels", "at least 4", "Check the channel types in channels.tsv."
        )
    wrong = [name for number, name in enumerate(eeg.names) if not np.isfinite(eeg[number]).all()]
    if wrong:
        raise DataProblem(
            eeg.where, f"values that are not finite in {', '.join(wrong)}", "numbers", "Convert the recording again."
        )
    placed = np.isfinite(eeg.positions_m).all(axis=1) & eeg.positions_m.any(axis=1)
    if not placed.all():
        names = ", ".join(eeg.names[number] for number in np.flatnonzero(~placed))
        raise DataProblem(
            eeg.where, f"no position for {names}", "a position for every EEG channel", "Set the channel's type to misc."
        )


def _filtered(
    eeg: _Eeg, recording: Recording, settings: CleanSettings, pool: ThreadPoolExecutor
) -> tuple[np.ndarray, np.ndarray, FilterDesign, FilterDesign]:
    """All EEG channels (channel, sample) in the band of the ICA and in that of the output, and the two filters."""
    stated_low_hz = _stated(recording.history, "low cutoff (Hz)", max, 0.0)
    wide, narrow = (
        filters.design(eeg.rate_hz, band_hz, recording.line_hz, settings.filters, data_low_hz=stated_low_hz)
        for band_hz in (settings.ica.band_hz, settings.filters.band_hz)
    )
    wide_uv, filtered_uv = (np.empty((len(eeg), eeg.samples), dtype=np.float32) for _ in range(2))

    def work(number: int) -> None:
        wide_uv[number], filtered_uv[number] = filters.apply_all(eeg[number], eeg.blocks, [wide, narrow], np.float32)

    list(pool.map(work, range(len(eeg))))
    _trim()
    return wide_uv, filtered_uv, wide, narrow


def _trim() -> None:
    """Give freed memory back to the system. The C library of Linux keeps what threads have freed: with few channels
    that was as much as the recording itself."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _refuse_too_many(bad: list[bad_channels.BadChannel], eeg: _Eeg, settings: CleanSettings) -> None:
    if len(bad) > settings.bad_channels.most_bad * len(eeg):
        examples = "; ".join(f"{one.name} {one.reason}" for one in bad[:4])
        raise DataProblem(
            eeg.where,
            f"{len(bad)} bad of {len(eeg)} EEG channels ({examples} ...)",
            f"at most {settings.bad_channels.most_bad:.0%}",
            "Look at the recording; if it is usable, raise clean.bad_channels.most_bad.",
        )


def _rows(data_uv: np.ndarray, chosen: list[int]) -> np.ndarray:
    """The chosen rows, in ascending order, moved to the front of the same memory."""
    for place, row in enumerate(chosen):
        if place != row:
            data_uv[place] = data_uv[row]
    return data_uv[: len(chosen)]


def _referenced(data_uv: np.ndarray) -> np.ndarray:
    """In average reference, in place."""
    for first in range(0, data_uv.shape[1], _PIECE):
        piece = data_uv[:, first : first + _PIECE]
        piece -= piece.mean(axis=0, dtype=np.float64).astype(np.float32)
    return data_uv


def _variance(data_uv: np.ndarray) -> float:
    return sum(float(row.var(dtype=np.float64)) for row in data_uv)


def _data_band(
    frequencies_hz: np.ndarray, power: np.ndarray, history: Mapping[str, Mapping[str, str | float]]
) -> tuple[float, float]:
    """The band that the signal holds, Hz: as measured, or narrower if the vendor says so (BIDS SoftwareFilters)."""
    low_hz, high_hz = filters.measured_band(frequencies_hz, power)
    return (
        _stated(history, "low cutoff (Hz)", max, low_hz),
        _stated(history, "high cutoff (Hz)", min, high_hz),
    )


def _stated(
    history: Mapping[str, Mapping[str, str | float]],
    parameter: str,
    narrower: Callable[[float, float], float],
    edge_hz: float,
) -> float:
    """The narrowest of ``edge_hz`` and what the vendor's steps state."""
    for parameters in history.values():
        stated = parameters.get(parameter)
        if isinstance(stated, int | float):
            edge_hz = narrower(edge_hz, float(stated))
    return edge_hz


def _why_no_ica(rank: int, samples: int, settings: CleanSettings) -> str:
    if not settings.ica.enabled:
        return "switched off"
    if rank < 2:
        return f"the data span {rank} dimensions"
    per_weight = samples / rank**2
    if per_weight < settings.ica.fewest_samples_per_weight:
        return (
            f"{per_weight:.1f} samples per weight ({samples} samples for {rank} components), "
            f"fewer than {settings.ica.fewest_samples_per_weight:g}"
        )
    return ""


@dataclass(frozen=True)
class _Part:
    """What judging the components needs to know of the good channels, which ``names`` and ``positions_m`` are of:
    stretches without boundary, peaks of the blinks, band of the copy, the vendor's steps."""

    names: list[str]
    positions_m: np.ndarray
    blocks: list[tuple[int, int]]
    rate_hz: float
    blinks: np.ndarray
    band_hz: tuple[float, float]
    history: tuple[str, ...]


def _judge(
    decomposition: Decomposition,
    wide_uv: np.ndarray,
    covariance_uv2: np.ndarray,
    slopes: np.ndarray,
    part: _Part,
    record: CleanRecord,
    settings: CleanSettings,
) -> CleanRecord:
    """The record with what every component is, and which are to go."""
    held = iclabel.conditions(part.band_hz, record.data_band_hz, len(wide_uv), part.history, settings.iclabel)
    table = iclabel.probabilities(
        decomposition,
        part.positions_m,
        wide_uv,
        part.blocks,
        part.rate_hz,
        part.band_hz,
        settings.iclabel.most_s or None,
    )
    blinks = quality.blink_shares(
        quality.mean_blink(wide_uv, part.blinks, part.rate_hz),
        decomposition.topographies_uv,
        decomposition.unmixing,
        part.names,
    )
    powers = np.einsum("ci,ij,cj->c", decomposition.unmixing, covariance_uv2, decomposition.unmixing)
    variances = (decomposition.topographies_uv**2).sum(axis=0) * powers / np.trace(covariance_uv2)
    reasons = [
        iclabel.removal(row, share, slope, held, settings.iclabel)
        for row, share, slope in zip(table, blinks, slopes, strict=True)
    ]
    skipped = ""
    if all(reasons):
        skipped = f"every component would go ({', '.join(str(reason) for reason in reasons[:3])} ...), so none did"
        reasons = [None] * len(reasons)
    components = [
        Component(float(variance), float(share), dict(zip(iclabel.CLASSES, map(float, row), strict=True)), reason)
        for variance, share, row, reason in zip(variances, blinks, table, reasons, strict=True)
    ]
    return replace(
        record,
        ica_skipped=skipped,
        samples_used=decomposition.samples,
        converged=decomposition.converged,
        iclabel_band_hz=held.band_hz,
        iclabel_valid=held.valid,
        iclabel_reason="; ".join(held.reasons),
        components=components,
    )


def _with_blinks(record: CleanRecord, blinks: int, settings: CleanSettings) -> list[int]:
    """Removed components that carry blinks, if there are enough to measure what is left of them; else none."""
    if not settings.iclabel.blinks_for_rest or blinks < settings.iclabel.blinks_for_rest:
        return []
    return [
        number
        for number, component in enumerate(record.components)
        if component.removed and component.blink_share >= settings.iclabel.blink_share
    ]


def _muscles(record: CleanRecord, settings: CleanSettings) -> list[int]:
    """Removed components that ICLabel calls muscles, if what is left of them is to be measured."""
    if not settings.iclabel.contracted_s_for_rest:
        return []
    return [
        number
        for number, component in enumerate(record.components)
        if component.removed and max(component.probabilities, key=component.probabilities.__getitem__) == "muscle"
    ]


def _rebuilt(
    eeg: _Eeg, filtered_uv: np.ndarray, good: list[int], recording: Recording, settings: CleanSettings
) -> mne.io.BaseRaw:
    """The whole recording in volts: good channels as they are now, bad ones from them, all EEG in average reference,
    EOG and ECG filtered, the others as they came."""
    import mne

    data = np.empty((len(eeg.raw.ch_names), eeg.samples))
    others = np.setdiff1d(np.arange(len(data)), eeg.index)
    for number in others:
        data[number] = eeg.raw.get_data(picks=[int(number)])[0]
    if len(eeg.filtered_others):
        # What the vendor did to the EEG need not have been done to these.
        full = filters.design(eeg.rate_hz, settings.filters.band_hz, recording.line_hz, settings.filters)
        data[eeg.filtered_others] = filters.apply(data[eeg.filtered_others], eeg.blocks, full)
    weights = interpolation.weights(eeg.names, eeg.positions_m, good, settings.interpolation)
    for first in range(0, eeg.samples, _PIECE):
        piece = weights @ filtered_uv[:, first : first + _PIECE].astype(np.float64)
        data[eeg.index, first : first + _PIECE] = (piece - piece.mean(axis=0)) * 1e-6
    info = eeg.raw.info.copy()
    info["bads"] = []
    return mne.io.RawArray(data, info, verbose="error")


def _history(record: CleanRecord) -> dict[str, dict[str, str | float]]:
    """What was done, as BIDS SoftwareFilters. The names differ from the vendors', whose steps stay in the list."""
    low_hz, high_hz = record.band_hz
    edges: dict[str, str | float] = {"low cutoff (Hz)": low_hz} if record.high_passed else {}
    edges |= {"high cutoff (Hz)": round(high_hz, 3), "method": "Butterworth, forwards and backwards"}
    steps = {"Cleaning: " + ("bandpass" if record.high_passed else "lowpass"): edges}
    if record.notches_hz:
        frequencies = ", ".join(f"{value:g}" for value in record.notches_hz)
        steps["Cleaning: notch"] = {"frequencies (Hz)": frequencies}
    if record.bad_channels:
        steps["Cleaning: interpolation"] = {"channels": ", ".join(record.bad_channels)}
    if record.components:
        steps["Cleaning: ICA"] = {
            "method": "likelihood of extended Infomax",
            "components removed": float(len(record.removed)),
        }
    steps["Cleaning: re-reference"] = {"reference": "average"}
    return steps

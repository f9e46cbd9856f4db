"""The cleaning of one recording: continuous, in one order, with a record of everything that was decided.

line noise and band-pass (each block by itself) -> bad channels -> average reference over good channels -> ICA on a copy
above 1 Hz -> ICLabel -> removal -> interpolation of bad channels -> average reference over all EEG channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from eegpipe.clean import bad_channels, filters, ica, iclabel, quality
from eegpipe.clean.settings import CleanSettings
from eegpipe.errors import DataProblem
from eegpipe.recording import Recording

if TYPE_CHECKING:
    import mne

# Centre of the sphere nearest to the 10-05 scalp positions of the channel schema, metres, head frame. Constant, so that
# interpolation does not depend on which channels a recording has.
_HEAD_CENTRE_M = (-0.0008, 0.0146, 0.0417)
# Filtered like EEG. Muscle and skin channels are not: their signal lies outside the band.
_FILTERED_KINDS = ("eog", "ecg")


@dataclass(frozen=True)
class Component:
    """One independent component.

    variance
        What it explains, as a share of the good channels' variance in the ICA's band.
    blink_share
        Its share of the recording's mean blink on the frontal channels; 0 where there are too few blinks.
    probabilities
        ICLabel's, by class.
    removed
        Why it was removed, or None.
    """

    variance: float
    blink_share: float
    probabilities: dict[str, float]
    removed: str | None


@dataclass(frozen=True)
class CleanRecord:
    """What was found and done; plain values, stored beside the cleaned signal. Nothing in it depends on the machine.

    band_hz, high_passed, notches_hz
        The filters of the output; no high-pass where the vendor's began well above the lower edge.
    data_band_hz
        The band that the signal held before: measured, or as the vendor states if that is narrower.
    bad_channels, bad_share
        Name -> reason, and their share of the EEG channels. Interpolated.
    rank, components, samples_used, calm_share, converged
        The ICA: dimensions found; one entry a component; samples it was fitted on; share of 1-s windows without glitch;
        whether Picard reached its tolerance. ``ica_skipped`` says why there was none.
    iclabel_band_hz, iclabel_valid, iclabel_reason
        What ICLabel saw, and why its conditions do not hold.
    variance_kept
        Variance of the good channels in the output's band after removal of components, as a share of before.
    before, after
        Figures of the good channels in average reference, as they came and at the end of the chain.
    """

    band_hz: tuple[float, float]
    high_passed: bool
    notches_hz: tuple[float, ...]
    data_band_hz: tuple[float, float]
    duration_s: float
    blocks: int
    bad_channels: dict[str, str]
    bad_share: float
    rank: int
    calm_share: float
    blinks: int
    before: quality.Figures
    after: quality.Figures
    variance_kept: float = 1.0
    ica_skipped: str = ""
    samples_used: int = 0
    converged: bool = False
    iclabel_band_hz: tuple[float, float] | None = None
    iclabel_valid: bool = False
    iclabel_reason: str = ""
    components: list[Component] = field(default_factory=list)

    @property
    def removed(self) -> list[str]:
        """The reasons of the removed components, in order of component."""
        return [component.removed for component in self.components if component.removed]

    def as_json(self) -> dict[str, Any]:
        """For the sidecar: plain lists, dicts and numbers."""
        return _plain(asdict(self))


@dataclass(frozen=True)
class _Good:
    """What the ICA needs to know of the good channels: MNE's info of them alone, the samples without glitch, the peaks
    of the blinks, the band of the copy, the names of the vendor's steps."""

    info: mne.Info
    calm: np.ndarray
    blinks: np.ndarray
    band_hz: tuple[float, float]
    history: tuple[str, ...]


def clean_recording(recording: Recording, settings: CleanSettings) -> tuple[Recording, CleanRecord]:
    """Clean one recording.

    Parameters
    ----------
    recording
        Not changed. EEG channels need positions; other kinds are kept: EOG and ECG get the filters of the EEG, all
        others (GSR, EMG, misc) stay as they are, and none is re-referenced.

    Returns
    -------
    Recording
        Same channels, samples and events; EEG in average reference.
    CleanRecord

    Raises
    ------
    DataProblem
        If the signal holds NaN, hardly any EEG, a channel without position, or too many bad channels.
    UsageProblem
        If the filter band is empty at this rate.
    """
    import mne

    raw = recording.raw.copy().load_data(verbose="error")
    rate_hz, where = float(raw.info["sfreq"]), recording.id.stem
    blocks = [(first, end) for first, end in recording.blocks if end > first]
    kinds = np.array(raw.get_channel_types())
    eeg = np.flatnonzero(kinds == "eeg")
    names = [raw.ch_names[index] for index in eeg]
    _check(raw, eeg, where)
    data = raw.get_data()
    data_uv = data[eeg] * 1e6
    positions_m = np.array([raw.info["chs"][index]["loc"][:3] for index in eeg])

    data_band_hz = _data_band(data_uv, blocks, rate_hz, recording.history)
    stated_low_hz = _stated(recording.history, "low cutoff (Hz)", max, 0.0)
    wide, narrow = (
        filters.design(rate_hz, band_hz, recording.line_hz, settings.filters, data_low_hz=stated_low_hz)
        for band_hz in (settings.ica.band_hz, settings.filters.band_hz)
    )
    wide_uv = filters.apply(data_uv, blocks, wide)
    filtered_uv = filters.apply(data_uv, blocks, narrow)
    other = np.flatnonzero(np.isin(kinds, _FILTERED_KINDS))
    if len(other):
        # What the vendor did to the EEG need not have been done to these.
        full = filters.design(rate_hz, settings.filters.band_hz, recording.line_hz, settings.filters)
        data[other] = filters.apply(data[other], blocks, full)

    index = bad_channels.windows(blocks, round(rate_hz))
    bad = bad_channels.find(wide_uv, names, positions_m, index, raw.info["bads"], settings.bad_channels)
    if len(bad) > settings.bad_channels.most_bad * len(names):
        examples = "; ".join(f"{one.name} {one.reason}" for one in bad[:4])
        raise DataProblem(
            where,
            f"{len(bad)} bad of {len(names)} EEG channels ({examples} ...)",
            f"at most {settings.bad_channels.most_bad:.0%}",
            "Look at the recording; if it is usable, raise clean.bad_channels.most_bad.",
        )
    bad_names = {one.name for one in bad}
    good = np.array([name not in bad_names for name in names])
    # The reference must not carry a broken channel into all others.
    wide_uv -= wide_uv[good].mean(axis=0)
    filtered_uv -= filtered_uv[good].mean(axis=0)

    calm = bad_channels.calm_windows(wide_uv[good], index, settings.ica.glitch_ratio)
    keep = index[calm].ravel()
    good_names = [name for name, is_good in zip(names, good, strict=True) if is_good]
    blinks = quality.find_blinks(filtered_uv[good], good_names, rate_hz)
    blinks = blinks[np.isin(blinks, keep)]

    def measure(signal_uv: np.ndarray) -> quality.Figures:
        return quality.figures(signal_uv, good_names, blocks, rate_hz, recording.line_hz, blinks)

    before = measure(data_uv[good] - data_uv[good].mean(axis=0))
    record = CleanRecord(
        band_hz=narrow.band_hz,
        high_passed=narrow.high_passed,
        notches_hz=narrow.notches_hz,
        data_band_hz=data_band_hz,
        duration_s=float(raw.n_times / rate_hz),
        blocks=len(blocks),
        bad_channels={one.name: one.reason for one in bad},
        bad_share=len(bad) / len(names),
        rank=ica.rank(wide_uv[good], settings.ica.rank_ratio),
        calm_share=float(np.mean(calm)) if len(calm) else 0.0,
        blinks=len(blinks),
        before=before,
        after=before,
    )
    skipped = _why_no_ica(record.rank, len(keep), settings)
    if skipped:
        record = replace(record, ica_skipped=skipped)
    else:
        info = mne.pick_info(raw.info, [raw.ch_names.index(name) for name in good_names])
        part = _Good(info, keep, blinks, wide.band_hz, tuple(recording.history))
        filtered_uv[good], record = _remove_components(wide_uv[good], filtered_uv[good], part, record, settings)
    record = replace(record, after=measure(filtered_uv[good]))

    data[eeg] = filtered_uv * 1e-6
    cleaned = _rebuilt(raw, data, names, sorted(bad_names))
    history = {**recording.history, **_history(record)}
    return replace(recording, raw=cleaned, reference="average", history=history), record


def _check(raw: mne.io.BaseRaw, eeg: np.ndarray, where: str) -> None:
    if len(eeg) < 4:
        raise DataProblem(where, f"{len(eeg)} EEG channels", "at least 4", "Check the channel types in channels.tsv.")
    finite = np.isfinite(raw.get_data()[eeg]).all(axis=1)
    if not finite.all():
        names = ", ".join(raw.ch_names[index] for index in eeg[~finite])
        raise DataProblem(where, f"values that are not finite in {names}", "numbers", "Convert the recording again.")
    positions_m = np.array([raw.info["chs"][index]["loc"][:3] for index in eeg])
    placed = np.isfinite(positions_m).all(axis=1) & positions_m.any(axis=1)
    if not placed.all():
        names = ", ".join(raw.ch_names[index] for index in eeg[~placed])
        raise DataProblem(
            where, f"no position for {names}", "a position for every EEG channel", "Set the channel's type to misc."
        )


def _data_band(
    data_uv: np.ndarray, blocks: list[tuple[int, int]], rate_hz: float, history: Mapping[str, Mapping[str, str | float]]
) -> tuple[float, float]:
    """The band that the signal holds, Hz: as measured, or narrower if the vendor says so (BIDS SoftwareFilters)."""
    low_hz, high_hz = filters.measured_band(*filters.spectrum(data_uv, blocks, rate_hz))
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


def _remove_components(
    wide_uv: np.ndarray,
    filtered_uv: np.ndarray,
    good: _Good,
    record: CleanRecord,
    settings: CleanSettings,
) -> tuple[np.ndarray, CleanRecord]:
    """Fit on ``wide_uv``, remove from ``filtered_uv``; both (good channel, sample), average reference."""
    import mne

    raw = mne.io.RawArray(wide_uv * 1e-6, good.info, verbose="error")
    decomposition, samples, converged = ica.fit(raw, good.calm, record.rank, settings.ica)
    held = iclabel.conditions(good.band_hz, record.data_band_hz, len(wide_uv), good.history, settings.iclabel)
    table = iclabel.probabilities(raw, decomposition, good.band_hz)
    sources = decomposition.get_sources(raw).get_data()
    topographies_uv = decomposition.get_components() * decomposition.pre_whitener_ * 1e6
    variances = (topographies_uv**2).sum(axis=0) * sources.var(axis=1) / wide_uv.var(axis=1).sum()
    blinks = quality.blink_shares(topographies_uv, sources, raw.ch_names, raw.info["sfreq"], good.blinks)
    reasons = [
        iclabel.removal(row, share, held.valid, settings.iclabel) for row, share in zip(table, blinks, strict=True)
    ]

    target = mne.io.RawArray(filtered_uv * 1e-6, good.info, verbose="error")
    exclude = [number for number, reason in enumerate(reasons) if reason]
    if exclude:
        decomposition.apply(target, exclude=exclude, verbose="error")
    cleaned_uv = target.get_data() * 1e6
    components = [
        Component(float(variance), float(share), dict(zip(iclabel.CLASSES, map(float, row), strict=True)), reason)
        for variance, share, row, reason in zip(variances, blinks, table, reasons, strict=True)
    ]
    return cleaned_uv, replace(
        record,
        variance_kept=float(cleaned_uv.var(axis=1).sum() / filtered_uv.var(axis=1).sum()),
        samples_used=samples,
        converged=converged,
        iclabel_band_hz=held.band_hz,
        iclabel_valid=held.valid,
        iclabel_reason="; ".join(held.reasons),
        components=components,
    )


def _rebuilt(raw: mne.io.BaseRaw, data: np.ndarray, names: list[str], bad: list[str]) -> mne.io.BaseRaw:
    """``raw`` with new data, bad channels interpolated by spherical splines, average reference over all EEG."""
    import mne

    cleaned = mne.io.RawArray(data, raw.info.copy(), verbose="error")
    cleaned.info["bads"] = []
    if bad:
        cleaned.info["bads"] = bad
        cleaned.interpolate_bads(reset_bads=True, origin=_HEAD_CENTRE_M, verbose="error")
    cleaned.set_eeg_reference(names, ch_type="eeg", verbose="error")
    return cleaned


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
            "method": "Picard, likelihood of extended Infomax",
            "components removed": float(len(record.removed)),
        }
    steps["Cleaning: re-reference"] = {"reference": "average"}
    return steps


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    # Four decimals: more are no information, and last bits differ between machines.
    return round(value, 4) if isinstance(value, float) else value

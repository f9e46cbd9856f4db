"""Cleaned recordings to labelled windows on the stimulus clock.

Each block of a recording is band-passed as a whole, then each trial is resampled so that one of the new samples falls
exactly on the stimulus onset, and windows are cut from there: window i begins i steps after the onset, to the sample
(to the nearest one where a step is no whole number of them), in every subject. docs/segments.md has the arithmetic.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt, Le

from eegpipe.channels import REFERENCES, canonical
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.store import StoreHeader, TrialSegments, natural_key, write_store

if TYPE_CHECKING:
    from eegpipe.recording import Event, Recording, RecordingId

# Order of the Butterworth filter at each edge, applied forwards and backwards: FieldTrip's default, used by mdJPT.
BUTTERWORTH_ORDER = 4
# A block is continued by odd reflection at both ends for so many periods of the lower band edge, so that the filter's
# settling falls outside the signal.
REFLECTED_PERIODS = 3
# Half length of the anti-alias filter of scipy.signal.resample_poly, in samples of the lower rate.
ANTI_ALIAS_SAMPLES = 10


@dataclass(frozen=True)
class WindowingSettings:
    """How recordings are cut. The defaults are mdJPT's (Method section and released configuration).

    Raises
    ------
    UsageProblem
        If a window is not a whole number of samples, a step shorter than one, or the band does not fit below half the
        rate. Where ``rate_hz`` is None, only at the first recording, and for ``of_dataset`` when it is cut.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    # Sampling rate of the segments, Hz. None: the recordings' own, which must be one for all of a data set.
    rate_hz: Annotated[float, Gt(0)] | None = 125.0
    # Edges of the zero-phase Butterworth band-pass, Hz; amplitude at the edges is one half.
    band_hz: tuple[Annotated[float, Gt(0)], Annotated[float, Gt(0)]] = (0.5, 47.0)
    # Length of a window, s.
    window_s: Annotated[float, Gt(0)] = 5.0
    # From the start of one window to the start of the next, s. Window i begins at the sample nearest to i steps.
    step_s: Annotated[float, Gt(0)] = 2.0
    # Data sets whose windows have another length and step, s, by name: EMOD's targets are cut shorter than its mix.
    of_dataset: dict[str, tuple[Annotated[float, Gt(0)], Annotated[float, Gt(0)]]] = field(default_factory=dict)
    # Stored type. float16 halves the size and keeps three digits.
    dtype: Literal["float32", "float16"] = "float32"
    # Bits of float32's mantissa that are stored, of 23; the others are rounded to zeros, which compress. With 11 the
    # error is at most 1/4096 of the value, with 23 nothing is lost. float16 has 10.
    mantissa_bits: Annotated[int, Ge(1), Le(23)] = 11

    def __post_init__(self) -> None:
        low, high = self.band_hz
        if not 0 < low < high:
            raise UsageProblem(f"windowing: band_hz {low:g} to {high:g} must rise.")
        if self.rate_hz is not None:
            self.check(self.rate_hz)

    def of(self, dataset: str) -> WindowingSettings:
        """The settings of one data set: ``of_dataset`` resolved and empty."""
        window_s, step_s = self.of_dataset.get(dataset, (self.window_s, self.step_s))
        return replace(self, window_s=window_s, step_s=step_s, of_dataset={})

    def check(self, rate_hz: float) -> None:
        """Raise :class:`UsageProblem` if windows, step or band do not fit the rate of the segments."""
        samples = self.window_s * rate_hz
        if abs(samples - round(samples)) > 1e-6 or round(samples) < 1:
            raise UsageProblem(
                f"windowing: window_s {self.window_s:g} is {samples:g} samples at {rate_hz:g} Hz; "
                "choose a whole number of samples."
            )
        if self.step_s * rate_hz < 1 - 1e-6:
            raise UsageProblem(
                f"windowing: step_s {self.step_s:g} is {self.step_s * rate_hz:g} samples at {rate_hz:g} Hz; "
                "choose at least one sample."
            )
        low, high = self.band_hz
        if high >= rate_hz / 2:
            raise UsageProblem(
                f"windowing: band_hz {low:g} to {high:g} must rise and end below half the rate ({rate_hz / 2:g} Hz)."
            )

    def window_samples(self, rate_hz: float) -> int:
        """Length of a window at a rate that :meth:`check` accepts."""
        return round(self.window_s * rate_hz)

    def starts(self, samples: int, rate_hz: float) -> np.ndarray:
        """First sample of every window in a trial of so many samples, (n,) int64; none if it is too short."""
        # As an exact fraction: where i steps end on half a sample, no rounding error decides.
        step = Fraction(self.step_s).limit_denominator(1_000_000) * Fraction(rate_hz).limit_denominator(1_000_000)
        last = samples - self.window_samples(rate_hz)
        starts: list[int] = []
        while (start := math.floor(len(starts) * step + Fraction(1, 2))) <= last:
            starts.append(start)
        return np.array(starts, dtype=np.int64)


# What `eegpipe segment` offers without a params.yaml.
WINDOWINGS = {
    "mdjpt": WindowingSettings(),
    # Its paper's targets have windows of their own; neither is among what it learns from.
    "emod": WindowingSettings(
        rate_hz=200.0,
        band_hz=(0.3, 49.0),
        window_s=10.0,
        step_s=10.0,
        of_dataset={"seed": (5.0, 5.0), "seed_v": (1.0, 1.0)},
    ),
    "art": WindowingSettings(rate_hz=None, band_hz=(1.0, 49.0), window_s=2.0, step_s=1.8),
}


def segment_dataset(clean: Path, out: Path, *, windowing: str, settings: WindowingSettings) -> None:
    """Cut all recordings of a cleaned data set into one segment store.

    Parameters
    ----------
    clean : Path
        A derivative written by ``clean`` (recordings with ``desc-clean``).
    out : Path
        The store, a folder that ends in ``.zarr``. An older one is replaced when the new one is complete.
    windowing : str
        Name of the settings, kept in the store.

    Raises
    ------
    DataProblem
        A recording whose events, channels or signal are wrong, or recordings of several rates where the settings name
        none. No store is written then.
    UsageProblem
        ``clean`` holds no cleaned recording.
    """
    from eegpipe import bids
    from eegpipe.fingerprint import digest
    from eegpipe.progress import bar

    recordings = bids.list_recordings(clean, description="clean")
    if not recordings:
        raise UsageProblem(f"{clean}: no cleaned recording (*_desc-clean_eeg.vhdr) in it. Run the clean stage first.")
    about = bids.about(clean)
    settings = settings.of(about.name)
    rate_hz = settings.rate_hz or _one_rate(clean, recordings)
    settings.check(rate_hz)
    sources = {id.stem: bids.recording_digest(clean, id, description="clean") for id in recordings}

    def trials() -> Iterator[TrialSegments]:
        with bar(f"Segments of {about.title}", len(recordings)) as advance:
            for id in recordings:
                yield from segment_recording(bids.read_recording(clean, id, description="clean"), settings)
                advance()

    header = StoreHeader(
        dataset=about.name,
        windowing=windowing,
        rate_hz=rate_hz,
        labels=about.labels,
        dtype=settings.dtype,
        mantissa_bits=settings.mantissa_bits,
        attributes={
            "band_hz": list(settings.band_hz),
            "window_s": settings.window_s,
            "step_s": settings.step_s,
            "recordings": len(recordings),
            "recordings_left_out": _left_out(clean),
            "simulated": about.simulated,
            "settings_hash": digest(settings),
            "clean_digest": digest(sources),
        },
    )
    write_store(out, trials(), header)


def _one_rate(clean: Path, recordings: Sequence[RecordingId]) -> float:
    """The rate of all cleaned recordings, from their sidecars."""
    from eegpipe import bids

    rates: dict[float, str] = {}
    for id in recordings:
        rate_hz = bids.read_sidecar(clean, id, description="clean").get("SamplingFrequency")
        if rate_hz is None:  # a damaged sidecar: reading the recording says what is wrong
            rate_hz = bids.read_recording(clean, id, description="clean").raw.info["sfreq"]
        rates.setdefault(float(rate_hz), id.stem)
    if len(rates) > 1:
        raise DataProblem(
            f"{clean.name}: SamplingFrequency",
            ", ".join(f"{rate_hz:g} Hz ({stem})" for rate_hz, stem in sorted(rates.items())),
            "one rate, because the windowing keeps the recordings' own",
            "Set rate_hz of the windowing.",
        )
    return next(iter(rates))


def _left_out(clean: Path) -> list[str]:
    """The recordings that quality.tsv lists and cleaning could not finish: nothing is missing without a trace."""
    table = clean / "quality.tsv"
    if not table.is_file():
        return []
    with table.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    return sorted((row["recording"] for row in rows if row["status"] != "ok"), key=natural_key)


def segment_recording(recording: Recording, settings: WindowingSettings) -> Iterator[TrialSegments]:
    """The windows of each trial of a recording, in order of time; none for a trial shorter than a window.

    Raises
    ------
    DataProblem
        No EEG channel, a channel outside the schema, a rate that cannot be brought to ``settings.rate_hz``, a stimulus
        that crosses a boundary, another stimulus or the end, NaN in the signal.
    """
    from scipy import signal  # takes a second, and every stage reads the settings of this module

    stem = recording.id.stem
    rate_hz = float(recording.raw.info["sfreq"])
    names = _scalp_channels(recording)
    new_rate_hz = settings.rate_hz or rate_hz
    settings.check(new_rate_hz)
    ratio = _ratio(rate_hz, new_rate_hz, settings.band_hz[1], stem)
    sections = signal.butter(BUTTERWORTH_ORDER, settings.band_hz, "bandpass", fs=rate_hz, output="sos")
    # The margin covers the anti-alias filter and is a multiple of the denominator, so that it is a whole number of new
    # samples: the grid of new samples then runs through the onset.
    reach = math.ceil(ANTI_ALIAS_SAMPLES * max(1.0, 1 / float(ratio)))
    margin = ratio.denominator * math.ceil(reach / ratio.denominator)
    padding = max(margin, round(REFLECTED_PERIODS / settings.band_hz[0] * rate_hz))

    spans = _spans(recording)
    for first, end in recording.blocks:
        inside = [(event, start, stop) for event, start, stop in spans if first <= start < end]
        if not inside:
            continue
        block = recording.raw.get_data(picks=names, start=first, stop=end) * 1e6
        if not np.isfinite(block).all():
            bad = [name for name, signal_uv in zip(names, block, strict=True) if not np.isfinite(signal_uv).all()]
            raise DataProblem(
                f"{stem}: signal", f"NaN or infinity in {', '.join(bad)}", "finite signal", "Clean it again."
            )
        block = np.pad(block, ((0, 0), (padding, padding)), mode="reflect", reflect_type="odd")
        block = signal.sosfiltfilt(sections, block, axis=1, padlen=0)
        for event, start, stop in inside:
            at = start - first + padding
            piece = block[:, at - margin : at + (stop - start) + margin]
            skip = int(margin * ratio)
            count = int((stop - start) * ratio)  # rounded down: a window must end before the trial does
            resampled = signal.resample_poly(piece, ratio.numerator, ratio.denominator, axis=1)
            yield _cut(
                resampled[:, skip : skip + count], recording, event, start / rate_hz, new_rate_hz, names, settings
            )


def _cut(
    trial_uv: np.ndarray,
    recording: Recording,
    event: Event,
    onset_s: float,
    rate_hz: float,
    names: tuple[str, ...],
    settings: WindowingSettings,
) -> TrialSegments:
    """Windows of one trial (channel, sample), whose first sample is the onset of the event."""
    width = settings.window_samples(rate_hz)
    starts = settings.starts(trial_uv.shape[1], rate_hz)
    if len(starts):
        windows = np.lib.stride_tricks.sliding_window_view(trial_uv, width, axis=1)[:, starts].transpose(1, 0, 2)
    else:
        windows = np.empty((0, len(names), width))
    since_onset_s = starts / rate_hz
    assert event.stimulus is not None  # _spans has seen to it
    return TrialSegments(
        eeg=windows,
        channels=names,
        subject=recording.id.subject,
        session=recording.id.session or "1",
        trial=event.trial,
        stimulus=event.stimulus,
        stimulus_time=event.stimulus_offset_s + since_onset_s,
        recording_time=onset_s + since_onset_s,
        label=event.label,
        affect=event.affect,
    )


def _scalp_channels(recording: Recording) -> tuple[str, ...]:
    kinds = zip(recording.raw.ch_names, recording.raw.get_channel_types(), strict=True)
    names = tuple(name for name, kind in kinds if kind == "eeg" and name not in REFERENCES)
    unknown = [name for name in names if canonical(name) != name]
    if unknown or not names:
        raise DataProblem(
            f"{recording.id.stem}: channels",
            f"{', '.join(unknown)}, not in the unified channel schema" if unknown else "no EEG channel",
            "EEG channels with names of the schema",
            "Correct the channel names and types in the BIDS data set, or add the electrode to eegpipe/channels.tsv.",
        )
    return names


def _ratio(rate_hz: float, new_rate_hz: float, upper_hz: float, stem: str) -> Fraction:
    """New rate / old rate as a small exact fraction."""
    ratio = (Fraction(new_rate_hz) / Fraction(rate_hz)).limit_denominator(10_000)
    if abs(float(ratio) * rate_hz - new_rate_hz) > 1e-9 * new_rate_hz:
        raise DataProblem(
            f"{stem}: SamplingFrequency",
            f"{rate_hz!r} Hz",
            f"a rate with a simple ratio to {new_rate_hz:g} Hz",
            "Check the rate in the file's header, or choose another rate_hz.",
        )
    if upper_hz >= rate_hz / 2:
        raise DataProblem(
            f"{stem}: SamplingFrequency",
            f"{rate_hz:g} Hz",
            f"more than {2 * upper_hz:g} Hz, twice the upper band edge",
            "Lower the upper edge of band_hz.",
        )
    return ratio


def _spans(recording: Recording) -> list[tuple[Event, int, int]]:
    """Every stimulus with its (first, last + 1) sample, in order of time."""
    rate_hz = float(recording.raw.info["sfreq"])
    spans: list[tuple[Event, int, int]] = []
    for event in recording.stimuli:
        start, stop = round(event.onset_s * rate_hz), round((event.onset_s + event.duration_s) * rate_hz)
        if stop == recording.raw.n_times + 1:  # a duration written with few decimals
            stop -= 1
        where = f"{recording.id.stem}: events, trial {event.trial}"
        cure = "Correct the event's onset and duration."
        if event.stimulus is None:
            raise DataProblem(where, "a stimulus event without stimulus", "the clip's id", cure)
        end = next((end for first, end in recording.blocks if first <= start < end), 0)
        if start < 0 or stop > end:
            raise DataProblem(
                where,
                f"samples {start} to {stop}, across a boundary or the end of the recording",
                "a stimulus inside one block",
                cure,
            )
        if spans and start < spans[-1][2]:
            raise DataProblem(
                where, f"a start before the end of trial {spans[-1][0].trial}", "one stimulus at a time", cure
            )
        spans.append((event, start, stop))
    return spans

"""The text beside a signal: a Recording's channels, electrodes, events and facts as BIDS tables and JSON, and back.

Nothing here opens a signal. Numbers are written with as many digits as it takes to get the same number back. Format:
BIDS specification, EEG section; what the columns mean to a reader of the data stands in :data:`EVENT_COLUMNS`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eegpipe.affect import UNKNOWN, Affect, AffectSource
from eegpipe.recording import Event, Recording

if TYPE_CHECKING:
    import mne

    from eegpipe.datasets.base import About

Row = Mapping[str, str]

NOTHING = "n/a"
RATING = "rating_"
NOTES = "EegpipeNotes"

# MNE's own name for a joint: Raw.filter() of whoever reads the files with MNE-BIDS does not filter across it.
_TRIAL_TYPE = {"boundary": "EDGE boundary"}
_KIND = {text: kind for kind, text in _TRIAL_TYPE.items()}

CHANNEL_TYPES = {
    "eeg": "EEG",
    "eog": "EOG",
    "ecg": "ECG",
    "emg": "EMG",
    "gsr": "GSR",
    "resp": "RESP",
    "temperature": "TEMP",
    "stim": "TRIG",
    "misc": "MISC",
}
_COUNTS = {"EEG": "EEGChannelCount", "EOG": "EOGChannelCount", "ECG": "ECGChannelCount", "EMG": "EMGChannelCount"}
_COUNTS |= {"TRIG": "TriggerChannelCount", "MISC": "MISCChannelCount"}
# Spelled in the header as BrainVision readers expect, in the table as BIDS asks.
_BIDS_UNIT = {"C": "oC"}

# MNE's head frame is what BIDS calls CapTrak. The landmarks are those of the Colin 27 head in that frame, metres.
_FRAME = "Origin between the ears, x towards the right ear, y towards the nose, z up."
COORDINATES: Mapping[str, Any] = {
    "EEGCoordinateSystem": "CapTrak",
    "EEGCoordinateUnits": "m",
    "EEGCoordinateSystemDescription": (
        f"Template positions of the 10-05 system on the Colin 27 head, not measured on the participants. {_FRAME}"
    ),
    "AnatomicalLandmarkCoordinates": {
        "NAS": [0.0, 0.114047, 0.0],
        "LPA": [-0.08249, 0.0, 0.0],
        "RPA": [0.08249, 0.0, 0.0],
    },
    "AnatomicalLandmarkCoordinateSystem": "CapTrak",
    "AnatomicalLandmarkCoordinateUnits": "m",
    "AnatomicalLandmarkCoordinateSystemDescription": (
        f"Landmarks of the Colin 27 head, not measured on the participants. {_FRAME}"
    ),
}
# Required beside positions in a derivative; they are aligned to no image of the participant.
ELECTRODES: Mapping[str, Any] = {"SpatialReference": NOTHING}

EVENT_COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "onset": {"Description": "Begin of the event, from the first sample of the recording", "Units": "s"},
    "duration": {"Description": "Duration of the event", "Units": "s"},
    "trial_type": {
        "Description": "What happens during the event",
        "Levels": {
            "stimulus": "An emotional clip or task is going on",
            "baseline": "Recorded just before the stimulus of the same trial",
            "EDGE boundary": (
                "The signal before and after this moment was not recorded one after the other; nothing may be filtered "
                "or cut across it"
            ),
        },
    },
    "trial": {"Description": "Number of the trial as the vendor counts, from 1"},
    "stimulus": {"Description": "The clip; the same name is the same clip in every participant and session"},
    "stimulus_offset": {"Description": "How far into the clip the event begins", "Units": "s"},
    "label": {"Description": "Emotion class of the stimulus, as the data set names it"},
    "valence": {"Description": "Valence from unpleasant (-4) to pleasant (4), see affect_source"},
    "arousal": {"Description": "Arousal from calm (-4) to excited (4), see affect_source"},
    "affect_source": {
        "Description": "Where valence and arousal come from",
        "Levels": {
            "self-report": "The participant's own rating of this trial, moved linearly to -4..4",
            "clip-norm": "The mean rating of the clip by other people",
            "word-norm": "The published norm of the emotion word that labels the clip",
        },
    },
}


# --- tables and JSON --------------------------------------------------------------------------------------------------


def number(value: float | None) -> str:
    """Shortest decimal text that reads back as the same number; ``n/a`` for None and NaN."""
    if value is None or math.isnan(value):
        return NOTHING
    text = repr(float(value))
    return text.removesuffix(".0")


def table_text(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """Tab-separated text with a header line."""
    lines = ["\t".join(columns), *("\t".join(row[column] for column in columns) for row in rows)]
    for line in lines:
        if line.count("\t") != len(columns) - 1 or "\n" in line or "\r" in line:
            raise ValueError(f"a tab or a line break inside a cell: {line!r}")
    return "\n".join([*lines, ""])


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a tab-separated file. A line with too few or too many cells is a ValueError."""
    header, *lines = path.read_text(encoding="utf-8-sig").splitlines()
    columns = header.split("\t")
    return [dict(zip(columns, line.split("\t"), strict=True)) for line in lines if line]


def json_text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _float(text: str) -> float:
    return math.nan if text == NOTHING else float(text)


# --- events -----------------------------------------------------------------------------------------------------------


def events_table(events: Sequence[Event]) -> str:
    """events.tsv, in order of time: one row an event, one column ``rating_<name>`` a rating."""
    names = list(dict.fromkeys(name for event in events for name in event.ratings))
    columns = list(EVENT_COLUMNS)
    place = columns.index("label") + 1
    columns[place:place] = [RATING + name for name in names]
    rows = []
    for event in sorted(events, key=lambda event: event.onset_s):
        joint = event.kind == "boundary"
        row = {
            "onset": number(event.onset_s),
            "duration": number(event.duration_s),
            "trial_type": _TRIAL_TYPE.get(event.kind, event.kind),
            "trial": NOTHING if event.trial == 0 else str(event.trial),
            "stimulus": event.stimulus or NOTHING,
            "stimulus_offset": NOTHING if joint else number(event.stimulus_offset_s),
            "label": event.label or NOTHING,
            "valence": number(event.affect.valence),
            "arousal": number(event.affect.arousal),
            "affect_source": event.affect.source.text,
        }
        rows.append(row | {RATING + name: number(event.ratings.get(name)) for name in names})
    return table_text(columns, rows)


def events_from(rows: Sequence[Row]) -> list[Event]:
    """The events of :func:`events_table`. A missing column is a KeyError, a cell that is no number a ValueError."""
    return [_event_from(row) for row in rows]


def _event_from(row: Row) -> Event:
    offset_s = _float(row["stimulus_offset"])
    source = AffectSource.from_text(row["affect_source"])
    return Event(
        onset_s=float(row["onset"]),
        duration_s=float(row["duration"]),
        kind=_KIND.get(row["trial_type"], row["trial_type"]),
        trial=0 if row["trial"] == NOTHING else int(row["trial"]),
        stimulus=_text(row["stimulus"]),
        stimulus_offset_s=0.0 if math.isnan(offset_s) else offset_s,
        label=_text(row["label"]),
        ratings={
            column.removeprefix(RATING): float(cell)
            for column, cell in row.items()
            if column.startswith(RATING) and cell != NOTHING
        },
        affect=UNKNOWN
        if source is AffectSource.UNKNOWN
        else Affect(_float(row["valence"]), _float(row["arousal"]), source),
    )


def _text(cell: str) -> str | None:
    return None if cell == NOTHING else cell


def events_description(about: About) -> dict[str, Any]:
    """events.json: every column of the data set's events tables, with its classes and the scales of its ratings."""
    columns: dict[str, Any] = {name: dict(text) for name, text in EVENT_COLUMNS.items()}
    if about.labels:
        columns["label"]["Levels"] = {label: f"class {index}" for index, label in enumerate(about.labels)}
    for name, (low, high) in about.ratings:
        columns[RATING + name] = {
            "Description": f"The participant's rating of {name}, in the data set's own scale from {low:g} to {high:g}"
        }
    return columns


# --- channels and electrodes ------------------------------------------------------------------------------------------


def channels_table(raw: mne.io.BaseRaw) -> str:
    """channels.tsv, in the order of the file."""
    from eegpipe.bids.brainvision import unit_of

    rows = []
    for channel, kind in zip(raw.info["chs"], raw.get_channel_types(), strict=True):
        unit = unit_of(channel)
        row = {
            "name": channel["ch_name"],
            "type": CHANNEL_TYPES[kind],
            "units": _BIDS_UNIT.get(unit, unit),
            "sampling_frequency": number(raw.info["sfreq"]),
            "status": "bad" if channel["ch_name"] in raw.info["bads"] else "good",
        }
        rows.append(row)
    return table_text(list(rows[0]), rows)


def electrodes_table(raw: mne.io.BaseRaw) -> str:
    """electrodes.tsv: the EEG channels; the text is empty if none has a position."""
    rows = []
    for channel, kind in zip(raw.info["chs"], raw.get_channel_types(), strict=True):
        x, y, z = (float(coordinate) for coordinate in channel["loc"][:3])
        if kind == "eeg" and math.isfinite(x + y + z):
            rows.append({"name": channel["ch_name"], "x": number(x), "y": number(y), "z": number(z)})
    return table_text(["name", "x", "y", "z"], rows) if rows else ""


def positions_from(rows: Sequence[Row]) -> dict[str, tuple[float, float, float]]:
    """Channel name -> position in metres, head frame."""
    return {row["name"]: (float(row["x"]), float(row["y"]), float(row["z"])) for row in rows}


# --- the facts of a recording -----------------------------------------------------------------------------------------


def facts(recording: Recording, extra: Mapping[str, Any]) -> dict[str, Any]:
    """``*_eeg.json``: what BIDS requires and what is known of the rest. ``extra`` comes last and wins.

    ``SubjectSex``, ``SubjectAge`` and :data:`NOTES` are eegpipe's own keys: participants.tsv is made from the
    first two, so that jobs side by side never write one file.
    """
    raw = recording.raw
    kinds = [CHANNEL_TYPES[kind] for kind in raw.get_channel_types()]
    counts = dict.fromkeys(_COUNTS.values(), 0)
    for kind in kinds:
        if kind in _COUNTS:
            counts[_COUNTS[kind]] += 1
    text = {
        "TaskName": recording.id.task,
        "EEGReference": recording.reference,
        "EEGGround": NOTHING,
        "EEGPlacementScheme": "extended 10-20 system",
        "SamplingFrequency": float(raw.info["sfreq"]),
        "PowerLineFrequency": recording.line_hz,
        "SoftwareFilters": {name: dict(step) for name, step in recording.history.items()} or NOTHING,
        "HardwareFilters": NOTHING,
        "RecordingDuration": raw.n_times / float(raw.info["sfreq"]),
        "RecordingType": "discontinuous" if recording.boundaries else "continuous",
        **counts,
    }
    known = {"SubjectSex": recording.sex, "SubjectAge": recording.age, NOTES: list(recording.notes) or None}
    return text | {key: value for key, value in known.items() if value is not None} | dict(extra)

"""What ``eegpipe inspect`` says about a segment store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from eegpipe.affect import LIMIT, AffectSource
from eegpipe.channels import schema
from eegpipe.errors import UsageProblem
from eegpipe.inspect_report import Report
from eegpipe.loader import PER_SEGMENT
from eegpipe.store import CHUNK_SEGMENTS, SCHEMA_VERSION, SHARD_SEGMENTS, open_store, stimulus_key

# Standard deviation of a segment's channel below this is no signal, microvolt: amplifier noise alone is above 0.1.
FLAT_UV = 0.01
# Median standard deviation above this cannot be cleaned EEG in microvolt, e.g. because volts were scaled twice.
LOUDEST_UV = 1000.0
_AGAIN = "Run the segment stage again."
# What the rest of eegpipe cannot do without.
_NEEDED = (
    "dataset",
    "windowing",
    "rate_hz",
    "subject_names",
    "session_names",
    "stimulus_ids",
    "stimulus_names",
    "labels",
)


def inspect_store(path: Path) -> Report:
    """Look at everything but the signal, and at one chunk of signal for each subject and session."""
    report = Report("segment store", path.name)
    try:
        store = open_store(path)
    except (UsageProblem, ValueError, KeyError, OSError) as problem:
        report.error("zarr.json", f"cannot be opened: {problem}", _AGAIN)
        return report
    attributes = store.attrs
    expected = {"eeg", "channel", "channel_id", "position", "time", *PER_SEGMENT}
    missing = [f"the attribute {name}" for name in _NEEDED if name not in attributes]
    missing += [f"the variable {name}" for name in sorted(expected - set(store.variables))]
    if missing:
        report.error("zarr.json", f"without {', '.join(missing)}", _AGAIN)
        return report
    if attributes.get("schema_version", 0) > SCHEMA_VERSION:
        report.error("schema_version", f"{attributes['schema_version']}, newer than this eegpipe", "Update eegpipe.")
        return report

    columns = {name: store[name].to_numpy() for name in PER_SEGMENT if name != "eeg"}
    size = store["eeg"].sizes
    report.title = f"{attributes['dataset']}, windowing {attributes['windowing']}"
    report.facts = [
        ("data set", attributes["dataset"]),
        ("simulated", attributes.get("simulated")),
        ("windowing", attributes["windowing"]),
        ("rate (Hz)", attributes["rate_hz"]),
        ("band (Hz)", attributes.get("band_hz")),
        ("window (s)", attributes.get("window_s")),
        ("step (s)", attributes.get("step_s")),
        ("segments", size["segment"]),
        ("channels", [str(name) for name in store["channel"].to_numpy()]),
        ("subjects", len(attributes["subject_names"])),
        ("sessions", list(attributes["session_names"])),
        ("stimuli", len(attributes["stimulus_names"])),
        ("labels", list(attributes["labels"])),
        ("valence and arousal", _sources(columns["affect_source"])),
        ("stored as", str(store["eeg"].dtype)),
        ("settings", str(attributes.get("settings_hash", ""))[:12]),
        ("made by", f"eegpipe {attributes.get('package_version')}"),
    ]
    _check_names(report, store)
    _check_columns(report, columns, attributes)
    if not any(finding.severity == "error" for finding in report.findings):
        report.contents = _by_subject(columns, attributes)
        _check_balance(report)
        _check_signal(report, path, store, columns)
    return report


def _sources(affect_source: np.ndarray) -> list[str]:
    known = {int(source): source.text for source in AffectSource}
    return [known.get(int(value), f"unknown source {value}") for value in np.unique(affect_source)]


def _check_names(report: Report, store: Any) -> None:
    names = [str(name) for name in store["channel"].to_numpy()]
    ids = store["channel_id"].to_numpy()
    wrong = [name for name, id in zip(names, ids, strict=True) if name not in schema() or schema()[name][0] != id]
    if wrong:
        report.error(
            "channel_id", f"not the schema's: {', '.join(wrong)}", "Update eegpipe, or run the segment stage again."
        )
    attributes = store.attrs
    keys = [stimulus_key(name) for name in attributes["stimulus_names"]]
    if keys != list(attributes["stimulus_ids"]):
        report.error("stimulus_ids", "not the CRC-32 of stimulus_names", _AGAIN)
    if too_short := attributes.get("trials_shorter_than_window"):
        report.note(
            "trials", f"{too_short} of {attributes.get('trials')} are shorter than a window and have no segment."
        )
    if left_out := attributes.get("recordings_left_out"):
        report.warning(
            "recordings_left_out",
            f"{len(left_out)} recordings could not be cleaned and are missing: {', '.join(left_out)}",
            "See quality.tsv of the cleaned data set.",
        )


def _check_columns(report: Report, columns: dict[str, np.ndarray], attributes: dict[str, Any]) -> None:
    allowed = {
        "subject": range(len(attributes["subject_names"])),
        "session": range(len(attributes["session_names"])),
        "stimulus": list(attributes["stimulus_ids"]),
        "label": range(-1, len(attributes["labels"])),
        "affect_source": [int(source) for source in AffectSource],
    }
    for name, values in allowed.items():
        if strange := sorted(set(columns[name].tolist()) - set(values)):
            report.error(name, f"{strange[:5]} have no meaning in the attributes", _AGAIN)
    for name in ("stimulus_time", "recording_time"):
        if not np.isfinite(columns[name]).all():
            report.error(name, "NaN or infinity", _AGAIN)
    for name in ("valence", "arousal"):
        outside = np.abs(columns[name]) > LIMIT
        if outside.any():
            report.error(
                name, f"{int(outside.sum())} segments outside -{LIMIT:g} to {LIMIT:g}", "Correct the reader's scale."
            )
        without_source = np.isnan(columns[name]) != (columns["affect_source"] == AffectSource.UNKNOWN)
        if without_source.any():
            report.warning(name, f"{int(without_source.sum())} segments where value and affect_source disagree", _AGAIN)
    key = np.stack([columns[name].astype(np.float64) for name in ("subject", "session", "trial", "stimulus_time")])
    _, counts = np.unique(key, axis=1, return_counts=True)
    if (counts > 1).any():
        report.error(
            "subject, session, trial, stimulus_time",
            f"{int((counts - 1).sum())} segments occur twice",
            "A recording was converted twice, or trials are numbered twice: look at the BIDS events.",
        )
    labels = columns["label"]
    if len(attributes["labels"]) > 1 and len(np.unique(labels)) == 1:
        meaning = "unknown" if labels[0] < 0 else f"'{attributes['labels'][labels[0]]}'"
        report.warning("label", f"all segments are {meaning}", "Look at the events of the BIDS data set.")


def _by_subject(columns: dict[str, np.ndarray], attributes: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for number, name in enumerate(attributes["subject_names"]):
        mine = columns["subject"] == number
        labels, counts = np.unique(columns["label"][mine], return_counts=True)
        known = [
            (attributes["labels"][label], count) for label, count in zip(labels, counts, strict=True) if label >= 0
        ]
        rows.append(
            {
                "subject": name,
                "sessions": len(np.unique(columns["session"][mine])),
                "trials": len(np.unique(np.stack([columns["session"][mine], columns["trial"][mine]]), axis=1).T),
                "segments": int(mine.sum()),
                "segments by label": ", ".join(f"{label} {count}" for label, count in known) or "no labels",
            }
        )
    return rows


def _check_balance(report: Report) -> None:
    counts = np.array([row["segments"] for row in report.contents])
    usual = float(np.median(counts))
    for row, count in zip(report.contents, counts, strict=True):
        if count == 0:
            report.error(f"subject {row['subject']}", "named in the store, but without a segment", _AGAIN)
        elif count < usual / 2 or count > usual * 2:
            report.warning(
                f"subject {row['subject']}",
                f"{count} segments, where the median subject has {usual:g}",
                "Look at this subject's trials and at quality.tsv.",
            )


def _check_signal(report: Report, path: Path, store: Any, columns: dict[str, np.ndarray]) -> None:
    eeg = store["eeg"]
    shards = range(-(-eeg.sizes["segment"] // SHARD_SEGMENTS))
    if lost := [shard for shard in shards if not (path / "eeg" / "c" / str(shard) / "0" / "0").is_file()]:
        report.error(
            "eeg", f"shards {lost[:10]} have no file", "Restore the store (dvc checkout) or run the stage again."
        )
        return
    names = [str(name) for name in store["channel"].to_numpy()]
    sessions = np.stack([columns["subject"], columns["session"]])
    for subject, session in np.unique(sessions, axis=1).T:
        first = int(np.flatnonzero((sessions[0] == subject) & (sessions[1] == session))[0])
        chunk = first - first % CHUNK_SEGMENTS  # one chunk is decoded, whichever of its segments are taken
        where = f"subject {store.attrs['subject_names'][subject]}, session {store.attrs['session_names'][session]}"
        try:
            signal_uv = eeg[first : chunk + CHUNK_SEGMENTS].to_numpy().astype(np.float32)
        except (RuntimeError, ValueError, OSError) as problem:
            report.error(where, f"signal cannot be decoded: {problem}", "Restore the store (dvc checkout).")
            continue
        mine = sessions[:, first : first + len(signal_uv)]
        signal_uv = signal_uv[(mine[0] == subject) & (mine[1] == session)]
        if not np.isfinite(signal_uv).all():
            report.error(where, "NaN in the signal", "Restore the store (dvc checkout) or run the stage again.")
            continue
        deviation_uv = signal_uv.std(axis=2)
        if flat := [names[channel] for channel in np.flatnonzero((deviation_uv < FLAT_UV).all(axis=0))]:
            report.warning(where, f"flat channels {', '.join(flat)}", "Look at this recording in quality.tsv.")
        if (usual := float(np.median(deviation_uv))) > LOUDEST_UV:
            report.warning(where, f"typical amplitude {usual:.0f} uV, no EEG", "Check the units in the BIDS data set.")

"""Clean every recording of a BIDS data set into a BIDS derivative, with a quality table that has a row for each.

A recording whose input files, settings and code are those of the last run is kept. A recording that fails leaves no
output, not even an old one; the others go on.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from eegpipe import bids
from eegpipe.clean.settings import CleanSettings
from eegpipe.errors import DataProblem
from eegpipe.fingerprint import code_digest, digest, file_digest
from eegpipe.parallel import Job, Outcome, run
from eegpipe.recording import RecordingId

DESCRIPTION = "clean"
# Everything whose change can change a byte of the output.
_MODULES = ("eegpipe.clean", "eegpipe.bids", "eegpipe.recording", "eegpipe.channels")
_PACKAGES = ("mne", "mne-bids", "mne-icalabel", "numpy", "onnxruntime", "pybv", "python-picard", "scipy")
# Measured: 62 channels of 240 s at 200 Hz peak at this much; longer recordings need more in proportion to their files.
_BASE_GB = 0.6
_GB_PER_FILE_GB = 14.0

_FIGURES = ("blink_uv", "line_db", "alpha_peak_hz", "alpha_uv2", "amplitude_uv")
COLUMNS = (
    ("recording", "subject", "session", "task", "status", "problem", "duration_s", "blocks", "data_band_hz", "band_hz")
    + ("bad_channels", "rank", "calm_share", "ica_skipped", "samples_used", "converged", "iclabel_band_hz")
    + ("iclabel_valid", "iclabel_reason", "components", "removed", "variance_kept", "blinks")
    + tuple(f"{figure}_{when}" for figure in _FIGURES for when in ("before", "after"))
)


def clean_dataset(
    source: Path,
    out: Path,
    settings: CleanSettings,
    *,
    allow_partial: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
) -> list[Outcome]:
    """Clean every recording of a BIDS data set.

    Parameters
    ----------
    source
        BIDS root written by :mod:`eegpipe.bids`.
    out
        Root of the derivative. What an earlier run left there is used where it is still right, and removed where not.
    allow_partial
        Whether recordings may fail as long as one is cleaned. Without it the derivative gets its root files only if none
        failed, so that it cannot be taken for complete.
    workers, scheduler
        As in :func:`eegpipe.parallel.run`. They do not change a byte.

    Returns
    -------
    list of Outcome
        One a recording, in natural order. ``quality.tsv`` in ``out`` has the same rows.

    Raises
    ------
    DataProblem
        If ``source`` holds no recording.
    """
    recordings = sorted(bids.list_recordings(source), key=_natural)
    if not recordings:
        raise DataProblem(source.name, "no recordings", "a BIDS data set", "Run the stage bids first.")
    jobs = [
        Job(one.stem, {"source": source, "out": out, "recording_id": one, "settings": settings}) for one in recordings
    ]
    largest_gb = max(sum(path.stat().st_size for path in bids.recording_files(source, one)) for one in recordings) / 1e9
    outcomes = run(
        clean_one,
        jobs,
        title=f"clean {bids.dataset_name(source)}",
        workers=workers,
        scheduler=scheduler,
        memory_gb_per_job=_BASE_GB + _GB_PER_FILE_GB * largest_gb,
    )
    failed = {outcome.key for outcome in outcomes if outcome.status == "failed"}
    for old in bids.list_recordings(out, description=DESCRIPTION) if out.is_dir() else []:
        if old not in recordings or old.stem in failed:
            bids.remove_recording(out, old, description=DESCRIPTION)
    rows = [
        _identity(one) | {"status": "failed" if outcome.status == "failed" else "ok", "problem": outcome.problem}
        | outcome.row
        for one, outcome in zip(recordings, outcomes, strict=True)
    ]
    _write_table(out / "quality.tsv", rows)
    return outcomes


def clean_one(source: Path, out: Path, recording_id: RecordingId, settings: CleanSettings) -> tuple[str, dict]:
    """Clean one recording unless its output is up to date: ("done" or "kept", its figures for the quality table)."""
    fingerprint = digest(
        {path.relative_to(source).as_posix(): file_digest(path) for path in bids.recording_files(source, recording_id)},
        settings,
        code_digest(*_MODULES, packages=_PACKAGES),
    )
    sidecar = bids.read_sidecar(out, recording_id, description=DESCRIPTION)
    if sidecar.get("Fingerprint") == fingerprint:
        return "kept", _figures(sidecar["Cleaning"])
    from eegpipe.clean.chain import clean_recording

    try:
        cleaned, record = clean_recording(bids.read_recording(source, recording_id), settings)
    except DataProblem as problem:
        raise replace(problem, where=recording_id.stem) if not problem.where else problem from None
    cleaning = record.as_json()
    bids.write_recording(
        cleaned,
        out,
        description=DESCRIPTION,
        sidecar={"Fingerprint": fingerprint, "Cleaning": cleaning},
    )
    return "done", _figures(cleaning)


def _figures(cleaning: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the quality table from the record in the sidecar."""
    row = {name: cleaning[name] for name in COLUMNS if name in cleaning}
    row["bad_channels"] = "; ".join(f"{name} ({reason})" for name, reason in cleaning["bad_channels"].items())
    row["components"] = len(cleaning["components"])
    row["removed"] = "; ".join(one["removed"] for one in cleaning["components"] if one["removed"])
    for name in ("band_hz", "data_band_hz", "iclabel_band_hz"):
        row[name] = "-".join(f"{edge:g}" for edge in cleaning[name]) if cleaning[name] else None
    for figure in _FIGURES:
        for when in ("before", "after"):
            row[f"{figure}_{when}"] = cleaning[when][figure]
    return row


def _identity(one: RecordingId) -> dict[str, str | None]:
    return {"recording": one.stem, "subject": one.subject, "session": one.session, "task": one.task}


def _natural(one: RecordingId) -> list[tuple[int, str]]:
    """Subject 10 after subject 9."""
    return [(int(digits or 0), text) for text, digits in re.findall(r"(\D*)(\d*)", one.stem)]


def _write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, delimiter="\t", lineterminator="\n", restval="n/a")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    beside = path.with_suffix(".tsv.partial")
    beside.write_text(text.getvalue(), encoding="utf-8")
    os.replace(beside, path)


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "n/a"
    if isinstance(value, bool):
        return "true" if value else "false"
    # A table cell cannot hold the table's own separators.
    return re.sub(r"\s+", " ", str(value))

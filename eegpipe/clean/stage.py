"""The stage ``clean``: a BIDS folder to a BIDS derivative, recording by recording, only what changed.

``quality.tsv`` at the root of the derivative has a row for every recording of the BIDS folder, ``quality/`` a page for
each and ``index.html`` for all. A recording that fails leaves no output, not even an old one; the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import eegpipe
from eegpipe import bids
from eegpipe.bids.folder import FINGERPRINT, is_complete
from eegpipe.bids.root import replace_text
from eegpipe.bids.sidecars import read_table
from eegpipe.clean.record import kind_of_removal
from eegpipe.clean.settings import CleanSettings
from eegpipe.errors import DataProblem
from eegpipe.fingerprint import code_digest, digest, imported_modules
from eegpipe.recording import RecordingId

if TYPE_CHECKING:
    from eegpipe.parallel import Outcome

DESCRIPTION = "clean"
QUALITY = "quality.tsv"
PAGES = "quality"
RECORD = "Cleaning"
_GENERATED_BY = {
    "Name": "eegpipe-clean",
    "Version": eegpipe.__version__,
    "Description": (
        "Cleaned: filtered block by block, bad channels interpolated, eye and muscle components removed by ICA and "
        "ICLabel, average reference. What was done to each recording stands under Cleaning in its *_eeg.json, and in "
        "quality.tsv"
    ),
}
_log = logging.getLogger(__name__)
# What can change without any recording changing: words, and where jobs run.
_NO_EFFECT = ("eegpipe.__init__", "eegpipe.errors", "eegpipe.parallel", "eegpipe.progress")
_PACKAGES = ("mne", "mne-icalabel", "numpy", "onnxruntime", "scipy")
# Peak of a process, fixed and per byte of the recording's files: measured 0.35 and 5.6 on 62 channels at 200 Hz, 5 and
# 30 minutes. Something is added for what Dask and a larger montage need.
_BASE_GB = 0.6
_PEAK_PER_BYTE = 8.0
# What clean_one imports on the way; MNE loads parts of itself when they are first used. Not onnxruntime: it starts a
# thread, which a copy of the process would lack.
_LOADED_BY_JOBS = (
    "eegpipe.clean.chain",
    "eegpipe.clean.page",
    "mne.channels.interpolation",
    "mne.epochs",
    "mne.io.brainvision.brainvision",
)

_FIGURES = ("blink_uv", "line_db", "alpha_peak_hz", "alpha_uv2", "amplitude_uv")
COLUMNS = (
    *(
        "recording",
        "subject",
        "session",
        "task",
        "status",
        "problem",
        "duration_s",
        "blocks",
        "data_band_hz",
        "band_hz",
    ),
    *("bad_share", "bad_channels", "rank", "calm_share", "ica_skipped", "samples_used", "converged"),
    *("iclabel_band_hz", "iclabel_valid", "iclabel_reason", "components", "removed", "removed_eye", "removed_muscle"),
    *("removed_other", "removed_why", "variance_kept"),
    *("blinks", *(f"{figure}_{when}" for figure in _FIGURES for when in ("before", "after"))),
)


def clean_dataset(
    source: str | Path,
    out: str | Path,
    settings: CleanSettings,
    *,
    allow_partial: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
) -> list[Outcome]:
    """Bring the derivative ``out`` up to date with the BIDS folder ``source``.

    A recording is kept if its BIDS files, the settings, the code and the versions of the libraries are those it was
    made from. What the BIDS folder no longer holds is removed from ``out``.

    Parameters
    ----------
    allow_partial
        The caller goes on without recordings that fail: each is also worth a warning in the log.
    workers, scheduler
        See :func:`eegpipe.parallel.run`. They change no byte.

    Returns
    -------
    list of Outcome
        One a recording, by number; a row holds the figures of :data:`COLUMNS`.

    Raises
    ------
    DataProblem
        If ``source`` is no finished BIDS folder, or holds no recording.
    """
    from eegpipe.parallel import Job, Outcome, run, spare_threads

    source, out = Path(source), Path(out)
    about = bids.about(source)
    recordings = bids.list_recordings(source)
    if not recordings:
        raise DataProblem(source.name, "no recordings", "a BIDS folder with recordings", "Run the stage bids first.")
    out.mkdir(parents=True, exist_ok=True)
    bids.remove_leftovers(out)
    for old in bids.list_recordings(out, description=DESCRIPTION):
        if old not in recordings:
            bids.remove_recording(out, old, description=DESCRIPTION)

    outcomes: dict[RecordingId, Outcome] = {}
    jobs = {}
    for recording, fingerprint in _fingerprints(source, recordings, settings).items():
        sidecar = bids.read_sidecar(out, recording, description=DESCRIPTION)
        complete = is_complete(out, recording, description=DESCRIPTION) and _page(out, recording).is_file()
        if sidecar.get(FINGERPRINT) == fingerprint and complete:
            outcomes[recording] = Outcome(recording.stem, "kept", row_of(sidecar[RECORD]))
        else:
            arguments = {"source": source, "out": out, "recording": recording, "settings": settings}
            jobs[recording] = Job(recording.stem, arguments | {"fingerprint": fingerprint})
    memory_gb = _memory_gb(source, jobs)
    if scheduler is None and workers is None and jobs:
        threads = spare_threads(len(jobs), memory_gb)
        jobs = {key: Job(job.key, {**job.arguments, "threads": threads}) for key, job in jobs.items()}
    made = run(
        clean_one,
        list(jobs.values()),
        title=f"clean {about.name}",
        workers=workers,
        scheduler=scheduler,
        memory_gb_per_job=memory_gb,
        kept=len(outcomes),
        loads=_LOADED_BY_JOBS,
    )
    outcomes |= zip(jobs, made, strict=True)
    for recording, outcome in outcomes.items():
        if outcome.status == "failed":
            bids.remove_recording(out, recording, description=DESCRIPTION)
            _page(out, recording).unlink(missing_ok=True)
            if allow_partial:
                _log.warning("left out: %s", outcome.problem)
    bids.remove_leftovers(out)
    rows = _rows({recording: outcomes[recording] for recording in recordings}, _not_converted(source))
    replace_text(out / QUALITY, "\n".join(["\t".join(COLUMNS), *("\t".join(row.values()) for row in rows), ""]))
    _write_overview(out, about.name, rows)
    bids.write_root(
        out,
        about=about,
        description=DESCRIPTION,
        derivative=_GENERATED_BY,
        ignore=[QUALITY, PAGES],
    )
    return [outcomes[recording] for recording in recordings]


def clean_one(
    source: Path, out: Path, recording: RecordingId, settings: CleanSettings, fingerprint: str, threads: int = 1
) -> tuple[str, dict]:
    """Clean one recording and write it, with the record of its cleaning in ``*_eeg.json`` and a page to look at.

    ``threads``: cores to use; they change no byte.
    """
    from eegpipe.clean.chain import clean_recording
    from eegpipe.clean.page import recording_page

    cleaned = clean_recording(bids.read_recording(source, recording), settings, threads=threads)
    stored = cleaned.record.as_json()
    page = _page(out, recording)
    page.parent.mkdir(exist_ok=True)
    replace_text(page, recording_page(recording.stem, stored, cleaned.evidence))
    sidecar = {FINGERPRINT: fingerprint, RECORD: stored}
    bids.write_recording(cleaned.recording, out, description=DESCRIPTION, sidecar=sidecar)  # after the page: the last
    return "done", row_of(stored)


def row_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of the quality table that a stored :class:`eegpipe.clean.chain.CleanRecord` fills."""
    row = {column: record[column] for column in COLUMNS if column in record}
    reasons = [component["removed"] for component in record["components"] if component["removed"]]
    row["bad_channels"] = "; ".join(f"{name} ({reason})" for name, reason in record["bad_channels"].items())
    row["components"] = len(record["components"])
    row["removed"] = len(reasons)
    kinds = [kind_of_removal(reason) for reason in reasons]
    row["removed_eye"], row["removed_muscle"] = kinds.count("eye"), kinds.count("muscle")
    row["removed_other"] = len(kinds) - row["removed_eye"] - row["removed_muscle"]
    row["removed_why"] = "; ".join(reasons)
    for column in ("band_hz", "data_band_hz", "iclabel_band_hz"):
        row[column] = "-".join(f"{edge:g}" for edge in record[column] or ())
    for figure in _FIGURES:
        for when in ("before", "after"):
            row[f"{figure}_{when}"] = record[when][figure]
    return row


def _fingerprints(source: Path, recordings: Sequence[RecordingId], settings: CleanSettings) -> dict[RecordingId, str]:
    modules = imported_modules("eegpipe.clean.chain", "eegpipe.clean.page", "eegpipe.bids.folder", without=_NO_EFFECT)
    code = code_digest(*modules, __name__, packages=_PACKAGES)

    def fingerprint(recording: RecordingId) -> str:
        return digest(bids.recording_digest(source, recording), settings, code)

    with ThreadPoolExecutor(max_workers=4) as threads:  # hashing is outside the interpreter's lock
        return dict(zip(recordings, threads.map(fingerprint, recordings), strict=True))


def _memory_gb(source: Path, recordings: Mapping[RecordingId, Any]) -> float:
    sizes = [sum(path.stat().st_size for path in bids.recording_files(source, one)) for one in recordings]
    return _BASE_GB + _PEAK_PER_BYTE * max(sizes, default=0) / 1e9


def _not_converted(source: Path) -> list[dict[str, str]]:
    """What the conversion to BIDS could not make: nothing is missing without a trace."""
    try:
        rows = read_table(source / QUALITY)
        return [
            {"recording": row["recording"], "status": "failed", "problem": f"not converted: {row['problem']}"}
            for row in rows
            if row["status"] != "ok"
        ]
    except (OSError, KeyError, ValueError):  # a BIDS folder without the table is still one
        return []


def _rows(outcomes: Mapping[RecordingId, Outcome], others: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """The quality table as text, one row a recording."""
    rows: list[Mapping[str, Any]] = [
        {
            "recording": recording.stem,
            "subject": recording.subject,
            "session": recording.session,
            "task": recording.task,
            "status": "failed" if outcome.status == "failed" else "ok",
            "problem": outcome.problem,
            **outcome.row,
        }
        for recording, outcome in outcomes.items()
    ]
    return [{column: _cell(row.get(column)) for column in COLUMNS} for row in [*rows, *others]]


def _page(out: Path, recording: RecordingId) -> Path:
    return out / PAGES / f"{recording.stem}.html"


def _write_overview(out: Path, name: str, rows: Sequence[Mapping[str, str]]) -> None:
    """The page of all recordings; pages of recordings that are no more go."""
    from eegpipe.clean.overview import overview_page

    (out / PAGES).mkdir(exist_ok=True)
    pages = {f"{row['recording']}.html" for row in rows if row["status"] == "ok"} | {"index.html"}
    for path in (out / PAGES).iterdir():
        if path.name not in pages:
            path.unlink()
    replace_text(out / PAGES / "index.html", overview_page(name, rows))


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "n/a"
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(str(value).split())  # the table's own separators cannot stand in a cell

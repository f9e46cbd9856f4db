"""The stage ``bids``: a vendor's folder to a BIDS folder, recording by recording, only what changed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eegpipe.bids.folder import (
    FINGERPRINT,
    is_complete,
    list_recordings,
    read_sidecar,
    remove_leftovers,
    remove_recording,
    write_recording,
)
from eegpipe.bids.root import write_root
from eegpipe.errors import DataProblem
from eegpipe.fingerprint import code_digest, digest, file_digest, imported_modules

if TYPE_CHECKING:
    from eegpipe.datasets.base import Dataset, Discovery, RecordingEntry
    from eegpipe.parallel import Outcome

# What can change without any recording changing: words, and where jobs run.
_NO_EFFECT = ("eegpipe.__init__", "eegpipe.errors", "eegpipe.parallel", "eegpipe.progress")
_log = logging.getLogger(__name__)


def convert(
    dataset: Dataset,
    raw: str | Path,
    out: str | Path,
    *,
    allow_partial: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
) -> list[Outcome]:
    """Bring the BIDS folder ``out`` up to date with the vendor's folder ``raw``.

    A recording is kept if its vendor files, the data set's facts and the code are those it was made from. What the
    vendor's folder no longer holds is removed from ``out``, as is what cannot be read any more.

    Parameters
    ----------
    allow_partial
        Missing files are worth a warning in the log, not a failed outcome.
    workers, scheduler
        See :func:`eegpipe.parallel.run`.

    Returns
    -------
    list of Outcome
        One a recording, by number, then one for each problem of the folder itself.

    Raises
    ------
    DataProblem
        If ``raw`` holds nothing of this data set.
    """
    from eegpipe.parallel import Job, Outcome, run

    raw, out = Path(raw), Path(out)
    discovery = dataset.discover(raw)
    if not discovery.entries and not discovery.problems:
        raise DataProblem(raw.name, "no recordings", f"the files of {dataset.title}", dataset.folder_hint)
    out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    wanted = {entry.id for entry in discovery.entries}
    for recording in list_recordings(out):
        if recording not in wanted:
            remove_recording(out, recording)
    fingerprints = _fingerprints(dataset, discovery)
    outcomes: dict[Any, Outcome] = {}
    jobs = {}
    for entry in discovery.entries:
        fingerprint = fingerprints[entry.id.stem]
        sidecar = read_sidecar(out, entry.id)
        if sidecar.get(FINGERPRINT) == fingerprint and is_complete(out, entry.id):
            outcomes[entry.id] = Outcome(entry.id.stem, "kept", _row(sidecar))
        else:
            arguments = {"dataset": dataset, "entry": entry, "raw": raw, "out": out, "fingerprint": fingerprint}
            jobs[entry.id] = Job(entry.id.stem, arguments)
    made = run(
        convert_recording,
        list(jobs.values()),
        title=f"bids {dataset.name}",
        workers=workers,
        scheduler=scheduler,
        memory_gb_per_job=dataset.memory_gb,
    )
    outcomes |= zip(jobs, made, strict=True)
    for recording, outcome in outcomes.items():
        if outcome.status == "failed":
            remove_recording(out, recording)
    remove_leftovers(out)
    write_root(out, dataset=dataset, simulated=discovery.simulated)
    return [outcomes[entry.id] for entry in discovery.entries] + _of_the_folder(discovery, allow_partial)


def convert_recording(
    dataset: Dataset, entry: RecordingEntry, raw: Path, out: Path, fingerprint: str
) -> tuple[str, dict]:
    """Read one recording from vendor files and write it."""
    recording = dataset.read(raw, entry)
    write_recording(recording, out, sidecar={FINGERPRINT: fingerprint})
    return "done", _row(read_sidecar(out, entry.id))


def _row(sidecar: Mapping[str, Any]) -> dict:
    return {
        "duration_s": sidecar["RecordingDuration"],
        "rate_hz": sidecar["SamplingFrequency"],
        "eeg_channels": sidecar["EEGChannelCount"],
    }


def _fingerprints(dataset: Dataset, discovery: Discovery) -> dict[str, str]:
    """Stem -> fingerprint. Every vendor file is hashed once, however many recordings it holds."""
    files = sorted({file for entry in discovery.entries for file in entry.files})
    with ThreadPoolExecutor(max_workers=4) as threads:  # hashing is outside the interpreter's lock
        digests = dict(zip(files, threads.map(lambda file: _digest_or_none(discovery.root / file), files), strict=True))
    # The number of subjects changes nothing for the others.
    facts = replace(dataset.facts.expected(discovery.root), subjects=0)
    modules = imported_modules(dataset.read.__module__, __name__, without=_NO_EFFECT)
    common = digest(dataset.name, facts, discovery.simulated, code_digest(*modules, packages=("mne", "numpy")))
    return {
        entry.id.stem: digest(common, entry.id, {file: digests[file] for file in entry.files})
        for entry in discovery.entries
    }


def _digest_or_none(path: Path) -> str | None:
    """None for a file that cannot be read: the reader will say so in its own words."""
    try:
        return file_digest(path)
    except OSError:
        return None


def _of_the_folder(discovery: Discovery, allow_partial: bool) -> list[Outcome]:
    from eegpipe.parallel import Outcome

    for note in discovery.notes:
        _log.warning("%s", note)
    if allow_partial:
        for problem in discovery.problems:
            _log.warning("%s", problem)
        return []
    return [Outcome(problem.where, "failed", {}, str(problem)) for problem in discovery.problems]

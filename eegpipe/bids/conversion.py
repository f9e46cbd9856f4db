"""The stage ``bids``: a vendor's folder to a BIDS folder, recording by recording, only what changed.

``quality.tsv`` at the root of the BIDS folder has a row for every recording that the vendor's folder holds, and for
every problem of the folder itself. A recording that fails leaves no output, not even an old one; the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eegpipe.bids.folder import (
    FINGERPRINT,
    count_trials,
    is_complete,
    list_recordings,
    read_sidecar,
    remove_leftovers,
    remove_recording,
    write_recording,
)
from eegpipe.bids.hum import check_line_frequency
from eegpipe.bids.root import replace_text, write_root
from eegpipe.bids.sidecars import NOTES, table_text
from eegpipe.errors import DataProblem, DiskProblem, of_the_machine
from eegpipe.fingerprint import code_digest, digest, file_digest, imported_modules

if TYPE_CHECKING:
    from eegpipe.datasets.base import Dataset, Discovery, RecordingEntry, Variant
    from eegpipe.parallel import Outcome
    from eegpipe.recording import Recording, RecordingId

QUALITY = "quality.tsv"
COLUMNS = ("recording", "status", "problem", "known", "duration_s", "rate_hz", "eeg_channels", "trials", "notes")
# What can change without any recording changing: words, and where jobs run.
_NO_EFFECT = ("eegpipe.__init__", "eegpipe.errors", "eegpipe.parallel", "eegpipe.progress")
_SIMULATOR = "eegpipe.simulate"
# Smaller files may be alike by right: labels, times, ratings.
_TWIN_BYTES = 16 * 2**10
_log = logging.getLogger(__name__)


def convert(
    dataset: Dataset,
    raw: str | Path,
    out: str | Path,
    *,
    variant: str | None = None,
    allow_partial: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
) -> list[Outcome]:
    """Bring the BIDS folder ``out`` up to date with the vendor's folder ``raw``.

    A recording is kept if its vendor files, the data set's facts and the code are those it was made from. What the
    vendor's folder no longer holds is removed from ``out``, as is what cannot be read any more.

    Parameters
    ----------
    variant
        Which form of the data set to read, where ``raw`` holds several; None: the first of those that are there.
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
    UsageProblem
        If the data set has no such variant.
    """
    from eegpipe.parallel import Outcome

    raw, out = Path(raw), Path(out)
    dataset = dataset.at(raw) if dataset.at else dataset
    form = dataset.variant(variant) if variant else dataset.recognise(raw) or dataset.variants[0]
    discovery = form.discover(raw)
    if not discovery.entries and not discovery.problems:
        raise DataProblem(raw.name, "no recordings", f"the files of {dataset.title}", f"Expected:\n{form.tree}")
    out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    wanted = {entry.id for entry in discovery.entries}
    for recording in list_recordings(out):
        if recording not in wanted:
            remove_recording(out, recording)
    digests = _digests(discovery)
    fingerprints = _fingerprints(dataset, form, discovery, digests)
    twins = _twins(discovery, digests)
    outcomes: dict[Any, Outcome] = {}
    waiting = []
    for entry in discovery.entries:
        if problem := twins.get(entry.id) or form.unreadable(discovery.root, entry):
            outcomes[entry.id] = _failed(dataset, entry.id.stem, problem)
            continue
        sidecar = read_sidecar(out, entry.id)
        if sidecar.get(FINGERPRINT) == fingerprints[entry.id.stem] and is_complete(out, entry.id):
            outcomes[entry.id] = Outcome(entry.id.stem, "kept", _row(sidecar, out, entry.id))
        else:
            waiting.append(entry)
    if form.read_together is None:
        kept = sum(outcome.status == "kept" for outcome in outcomes.values())
        made = _one_by_one(dataset, form, waiting, discovery.root, out, fingerprints, workers, scheduler, kept)
    else:
        made = _together(dataset, form, waiting, discovery.root, out, fingerprints)
    outcomes |= {entry.id: outcome for entry, outcome in zip(waiting, made, strict=True)}
    for recording, outcome in outcomes.items():
        if outcome.status == "failed":
            remove_recording(out, recording)
    remove_leftovers(out)
    problems = [_failed(dataset, problem.where, problem) for problem in discovery.problems]
    found = [outcomes[entry.id] for entry in discovery.entries]
    _write_table(out / QUALITY, [*found, *problems])
    write_root(out, about=dataset.about(form, simulated=discovery.simulated), ignore=[QUALITY])
    for note in discovery.notes:
        _log.warning("%s", note)
    if allow_partial:
        for outcome in problems:
            _log.warning("%s", outcome.problem)
        return found
    return [*found, *problems]


def _one_by_one(
    dataset: Dataset,
    variant: Variant,
    entries: Sequence[RecordingEntry],
    root: Path,
    out: Path,
    fingerprints: Mapping[str, str],
    workers: int | None,
    scheduler: str | None,
    kept: int,
) -> list[Outcome]:
    """A job for each recording."""
    from eegpipe.parallel import Job, run

    common = {"dataset": dataset, "variant": variant, "root": root, "out": out}
    jobs = [
        Job(entry.id.stem, {**common, "entry": entry, "fingerprint": fingerprints[entry.id.stem]}) for entry in entries
    ]
    made = run(
        convert_recording,
        jobs,
        title=f"bids {dataset.name}",
        workers=workers,
        scheduler=scheduler,
        memory_gb_per_job=variant.memory_gb,
        kept=kept,
    )
    # A refusal comes back as a row, so that what is known about it is not lost between processes.
    return [
        replace(one, status="failed", problem=one.row.pop("problem")) if "problem" in one.row else one for one in made
    ]


def convert_recording(
    dataset: Dataset, variant: Variant, entry: RecordingEntry, root: Path, out: Path, fingerprint: str
) -> tuple[str, dict]:
    """Read one recording from vendor files and write it."""
    try:
        recording = variant.read(root, entry)
        return "done", _write(recording, out, fingerprint)
    except DataProblem as problem:
        failed = _failed(dataset, entry.id.stem, problem)
        return "failed", {**failed.row, "problem": failed.problem}


def _together(
    dataset: Dataset,
    variant: Variant,
    entries: Sequence[RecordingEntry],
    root: Path,
    out: Path,
    fingerprints: Mapping[str, str],
) -> list[Outcome]:
    """One pass over a file that holds all recordings, in this process."""
    from eegpipe.parallel import Outcome, in_words, one_thread
    from eegpipe.progress import bar

    assert variant.read_together is not None
    made: dict[Any, Outcome] = {}
    if not entries:
        return []
    with one_thread(), bar(f"bids {dataset.name}", len(entries)) as advance:
        try:
            for entry, result in variant.read_together(root, entries):
                stem = entry.id.stem
                try:
                    if isinstance(result, DataProblem):
                        raise result
                    made[entry.id] = Outcome(stem, "done", _write(result, out, fingerprints[stem]))
                except DataProblem as problem:
                    made[entry.id] = _failed(dataset, stem, problem)
                advance()
            rest = "the file ended before this recording"
        except DataProblem as problem:
            return [made.get(entry.id) or _failed(dataset, entry.id.stem, problem) for entry in entries]
        except Exception as error:
            if isinstance(fault := of_the_machine(error), DiskProblem):
                raise fault from error
            rest = in_words(error)
    return [made.get(entry.id) or Outcome(entry.id.stem, "failed", {}, rest) for entry in entries]


def _write(recording: Recording, out: Path, fingerprint: str) -> dict:
    check_line_frequency(recording)
    write_recording(recording, out, sidecar={FINGERPRINT: fingerprint})
    return _row(read_sidecar(out, recording.id), out, recording.id)


def _row(sidecar: Mapping[str, Any], out: Path, recording: RecordingId) -> dict:
    return {
        "duration_s": sidecar["RecordingDuration"],
        "rate_hz": sidecar["SamplingFrequency"],
        "eeg_channels": sidecar["EEGChannelCount"],
        "trials": count_trials(out, recording),
        "notes": list(sidecar.get(NOTES, ())),
    }


def _failed(dataset: Dataset, key: str, problem: DataProblem) -> Outcome:
    """A refusal, with whether it is a listed irregularity of the data set."""
    from eegpipe.parallel import Outcome

    known = dataset.known(problem)
    listed = f"Known ({known.name}): {known.text}" if known else f"New: no listed irregularity of {dataset.name}."
    return Outcome(key, "failed", {"known": known.name if known else ""}, f"{problem} {listed}")


def _write_table(path: Path, outcomes: Sequence[Outcome]) -> None:
    rows = []
    for outcome in outcomes:
        row = {"recording": outcome.key, "status": "failed" if outcome.status == "failed" else "ok"}
        row |= {"problem": outcome.problem, **outcome.row, "notes": " ".join(outcome.row.get("notes", ()))}
        rows.append({column: _cell(row.get(column)) for column in COLUMNS})
    replace_text(path, table_text(COLUMNS, rows))


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "n/a"
    return " ".join(str(value).split())  # the table's own separators cannot stand in a cell


def _digests(discovery: Discovery) -> dict[str, str | None]:
    """File -> SHA-256. Every vendor file is hashed once, however many recordings it holds."""
    files = sorted({file for entry in discovery.entries for file in entry.files})
    with ThreadPoolExecutor(max_workers=4) as threads:  # hashing is outside the interpreter's lock
        return dict(zip(files, threads.map(lambda file: _digest_or_none(discovery.root / file), files), strict=True))


def _twins(discovery: Discovery, digests: Mapping[str, str | None]) -> dict[RecordingId, DataProblem]:
    """Recordings whose large files have the bytes of another recording's: one of the two was copied over the other.

    Nothing in the files tells which is right. Left in, one person would be trained on and tested on.
    """
    owners: dict[str, dict[str, RecordingId]] = {}
    for entry in discovery.entries:
        for file in entry.files:
            digest = digests[file]
            if digest and (discovery.root / file).stat().st_size >= _TWIN_BYTES:
                owners.setdefault(digest, {})[file] = entry.id
    twins = {}
    for files in owners.values():
        if len(set(files.values())) > 1:
            for recording in files.values():
                others = sorted({other.stem for other in files.values()} - {recording.stem})
                twins[recording] = DataProblem(
                    recording.stem,
                    f"the same bytes as in {', '.join(others)}",
                    "a recording of its own",
                    "One was copied over the other: copy both from the vendor's archive again.",
                )
    return twins


def _fingerprints(
    dataset: Dataset, variant: Variant, discovery: Discovery, digests: Mapping[str, str | None]
) -> dict[str, str]:
    """Stem -> fingerprint."""
    # The number of subjects changes nothing for the others.
    facts = replace(variant.facts.expected(discovery.root), subjects=0, people=())
    read: Any = variant.read
    settings = getattr(read, "args", ())  # of a reader that is made for one folder (`bids`): its mapping
    modules = imported_modules(getattr(read, "func", read).__module__, __name__, without=_NO_EFFECT)
    modules = tuple(name for name in modules if not name.startswith(_SIMULATOR))
    code = code_digest(*modules, packages=("mne", "numpy"))
    common = digest(dataset.name, variant.name, facts, settings, discovery.simulated, code)
    return {
        entry.id.stem: digest(common, entry.id, {file: digests[file] for file in entry.files})
        for entry in discovery.entries
    }


def _digest_or_none(path: Path) -> str | None:
    """None for a file that cannot be read: the reader will say so in its own words."""
    try:
        return file_digest(path) if path.is_file() else None
    except OSError:
        return None

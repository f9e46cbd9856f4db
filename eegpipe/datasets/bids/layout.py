"""Names and places of BIDS: which recordings a folder holds, and which tables and texts belong to each.

Sidecars follow the inheritance principle: a file may stand in the folder of the recording or above it, carries no
entity that the recording does not have, and the one nearest to the recording, with most entities, counts. Case is not
compared (``task-Emotion`` and ``task-emotion`` are one task in real data sets); a difference is said in a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from eegpipe.datasets import MAPPING
from eegpipe.datasets.base import Discovery, RecordingEntry, simulated_marker
from eegpipe.datasets.bids.mapping import Files, MappingFile
from eegpipe.datasets.bids.signals import EXTENSIONS
from eegpipe.datasets.bids.tsv import read_tsv
from eegpipe.datasets.folders import find_folder, natural_key, numbers_text
from eegpipe.errors import DataProblem
from eegpipe.recording import RecordingId

_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")
_NAME = re.compile(r"((?:[A-Za-z]+-[A-Za-z0-9+]+_)*)([A-Za-z0-9]+)(\.[A-Za-z0-9.]+)")
_COMPANIONS = (".fdt", ".eeg", ".dat", ".vmrk")
_DATA_FOLDERS = ("bids", "rawdata", "raw", "data")
PARTICIPANTS = "participants.tsv"
TREE = (
    f"{MAPPING}  (docs/mapping-a-bids-dataset.md)\n"
    "participants.tsv, dataset_description.json\n"
    "sub-01/[ses-1/]eeg/sub-01_[ses-1_]task-film_[run-1_]eeg.edf  (or .bdf, .vhdr, .set), _events.tsv, _channels.tsv\n"
    "sub-01/[ses-1/]beh/sub-01_task-film_beh.tsv  (if ratings stand there)"
)


@dataclass(frozen=True)
class Name:
    """A file name of BIDS, relative to the root: entities, suffix and extension (small letters)."""

    path: str
    entities: tuple[tuple[str, str], ...]
    suffix: str
    extension: str

    def get(self, key: str) -> str | None:
        return dict(self.entities).get(key)

    @property
    def folder(self) -> tuple[str, ...]:
        """The folders from the root; ``beh`` stands for the one that it lies in, since it lies beside ``eeg``."""
        parts = tuple(self.path.split("/")[:-1])
        return parts[:-1] if parts[-1:] == ("beh",) else parts


def parse(path: str) -> Name | None:
    """The name, or None if it is none of BIDS."""
    match = _NAME.fullmatch(path.rsplit("/", 1)[-1])
    if match is None:
        return None
    entities = tuple((pair.split("-", 1)[0].lower(), pair.split("-", 1)[1]) for pair in match[1].split("_") if pair)
    return Name(path, entities, match[2], match[3].lower())


def applicable(recording: Name, names: Iterable[Name], suffix: str, extension: str) -> list[Name]:
    """The sidecars of a kind that hold for a recording, the one that counts most last."""
    own = {(key, value.casefold()) for key, value in recording.entities}
    found = []
    for name in names:
        theirs = {(key, value.casefold()) for key, value in name.entities}
        above = recording.folder[: len(name.folder)] == name.folder
        if (name.suffix, name.extension) == (suffix, extension) and above and theirs <= own:
            found.append(name)
    return sorted(found, key=lambda name: _weight(recording, name))


def _weight(recording: Name, name: Name) -> tuple[int, int, int]:
    return len(name.folder), len(name.entities), len(set(name.entities) & set(recording.entities))


def sidecar(recording: Name, names: Iterable[Name], suffix: str) -> Name | None:
    """The table that counts; two of the same weight are a :class:`DataProblem`."""
    found = applicable(recording, names, suffix, ".tsv")
    if len(found) > 1 and _weight(recording, found[-1]) == _weight(recording, found[-2]):
        raise DataProblem(
            f"{recording.path}: {suffix}.tsv",
            f"two files that fit equally well: {found[-2].path}, {found[-1].path}",
            "one",
            "Take one away, or give it the name of its own recording.",
        )
    return found[-1] if found else None


def recognise(root: Path) -> bool:
    """Whether the folder has a mapping file."""
    return (root / MAPPING).is_file()


def data_folder(root: Path, mapping: MappingFile) -> Path | None:
    """The folder with ``sub-*``: what the mapping names (relative to itself), or the mapping's own folder."""
    named = root / Path(mapping.folder).expanduser() if mapping.folder else root
    return find_folder(named, _SUBJECT, (named.name.lower(), *_DATA_FOLDERS), depth=2)


def list_subjects(folder: Path) -> list[Path]:
    """The folders of subjects, by number."""
    return sorted(
        (child for child in folder.iterdir() if _SUBJECT.fullmatch(child.name) and child.is_dir()),
        key=lambda child: natural_key(child.name),
    )


def discover(mapping: MappingFile, root: Path) -> Discovery:
    """The recordings of a BIDS folder that the mapping asks for; reads only ``participants.tsv``."""
    folder = data_folder(root, mapping)
    if folder is None:
        where = f"{MAPPING}: folder" if mapping.folder else f"{root.name}"
        cure = f"Name the folder that holds them in {MAPPING} ('folder: /where/it/is'), or put {MAPPING} into it."
        problem = DataProblem(where, "no folder like sub-01 in it", "a BIDS data set", cure)
        return Discovery(root, [], [problem])
    found = Discovery(folder, [], simulated=any(simulated_marker(one) for one in (root, folder)))
    subjects = list_subjects(folder)
    names = [name for name in map(parse, _files(folder, subjects)) if name]
    recordings = [name for name in names if name.suffix == "eeg" and name.extension in EXTENSIONS]
    wanted = [name for name in recordings if _wanted(name, mapping.files)]
    if left := len(recordings) - len(wanted):
        found.notes.append(f"{left} files of other tasks, sessions, runs or subjects than {MAPPING} names.")
    groups: dict[tuple[str, str, str], list[Name]] = {}
    for name in sorted(wanted, key=lambda name: natural_key(name.path)):
        key = (name.get("sub") or "", name.get("ses") or "", (name.get("task") or "emotion").casefold())
        groups.setdefault(key, []).append(name)
    # Only the root and the subject's own folder can hold what belongs to a recording.
    by_subject: dict[str, list[Name]] = {}
    for name in names:
        by_subject.setdefault(name.path.partition("/")[0] if "/" in name.path else "", []).append(name)

    def near(recording: Name) -> list[Name]:
        return [*by_subject.get("", ()), *by_subject[recording.path.partition("/")[0]]]

    spelling = {task.casefold(): task for task in mapping.files.task}
    for (subject, session, task), members in groups.items():
        spelled = spelling.setdefault(task, next((name.get("task") for name in members), None) or task)
        try:
            files = _files_of(members, near(members[0]), mapping, found)
        except DataProblem as problem:
            found.problems.append(problem)
            continue
        if files:
            found.entries.append(RecordingEntry(RecordingId(subject, session or None, spelled), files))
    found.entries.sort(key=lambda entry: natural_key(entry.id.stem))
    _check_subjects(found, mapping, [child.name[4:] for child in subjects], recordings)
    used = {file for entry in found.entries for file in entry.files}
    if orphans := [name.path for name in names if name.suffix == "events" and name.path not in used]:
        found.notes.append(f"Not read, since they belong to no recording that is: {numbers_text(orphans)}.")
    return found


def _files(folder: Path, subjects: Sequence[Path]) -> Iterator[str]:
    """Every file that can matter, relative to the folder: at the root, of a subject, of a session, in eeg and beh."""
    for child in sorted(folder.iterdir()):
        if not child.is_dir():
            yield child.name
    for subject in subjects:
        sessions = [child for child in sorted(subject.iterdir()) if re.fullmatch("ses-[A-Za-z0-9]+", child.name)]
        for place in (subject, *sessions):
            for inner in (place, place / "eeg", place / "beh"):
                if inner.is_dir():
                    for child in sorted(inner.iterdir()):
                        if not child.is_dir():
                            yield child.relative_to(folder).as_posix()


def _wanted(name: Name, files: Files) -> bool:
    filters = {
        "task": files.task,
        "ses": files.session,
        "run": files.run,
        "sub": files.subject,
        "acq": files.acquisition,
    }
    return all(
        not allowed or any(_same(name.get(key) or "", value, key) for value in allowed)
        for key, allowed in filters.items()
    )


def _same(label: str, value: str, key: str) -> bool:
    value = value.strip().casefold().removeprefix(f"{key}-")
    if label.isdecimal() and value.isdecimal():
        return int(label) == int(value)
    return label.casefold() == value


def _files_of(
    members: Sequence[Name], names: Sequence[Name], mapping: MappingFile, found: Discovery
) -> tuple[str, ...]:
    """The files of one recording: its runs in order, then all that belongs to them."""
    first = members[0]
    if (acquisitions := sorted({name.get("acq") or "(none)" for name in members})) and len(acquisitions) > 1:
        cure = f"Name the one to read in {MAPPING} (files.acquisition)."
        raise DataProblem(first.path, f"acquisitions {', '.join(acquisitions)}", "one of a recording", cure)
    runs = [name.get("run") or "" for name in members]
    if twice := [name.path for name, run in zip(members, runs, strict=True) if runs.count(run) > 1]:
        cure = f"Keep one of them, or name runs in {MAPPING} (files.run)."
        raise DataProblem(twice[0], f"{len(twice)} files: {', '.join(twice)}", "one file of a recording or run", cure)
    files = [name.path for name in members]
    shared: dict[str, None] = {}
    for name in members:
        events = sidecar(name, names, "events")
        if events is None:
            cure = "Copy the events file; without it nothing says when a stimulus began."
            raise DataProblem(name.path, "no events.tsv for it", "one beside it or above it", cure)
        shared[events.path] = None
        beh = sidecar(name, names, "beh")
        if beh is not None:
            shared[beh.path] = None
        elif mapping.reading.uses("beh"):
            cure = "Copy the file; without it ratings of this recording are unknown."
            found.problems.append(DataProblem(name.path, "no beh.tsv for it", "the ratings", cure))
        if channels := sidecar(name, names, "channels"):
            shared[channels.path] = None
        shared |= dict.fromkeys(text.path for text in applicable(name, names, "eeg", ".json"))
        shared |= dict.fromkeys(_companions(name, names))
    if any(name.path == PARTICIPANTS for name in names):
        shared[PARTICIPANTS] = None
    return (*files, *shared)


def _companions(name: Name, names: Sequence[Name]) -> list[str]:
    """The files of numbers and markers beside a header; of another name if none has the header's."""
    if name.extension not in (".set", ".vhdr"):
        return []
    beside = [one for one in names if one.folder == name.folder and one.extension in _COMPANIONS]
    stem = name.path[: -len(name.extension)]
    own = [one.path for one in beside if one.path[: -len(one.extension)] == stem]
    heads = {one.path[: -len(one.extension)] for one in names if one.extension in EXTENSIONS}
    return own or [one.path for one in beside if one.path[: -len(one.extension)] not in heads]


def _check_subjects(found: Discovery, mapping: MappingFile, folders: Sequence[str], recordings: Sequence[Name]) -> None:
    """Subjects without a recording, or another number of them than the mapping expects."""
    wanted = mapping.files.subject
    folders = [label for label in folders if not wanted or any(_same(label, value, "sub") for value in wanted)]
    here = {entry.id.subject for entry in found.entries}
    with_files = {name.get("sub") for name in recordings}
    if empty := [f"sub-{label}" for label in folders if label not in with_files]:
        cure = "Copy their files, or leave these subjects out."
        kinds = ", ".join(f"*_eeg{extension}" for extension in EXTENSIONS)
        found.problems.append(DataProblem(numbers_text(empty), "no recording", f"a file like {kinds}", cure))
    if mapping.n_subjects is not None and len(here) != mapping.n_subjects:
        cure = "Copy what is missing, or correct the number."
        where = f"{MAPPING}: expect.subjects"
        found.problems.append(DataProblem(where, f"{len(here)} subjects", f"{mapping.n_subjects}", cure))
    table = found.root / PARTICIPANTS
    if not table.is_file():
        found.notes.append(f"No {PARTICIPANTS}: sex and age are unknown.")
        return
    try:
        listed = [row.get("participant_id", "") for row in read_tsv(table, PARTICIPANTS).rows]
    except DataProblem as problem:
        found.problems.append(problem)
        return
    known = {label.casefold() for label in folders}
    absent = [label for label in listed if label and label.casefold().removeprefix("sub-") not in known]
    if absent and not wanted:
        found.notes.append(f"{PARTICIPANTS} lists {numbers_text(absent)}, of whom there is no folder.")

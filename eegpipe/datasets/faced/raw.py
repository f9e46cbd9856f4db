"""FACED, variant raw: the whole recording of each of 123 people (``data.bdf``), markers (``evt.bdf``), ratings.

Nothing was done to the signal. Each clip is there in full, in the order in which the person saw it.
"""

from __future__ import annotations

from pathlib import Path

from eegpipe.datasets.base import Discovery, RecordingEntry, simulated_marker
from eegpipe.datasets.faced.bdf import FACTS, check_header, read_signal
from eegpipe.datasets.faced.clips import Presented, check_presented, stimuli
from eegpipe.datasets.faced.markers import clips, read_markers
from eegpipe.datasets.faced.remarks import (
    REMARKS,
    data_folder,
    missing_remarks,
    people_file,
    read_remarks,
    sex_and_age,
    subject_folders,
)
from eegpipe.datasets.folders import natural_key, numbers_text, relative
from eegpipe.errors import DataProblem
from eegpipe.recording import Recording, RecordingId

TREE = """\
FACED/
  Data/                      (Data/Data/ is fine)
    sub000/
      data.bdf               (the recording)
      evt.bdf                (the markers)
      After_remarks.mat      (the ratings)
      recordInformation.json (not read)
    sub001/ ...
  Recording_info.csv         (sex and age, if there)"""

_SIGNAL, _MARKERS, _INFORMATION = "data.bdf", "evt.bdf", "recordInformation.json"
_FILES = (_SIGNAL, _MARKERS, REMARKS, _INFORMATION)
_CURE = "Copy the folder from the vendor's archive again."


def recognise(root: Path) -> bool:
    return any((folder / _SIGNAL).is_file() for folder in subject_folders(root).values())


def discover(root: Path) -> Discovery:
    facts = FACTS.expected(root)
    found = Discovery(root, [], simulated=simulated_marker(root) is not None)
    data, folders = data_folder(root), subject_folders(root)
    if data is None or not folders:
        found.problems.append(
            DataProblem(
                "FACED folder",
                "no folder like sub000",
                f"{facts.subjects} folders in Data, each with {', '.join(_FILES)}",
                "Name the folder that holds Data, or Data itself.",
            )
        )
        return found
    where, wanted = data.name, facts.numbers
    expected = f"{facts.subjects} folders, sub{wanted[0]:03d} to sub{wanted[-1]:03d}, of {len(_FILES)} files"
    if missing := [f"sub{number:03d}" for number in wanted if number not in folders]:
        found.problems.append(DataProblem(where, f"no {numbers_text(missing)}", expected, _CURE))
    if extra := [folder.name for number, folder in folders.items() if number not in wanted]:
        cure = "Take these folders away if they are not the vendor's."
        found.problems.append(DataProblem(where, f"also {numbers_text(extra)}", expected, cure))

    here = {
        number: {child.name for child in folders[number].iterdir() if child.is_file()}
        for number in wanted
        if number in folders
    }
    for name in (_SIGNAL, _MARKERS):
        if lacking := [f"sub{number:03d}" for number, names in here.items() if name not in names]:
            found.problems.append(DataProblem(where, f"no {name} in {numbers_text(lacking)}", expected, _CURE))
    people = people_file(root, data)
    complete = [number for number, names in here.items() if {_SIGNAL, _MARKERS} <= names]
    for number in complete:
        files = [name for name in (_SIGNAL, _MARKERS, REMARKS) if name in here[number]]
        paths = (*(relative(folders[number] / name, root) for name in files), *people)
        found.entries.append(RecordingEntry(RecordingId(f"{number:03d}"), paths))
    if without := [number for number in complete if REMARKS not in here[number]]:
        found.problems.append(missing_remarks(without))
    if lacking := [f"sub{number:03d}" for number in complete if _INFORMATION not in here[number]]:
        found.notes.append(f"No {_INFORMATION} in {numbers_text(lacking)}; it is not read.")
    stray = [
        relative(folders[number] / name, root)
        for number, names in here.items()
        for name in sorted(names, key=natural_key)
        if name not in _FILES and not name.startswith(".")
    ]
    if stray:
        found.notes.append(f"Not read: {numbers_text(stray)}.")
    return found


def read(root: Path, entry: RecordingEntry) -> Recording:
    facts = FACTS.expected(root)
    assert facts.trial_s is not None
    signal, markers, *_ = entry.files
    subject = int(entry.id.subject)
    header = check_header(root / signal, signal, subject, simulated=simulated_marker(root) is not None)
    presented, unused = clips(read_markers(root / markers, markers), markers)
    check_presented(presented, subject, facts.trial_s, header.duration_s, markers)
    remarks = read_remarks(root, entry.files, facts.trials)
    _check_order(presented, [video for video, _ in remarks], markers)
    sex, age = sex_and_age(root, entry.files, subject)
    raw, notes = read_signal(root / signal, header, signal)
    events = stimuli(presented, subject, dict(remarks))
    return Recording(entry.id, raw, events, facts.reference, facts.line_hz, sex=sex, age=age, notes=(*notes, *unused))


def _check_order(presented: list[Presented], rated: list[int], where: str) -> None:
    """The markers and the ratings must be of one person; the order of the clips was drawn for each."""
    shown = [one.video for one in presented]
    if rated and shown != rated:
        place = next(index for index, pair in enumerate(zip(shown, rated, strict=True)) if pair[0] != pair[1])
        found = f"clip {shown[place]} at place {place + 1}"
        expected = f"clip {rated[place]}, as in {REMARKS}"
        cure = "The files come from two people, or one is damaged: copy the folder from the vendor's archive again."
        raise DataProblem(f"{where}: order of the clips", found, expected, cure)

"""What the three forms of DEAP share: electrodes, scales, and finding the files of a folder by their numbers."""

from __future__ import annotations

import re
from pathlib import Path

from eegpipe.datasets.base import Discovery, Facts, RecordingEntry, simulated_marker
from eegpipe.datasets.folders import find_folder, matching, numbers_text, relative, stray_note
from eegpipe.errors import DataProblem
from eegpipe.recording import RecordingId

PEOPLE = 32
TRIALS = 40
RATINGS = ("valence", "arousal", "dominance", "liking")
SCALE = (1.0, 9.0)
FAMILIARITY = "familiarity"
FAMILIARITY_SCALE = (1.0, 5.0)

# People 1-22 were recorded in Twente, 23-32 in Geneva, with the same electrodes in another order.
_TWENTE = (
    "Fp1 AF3 F7 F3 FC1 FC5 T7 C3 CP1 CP5 P7 P3 Pz PO3 O1 Oz O2 PO4 P4 P8 CP6 CP2 C4 T8 FC6 FC2 F4 F8 AF4 Fp2 Fz Cz"
)
_GENEVA = (
    "Fp1 AF3 F3 F7 FC5 FC1 C3 T7 CP5 CP1 P3 P7 PO3 O1 Oz Pz Fp2 AF4 Fz F4 F8 FC6 FC2 Cz C4 T8 CP6 CP2 P4 P8 PO4 O2"
)
TWENTE, GENEVA = tuple(_TWENTE.split()), tuple(_GENEVA.split())
LAST_IN_TWENTE = 22

_RATINGS_FILE = re.compile(r"(?i)participant_ratings\.csv")
_PEOPLE_FILE = re.compile(r"(?i)participant_questionnaire\.csv")
_METADATA_FOLDERS = ("metadata_csv", "metadata", "deap")
# Beside the recordings, and never taken for one.
_SIDE_FILE = re.compile(r"(?i)readme.*|.*\.(json|csv|xls|ods|md)|\..*")


def find_recordings(root: Path, pattern: re.Pattern[str], folder: str) -> Path | None:
    """The folder of one form's files: ``root``, or one below that is called DEAP or ``folder``."""
    return find_folder(root, pattern, (folder, "deap"))


def discover(
    root: Path, facts: Facts, pattern: re.Pattern[str], suffix: str, folder: str, *, needs_ratings: bool
) -> Discovery:
    """List the recordings of one form: ``s01.<suffix>`` to ``s32.<suffix>``, each with the tables of the metadata.

    Where the data folder itself was named, the metadata beside it are found, and the discovery's root is the folder
    that holds both.
    """
    facts = facts.expected(root)
    found = Discovery(root, [], simulated=simulated_marker(root) is not None)
    place = find_recordings(root, pattern, folder)
    if place is None:
        found.problems.append(
            DataProblem(
                "DEAP folder",
                f"no file like s01.{suffix}",
                f"{facts.subjects} files in {folder}",
                f"Name the folder that holds {folder}, or that folder itself.",
            )
        )
        return found
    found.root, place, tables = _metadata(root, place)
    subjects = {int(match[1]): file for match, file in matching(place, pattern)}
    wanted, where = facts.numbers, relative(place, found.root)
    expected = f"{facts.subjects} files, s{wanted[0]:02d}.{suffix} to s{wanted[-1]:02d}.{suffix}"
    if missing := [f"s{number:02d}.{suffix}" for number in wanted if number not in subjects]:
        cure = f"Copy {folder} from the vendor's archive again."
        found.problems.append(DataProblem(where, f"no {numbers_text(missing)}", expected, cure))
    if extra := [file.name for number, file in subjects.items() if number not in wanted]:
        cure = "Take these files away if they are not the vendor's."
        found.problems.append(DataProblem(where, f"also {numbers_text(extra)}", expected, cure))
    if needs_ratings and not any(_RATINGS_FILE.fullmatch(table.name) for table in tables):
        found.problems.append(
            DataProblem(
                "metadata_csv",
                "no participant_ratings.csv",
                "the table that says which video each trial of a .bdf file showed",
                f"Unpack the vendor's metadata_csv beside {folder}, and name the folder that holds both.",
            )
        )
    for number in (number for number in wanted if number in subjects):
        files = (relative(subjects[number], found.root), *(relative(table, found.root) for table in tables))
        found.entries.append(RecordingEntry(RecordingId(f"{number:02d}"), files))
    found.notes += stray_note(place, found.root, [pattern, _SIDE_FILE])
    return found


def _metadata(root: Path, place: Path) -> tuple[Path, Path, list[Path]]:
    """(the root that all files lie under, the data folder below it, the tables of ratings and of people)."""
    if tables := _tables(root, (*_METADATA_FOLDERS, place.name.lower())):
        return root, place, tables
    package = root.resolve().parent  # the data folder was named: of its parent, only what the vendor calls so
    if tables := _tables(package / _METADATA_FOLDERS[0], ()):
        return package, place.resolve(), tables
    return root, place, []


def _tables(base: Path, folders: tuple[str, ...]) -> list[Path]:
    patterns = (_RATINGS_FILE, _PEOPLE_FILE)
    found = ((find_folder(base, pattern, folders, depth=2), pattern) for pattern in patterns)
    return [file for folder, pattern in found if folder for _, file in matching(folder, pattern)[:1]]


def ratings_table(files: tuple[str, ...]) -> str | None:
    """The table of ratings among the files of a recording."""
    return next((file for file in files if _RATINGS_FILE.fullmatch(Path(file).name)), None)


def people_table(files: tuple[str, ...]) -> str | None:
    """The questionnaire among the files of a recording."""
    return next((file for file in files if _PEOPLE_FILE.fullmatch(Path(file).name)), None)

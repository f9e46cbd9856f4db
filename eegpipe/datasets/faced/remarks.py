"""FACED's ``Data`` folder beside the signal: ratings (``After_remarks.mat``), sex and age (``Recording_info.csv``)."""

from __future__ import annotations

import re
from pathlib import Path

from eegpipe.datasets.faced.clips import RATINGS, check_ratings
from eegpipe.datasets.folders import find_folder, matching, natural_key, numbers_text, relative
from eegpipe.datasets.formats import matlab
from eegpipe.datasets.formats.people import person
from eegpipe.errors import DataProblem

SUBJECT_FOLDER = re.compile(r"sub([0-9]{3})")
REMARKS, PEOPLE = "After_remarks.mat", "Recording_info.csv"
_FOLDERS = ("data", "faced")  # the archive unpacks to Data/Data
_CURE = "Copy the file from the vendor's archive again."


def data_folder(root: Path) -> Path | None:
    """The folder that holds ``sub000`` and so on, ``root`` or below it."""
    return find_folder(root, SUBJECT_FOLDER, _FOLDERS)


def subject_folders(root: Path) -> dict[int, Path]:
    """Subject number -> folder, by number."""
    data = data_folder(root)
    folders = sorted(data.iterdir(), key=lambda child: natural_key(child.name)) if data else []
    matches = ((SUBJECT_FOLDER.fullmatch(folder.name), folder) for folder in folders if folder.is_dir())
    return {int(match[1]): folder for match, folder in matches if match}


def remarks_files(root: Path) -> dict[int, str]:
    """Subject number -> ``After_remarks.mat``, relative to ``root``."""
    files = ((number, folder / REMARKS) for number, folder in subject_folders(root).items())
    return {number: relative(file, root) for number, file in files if file.is_file()}


def missing_remarks(people: list[int]) -> DataProblem:
    """What to say of subjects without ratings."""
    return DataProblem(
        "Data",
        f"no {REMARKS} for {numbers_text(f'sub{number:03d}' for number in people)}",
        f"Data/sub000/{REMARKS} and so on: the ratings",
        "Copy Data/ beside the signals and name the folder that holds both. "
        "Without it, valence and arousal are those of the emotion words.",
    )


def people_file(root: Path, near: Path) -> tuple[str, ...]:
    """The table of people, relative to ``root``: in the folder of the files or one above it; empty if there is none."""
    for folder in (near, *near.parents):
        if not folder.is_relative_to(root):
            break
        if tables := [file for _, file in matching(folder, re.compile(re.escape(PEOPLE), re.IGNORECASE))]:
            return (relative(tables[0], root),)
    return ()


def sex_and_age(root: Path, files: tuple[str, ...], subject: int) -> tuple[str | None, int | None]:
    """From the table of people among the files of a recording; its headers may carry blanks (``Cohort ``)."""
    table = next((file for file in files if file.lower().endswith(PEOPLE.lower())), None)
    return person(root / table, table, subject, column="sub") if table else (None, None)


def read_remarks(root: Path, files: tuple[str, ...], videos: int) -> list[tuple[int, dict[str, float]]]:
    """(video, ratings) in order of presentation; empty if the file is not among those of the recording.

    Raises
    ------
    DataProblem
        Unless every video and every place of presentation is there once, with twelve ratings inside the scale.
    """
    file = next((file for file in files if file.endswith(REMARKS)), None)
    if file is None:
        return []
    rows = matlab.structs(matlab.read_variable(root / file, file, "After_remark"), f"{file}: After_remark")
    if len(rows) != videos:
        raise DataProblem(f"{file}: After_remark", f"{len(rows)} rows", f"a struct array of {videos} rows", _CURE)
    by_trial: dict[float, tuple[float, dict[str, float]]] = {}
    for number, row in enumerate(rows, start=1):
        where = f"{file}: After_remark({number})"
        trial, video, score = (
            matlab.numbers(matlab.struct_field(row, name, where), f"{where}.{name}").ravel()
            for name in ("trial", "vid", "score")
        )
        if trial.size != 1 or video.size != 1 or score.size != len(RATINGS):
            found = f"{trial.size} trial numbers, {video.size} video numbers and {score.size} scores"
            raise DataProblem(where, found, f"1, 1 and {len(RATINGS)}", _CURE)
        by_trial[float(trial[0])] = (float(video[0]), check_ratings(score.tolist(), where))
    ordered = [by_trial[trial] for trial in sorted(by_trial)]
    for name, values in (("trial", list(by_trial)), ("vid", [video for video, _ in ordered])):
        if sorted(values) != list(range(1, videos + 1)):
            found = f"the numbers {numbers_text(f'{value:g}' for value in sorted(values))}"
            raise DataProblem(f"{file}: {name}", found, f"each of 1 to {videos} once", _CURE)
    return [(int(video), ratings) for video, ratings in ordered]

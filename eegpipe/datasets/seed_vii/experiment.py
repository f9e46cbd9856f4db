"""SEED-VII's experiment, the same in all its files: 20 people, four sessions, 20 clips in each, 80 in all.

Also the two tables that ``save_info`` holds for each session: which clip was shown and how strongly it worked
(``<stem>_save_info.csv``), and when each began and ended (``<stem>_trigger_info.csv``).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from eegpipe.datasets.base import SIMULATED_MARKER, Facts, simulated_marker
from eegpipe.datasets.folders import find_folder, matching, numbers_text, relative
from eegpipe.datasets.formats.tables import read_rows
from eegpipe.errors import DataProblem

SUBJECTS, SESSIONS, TRIALS = 20, 4, 20
LABELS = ("happy", "neutral", "disgust", "sad", "anger", "surprise", "fear")
# Each session is a block of ten, shown twice with other clips.
_BLOCKS = (
    "happy neutral disgust sad anger anger sad disgust neutral happy",
    "anger sad fear neutral surprise surprise neutral fear sad anger",
    "happy surprise disgust fear anger anger fear disgust surprise happy",
    "disgust sad fear surprise happy happy surprise fear sad disgust",
)
EMOTIONS = tuple(tuple(block.split() * 2) for block in _BLOCKS)  # of the 20 clips of each session
SEX = "MMFMMMFFFFMFMFMFMFFM"  # subjects 1..20
AGE = (26, 24, 25, 25, 20, 22, 22, 21, 24, 20, 24, 23, 21, 19, 22, 21, 23, 23, 23, 22)
SCORE, SCORE_SCALE = "score", (0.0, 1.0)

# The clips last 2 to 5 minutes; how long each is, is not published. A little less and more is let pass.
CLIP_S = (110.0, 310.0)
# In a simulated tree: how far a person's clip may differ from what the marker says.
SIMULATED_TOLERANCE_S = 1.5

SAVE_FOLDER = "save_info"
_PACKAGES = ("seed-vii", "seed_vii", "seedvii", "seed-7", "seed7")
# How the emotions may be spelt as folders of the clips; only "happy" is known from a file.
_SPELLINGS = {
    "happiness": "happy",
    "sadness": "sad",
    "angry": "anger",
    "surprised": "surprise",
    "disgusted": "disgust",
    "fearful": "fear",
} | {word: word for word in LABELS}
_CURE = "Copy the file from the vendor's save_info"


def expected(facts: Facts, root: Path) -> Facts:
    """The facts of a tree. A simulated one may hold fewer people and sessions, but no other clips."""
    shrunk = facts.expected(root)
    lengths = shrunk.sessions_trial_s
    right = shrunk.trials == facts.trials and shrunk.sessions <= facts.sessions
    right &= set(shrunk.numbers) <= set(facts.numbers)
    if lengths or simulated_marker(root):
        right &= len(lengths) >= shrunk.sessions and all(len(session) == facts.trials for session in lengths)
    if not right:
        raise DataProblem(
            SIMULATED_MARKER, "counts that SEED-VII does not have", f"{facts.trials} trials", "Simulate it again."
        )
    return shrunk


def folders(*names: str) -> tuple[str, ...]:
    """Names of folders to look into for the folder called ``names[0]``."""
    return (*names, *_PACKAGES)


def stimulus(session: int, trial: int) -> str:
    """The same clip has the same number in both variants: 20 x (session - 1) + place."""
    return f"seed_vii/{TRIALS * (session - 1) + trial:02d}"


def package(root: Path, folder: Path) -> tuple[Path, Path]:
    """The folder that holds the signal folder and ``save_info``, and the signal folder below it.

    It is ``root``, or a folder above if ``root`` is the signal folder itself (or its doubled name).
    """
    if not any((place / SAVE_FOLDER).is_dir() for place in (folder, *folder.parents) if place.is_relative_to(root)):
        above = root.resolve()
        while above.name.lower() == folder.resolve().name.lower() and above != above.parent:
            above = above.parent
            if (above / SAVE_FOLDER).is_dir():
                return above, root.resolve() / folder.relative_to(root)
    return root, folder


@dataclass
class SaveInfo:
    """What ``save_info`` holds: (subject, session) -> file, relative to the package."""

    found: bool
    files: Mapping[str, Mapping[tuple[int, int], list[str]]] = field(default_factory=dict)

    def of(self, kind: str, subject: int, session: int, stem: str | None = None) -> tuple[str, ...]:
        """The file of a recording: none or one. ``kind``: "save" or "trigger"; ``stem`` if the whole name is known."""
        files = self.files.get(kind, {}).get((subject, session), [])
        if stem is not None:
            files = [file for file in files if Path(file).name == f"{stem}_{kind}_info.csv"]
        return tuple(files[:1]) if len(files) == 1 else ()

    def problems(self, wanted: Mapping[tuple[int, int], str], kinds: Mapping[str, str]) -> list[DataProblem]:
        """What is missing or twice.

        Parameters
        ----------
        wanted
            (subject, session) -> the beginning of the names, ``"1_20221001_1"``, as far as it is known.
        kinds
            Kind -> what is lost without it.
        """
        if not self.found:
            expected = " and ".join(f"*_{kind}_info.csv" for kind in kinds)
            lost = "; ".join(kinds.values())
            return [DataProblem(SAVE_FOLDER, "no such folder", expected, f"Copy the vendor's save_info. {lost}.")]
        told = []
        for kind, lost in kinds.items():
            for (subject, session), stem in wanted.items():
                files = self.files.get(kind, {}).get((subject, session), [])
                name = f"{stem}_{kind}_info.csv"
                if len(files) > 1:
                    cure = "Take away the copy that is not the vendor's."
                    told.append(DataProblem(f"{SAVE_FOLDER}: {name}", numbers_text(files), "one file", cure))
                elif not files or ("*" not in stem and Path(files[0]).name != name):
                    found = files[0] if files else "no file"
                    told.append(DataProblem(f"{SAVE_FOLDER}: {name}", found, "that file", f"{_CURE}. {lost}."))
        return told


def save_info(base: Path) -> SaveInfo:
    """List the tables below a package."""
    pattern = re.compile(r"([0-9]{1,2})_([0-9]{8})_([1-4])_(save|trigger)_info\.csv")
    folder = find_folder(base, pattern, (SAVE_FOLDER, "eeg_raw", "eeg_preprocessed", *_PACKAGES))
    if folder is None:
        return SaveInfo(False)
    files: dict[str, dict[tuple[int, int], list[str]]] = {}
    for match, file in matching(folder, pattern):
        who = int(match[1]), int(match[3])
        files.setdefault(match[4], {}).setdefault(who, []).append(relative(file, base))
    return SaveInfo(True, files)


def read_scores(path: Path, where: str, session: int, trials: int) -> list[dict[str, float]]:
    """The ratings of each trial: ``{"score": 0.7}``, or nothing where no score was given.

    The path of each clip names its emotion, which must be that of the published order.
    """
    rows = read_rows(path, where)
    if len(rows) != trials:
        raise DataProblem(where, f"{len(rows)} rows", f"{trials}, one per clip", f"{_CURE}, or take it away.")
    ratings = []
    for trial, row in enumerate(rows, start=1):
        told = f"{where}: row {trial}"
        expected = EMOTIONS[session - 1][trial - 1]
        *folders_of, _ = re.split(r"[\\/]", row[0].lower())
        words = {_SPELLINGS[name] for name in folders_of if name in _SPELLINGS}
        if words != {expected}:
            found = f"a clip of {' and '.join(sorted(words))}" if words else "a path that names no emotion"
            cure = "This is the table of another session, or not the vendor's: copy it again, or take it away."
            raise DataProblem(told, found, f"a clip of {expected} (session {session})", cure)
        text = row[1] if len(row) > 1 else ""
        try:
            score = float(text) if text else math.nan
        except ValueError:
            score = math.inf
        low, high = SCORE_SCALE
        if not (math.isnan(score) or low <= score <= high):
            raise DataProblem(told, f"the score {text[:20]!r}", f"{low:g} to {high:g}", f"{_CURE}, or take it away.")
        ratings.append({} if math.isnan(score) else {SCORE: score})
    return ratings


def read_times(path: Path, where: str, trials: int) -> list[float]:
    """When each clip began and ended, in seconds of the day: begin, end, begin, end.

    Rows of other codes than 1 (begin) and 2 (end) are passed over.
    """
    times: list[float] = []
    codes: list[str] = []
    for number, row in enumerate(read_rows(path, where), start=1):
        if row[0] not in ("1", "2"):
            continue
        clock = re.search(r"(?:^|[ T])([0-9]{1,2}):([0-9]{2}):([0-9]{2}(?:\.[0-9]{1,9})?)$", row[1] if row[1:] else "")
        if clock is None:
            raise DataProblem(f"{where}: row {number}", "no time of day", "a date and a time", f"{_CURE}.")
        codes.append(row[0])
        times.append(3600 * int(clock[1]) + 60 * int(clock[2]) + float(clock[3]))
    if codes != ["1", "2"] * trials:
        raise DataProblem(
            where,
            f"{codes.count('1')} starts and {codes.count('2')} ends" + _alternating(codes),
            f"{trials} of each, in turn",
            f"{_CURE}, or take it away: then the marks of the recording alone are used.",
        )
    if any(later <= earlier for earlier, later in itertools.pairwise(times)):
        raise DataProblem(where, "times that run backwards", "times in order", f"{_CURE}.")
    return times


def _alternating(codes: list[str]) -> str:
    return "" if all(one != following for one, following in itertools.pairwise(codes)) else ", not in turn"


def implausible(seconds: float, facts: Facts, session: int, trial: int) -> str | None:
    """What a clip should last, if ``seconds`` cannot be right; None if they can."""
    durations = facts.durations(session)
    if durations is None:
        low, high = CLIP_S
    else:
        low, high = durations[trial - 1] - SIMULATED_TOLERANCE_S, durations[trial - 1] + SIMULATED_TOLERANCE_S
    return None if low <= seconds <= high else f"{low:g} to {high:g} s"

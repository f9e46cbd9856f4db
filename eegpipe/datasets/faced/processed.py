"""FACED, variant Processed_data: 123 subjects, 28 film clips, 30 scalp channels and 2 mastoids, last 30 s at 250 Hz.

The signal is a pickled array in order of video number; the ratings (``After_remarks.mat``) are in order of presentation
and are brought together by video number. The mastoids A2, A1 are the last two channels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from eegpipe import affect
from eegpipe.datasets.base import Discovery, Facts, RecordingEntry, simulated_marker
from eegpipe.datasets.folders import find_folder, matching, numbers_text, relative, stray_note
from eegpipe.datasets.formats import matlab
from eegpipe.datasets.formats.people import person
from eegpipe.datasets.formats.pickles import read_pickle
from eegpipe.datasets.signal import boundaries, eeg_channels, join
from eegpipe.errors import DataProblem
from eegpipe.recording import Event, Recording, RecordingId

_FILE = re.compile(r"sub([0-9]{3})\.pkl")
_SUBJECT_FOLDER = re.compile(r"sub([0-9]{3})")
_SIGNAL_FOLDERS = ("processed_data", "faced")
_REMARK_FOLDERS = ("data", "faced")  # the archive unpacks to Data/Data
SCALE = (0.0, 7.0)
_RATING_ORDER = "joy tenderness inspiration amusement anger disgust fear sadness arousal valence familiarity liking"
RATINGS = tuple(_RATING_ORDER.split())
_CURE = "Copy the file from the vendor's archive again."

# Emotion of videos 1..28 and the median over subjects of how long each was shown, in seconds. The signal ends where the
# video ends. Subjects 036-060 saw video 22 with 8 s more at its beginning, which leaves its end where it is.
LABELS = ("anger", "disgust", "fear", "sadness", "neutral", "amusement", "inspiration", "joy", "tenderness")
_VIDEO_LABEL = [word for word in LABELS for _ in range(4 if word == "neutral" else 3)]
_VIDEO_S = (
    81.138, 63.941, 73.214, 78.646, 69.383, 90.547, 56.085, 60.265, 105.804, 45.108, 60.156, 82.048, 35.099, 44.319,
    38.934, 43.065, 55.917, 69.707, 73.268, 129.118, 77.118, 75.802, 34.13, 37.259, 67.632, 63.123, 54.161, 77.475,
)  # fmt: skip

_ORDER = "Fp1 Fp2 Fz F3 F4 F7 F8 FC1 FC2 FC5 FC6 Cz C3 C4 T7 T8 CP1 CP2 CP5 CP6 Pz P3 P4 P7 P8 PO3 PO4 Oz O1 O2 A2 A1"

FACTS = Facts(
    subjects=123,
    people=tuple(range(123)),
    sessions=1,
    trials=28,
    rate_hz=250.0,
    channels=tuple(_ORDER.split()),
    trial_s=(30.0,) * 28,
    reference="average of all 32 channels, mastoids included",
    line_hz=50.0,
)

_HISTORY: Mapping[str, Mapping[str, str | float]] = {
    "Resampling": {"to (Hz)": 250.0},
    "Bandpass": {"low cutoff (Hz)": 0.05, "high cutoff (Hz)": 47.0},
    "Bad channel interpolation": {"method": "by the data set's authors"},
    "ICA": {"method": "FastICA, components like Fp1 and Fp2 removed"},
    "Re-reference": {"reference": "average"},
}


def recognise(root: Path) -> bool:
    return find_folder(root, _FILE, _SIGNAL_FOLDERS) is not None


def discover(root: Path) -> Discovery:
    facts = FACTS.expected(root)
    found = Discovery(root, [], simulated=simulated_marker(root) is not None)
    folder = find_folder(root, _FILE, _SIGNAL_FOLDERS)
    if folder is None:
        found.problems.append(
            DataProblem(
                "FACED folder",
                "no file like sub000.pkl",
                f"{facts.subjects} files in Processed_data",
                "Name the folder that holds Processed_data (and Data), or Processed_data itself.",
            )
        )
        return found
    subjects = {int(match[1]): file for match, file in matching(folder, _FILE)}
    wanted = facts.numbers
    expected = f"sub000.pkl to sub{facts.subjects - 1:03d}.pkl"
    where = relative(folder, root)
    if missing := [f"sub{number:03d}.pkl" for number in wanted if number not in subjects]:
        found.problems.append(DataProblem(where, f"no {numbers_text(missing)}", expected, _CURE))
    if extra := [file.name for number, file in subjects.items() if number not in wanted]:
        cure = "Take these files away if they are not the vendor's."
        found.problems.append(DataProblem(where, f"also {numbers_text(extra)}", expected, cure))

    remarks = _remarks(root)
    info = tuple(relative(file, root) for file in (root / "Recording_info.csv",) if file.is_file())
    without = []
    for number in wanted:
        if number not in subjects:
            continue
        own = (relative(remarks[number], root),) if number in remarks else ()
        if not own:
            without.append(f"sub{number:03d}")
        files = (relative(subjects[number], root), *own, *info)
        found.entries.append(RecordingEntry(RecordingId(f"{number:03d}"), files))
    if without:
        found.problems.append(
            DataProblem(
                "Data",
                f"no After_remarks.mat for {numbers_text(without)}",
                "Data/sub000/After_remarks.mat and so on: the ratings",
                "Copy Data/ beside Processed_data and name the folder that holds both. "
                "Without it, valence and arousal are those of the emotion words.",
            )
        )
    found.notes += stray_note(folder, root, [_FILE, re.compile(r"(?i)readme.*|.*\.(json|csv|xlsx|md)|\..*")])
    return found


def _remarks(root: Path) -> dict[int, Path]:
    """Subject number -> After_remarks.mat, below the user's folder."""
    data = find_folder(root, _SUBJECT_FOLDER, _REMARK_FOLDERS)
    folders = sorted(data.iterdir()) if data else []
    matches = ((_SUBJECT_FOLDER.fullmatch(folder.name), folder / "After_remarks.mat") for folder in folders)
    return {int(match[1]): file for match, file in matches if match and file.is_file()}


def read(root: Path, entry: RecordingEntry) -> Recording:
    facts = FACTS.expected(root)
    assert facts.trial_s is not None
    signal = entry.files[0]
    lengths = [round(facts.rate_hz * duration) for duration in facts.trial_s]
    shape = (facts.trials, len(facts.channels), lengths[0])
    data = read_pickle(root / signal, signal, largest=5 * int(np.prod(shape)) * 8 + 2**20)
    if not isinstance(data, np.ndarray) or data.dtype.kind != "f" or data.shape != shape:
        kind = f"{data.dtype} of shape {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataProblem(signal, kind, f"float64 of shape {shape}: video x channel x sample", _CURE)
    remarks = next((file for file in entry.files if file.endswith("After_remarks.mat")), None)
    ratings = _ratings(root, remarks, facts.trials) if remarks else {}
    people = next((file for file in entry.files if file.endswith(".csv")), None)
    sex, age = person(root / people, people, int(entry.id.subject), column="sub") if people else (None, None)

    blocks = ((f"{signal}: video {video}", block) for video, block in enumerate(data, start=1))
    raw = join(blocks, lengths, eeg_channels(facts.channels), facts.rate_hz, facts.line_hz)
    events = boundaries(lengths, facts.rate_hz)
    for index, length in enumerate(lengths):
        video = index + 1
        duration_s = length / facts.rate_hz
        own = ratings.get(video)
        events.append(
            Event(
                onset_s=sum(lengths[:index]) / facts.rate_hz,
                duration_s=duration_s,
                kind="stimulus",
                trial=video,
                stimulus=f"faced/{video:02d}",
                stimulus_offset_s=_VIDEO_S[index] - duration_s,
                label=_VIDEO_LABEL[index],
                ratings=own or {},
                affect=affect.from_rating(own["valence"], own["arousal"], SCALE)
                if own
                else affect.from_word(_VIDEO_LABEL[index]),
            )
        )
    return Recording(entry.id, raw, events, facts.reference, facts.line_hz, _HISTORY, sex=sex, age=age)


def _ratings(root: Path, file: str, videos: int) -> dict[int, dict[str, float]]:
    """Video number -> ratings. Rows of the file are in order of presentation."""
    rows = matlab.structs(matlab.read_variable(root / file, file, "After_remark"), f"{file}: After_remark")
    if len(rows) != videos:
        raise DataProblem(f"{file}: After_remark", f"{len(rows)} rows", f"a struct array of {videos} rows", _CURE)
    low, high = SCALE
    by_video: dict[int, dict[str, float]] = {}
    for number, row in enumerate(rows, start=1):
        where = f"{file}: After_remark({number})"
        vid = matlab.numbers(matlab.struct_field(row, "vid", where), f"{where}.vid").ravel()
        score = matlab.numbers(matlab.struct_field(row, "score", where), f"{where}.score").ravel()
        if vid.size != 1 or score.size != len(RATINGS):
            found = f"{vid.size} video numbers and {score.size} scores"
            raise DataProblem(where, found, f"1 and {len(RATINGS)}", _CURE)
        inside = (score >= low) & (score <= high)
        if not inside.all():
            item = int(np.argmin(inside))
            raise DataProblem(where, f"{RATINGS[item]} {score[item]:g}", f"{low:g} to {high:g}", _CURE)
        by_video[int(vid[0])] = dict(zip(RATINGS, map(float, score), strict=True))
    if sorted(by_video) != list(range(1, videos + 1)):
        found = f"the videos {numbers_text(sorted(by_video))}"
        raise DataProblem(f"{file}: vid", found, f"each of 1 to {videos} once", _CURE)
    return by_video

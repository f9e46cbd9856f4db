"""MAHNOB-HCI, emotion part: one BioSemi file a trial, beside a ``session.xml`` that says who saw what and how it felt.

The files of a subject are joined in order of trial. In each, the clip lies between the two rising edges of the status
channel, with 30 s before and after it; the code of the pulses is not published, so none is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eegpipe import affect
from eegpipe.datasets.base import Discovery, Facts, RecordingEntry, simulated_marker
from eegpipe.datasets.folders import find_folder, natural_key, numbers_text, relative
from eegpipe.datasets.formats.edf import EdfHeader, read_counts, read_header, read_values
from eegpipe.datasets.mahnob_hci.session import Session, read_session
from eegpipe.datasets.signal import Channel, boundaries, eeg_channels, join
from eegpipe.errors import DataProblem
from eegpipe.recording import Event, Recording, RecordingId

_FILE = re.compile(r"Part_([0-9]{1,2})_([SN])_Trial([0-9]{1,2})_emotion\.bdf")
_SESSION = re.compile(r"[0-9]{1,5}")
_FOLDERS = ("sessions", "mahnob_hci", "mahnob-hci", "mahnob", "hci-tagging", "hci-tagging-database", "hci_tagging")
_CURE = "Download the session again from mahnob-db.eu/hci-tagging."

# Clips by the name of their file, and their seconds.
CLIPS = {
    "69": 58.0, "55": 76.0, "58": 58.0, "earworm_f": 53.0, "53": 104.0, "80": 96.0, "52": 96.0, "79": 42.0,
    "73": 71.0, "90": 85.0, "107": 34.0, "146": 87.0, "30": 70.0, "138": 116.0, "newyork_f": 89.0, "111": 113.0,
    "detroit_f": 89.0, "cats_f": 98.0, "dallas_f": 89.0, "funny_f": 87.0,
}  # fmt: skip
_CLIP_TOLERANCE_S = 1.0
_AROUND_S, _AROUND_TOLERANCE_S = 30.0, 2.0  # before and after the clip

# feltEmo. Codes 7 to 10 (scream, bored, sleepy, unknown) are on the list of keywords, but no trial has them.
WORDS = {
    0: "neutral", 1: "anger", 2: "disgust", 3: "fear", 4: "joy", 5: "sadness", 6: "surprise", 11: "amusement",
    12: "anxiety",
}  # fmt: skip
_WORDLESS = {7: "scream", 8: "bored", 9: "sleepy", 10: "unknown"}
SCALE = (1.0, 9.0)
RATINGS = {"arousal": "feltArsl", "valence": "feltVlnc", "control": "feltCtrl", "predictability": "feltPred"}

# Trials of the subjects that have fewer than 20; session 1984 of subject 16 names no clip.
INCOMPLETE = {3: (17,), 9: (14,), 16: (16, 17)}

_ORDER = "Fp1 AF3 F3 F7 FC5 FC1 C3 T7 CP5 CP1 P3 P7 PO3 O1 Oz Pz Fp2 AF4 Fz F4 F8 FC6 FC2 Cz C4 T8 CP6 CP2 P4 P8 PO4 O2"
_EEG = tuple(_ORDER.split())
# Labels as the amplifier's software writes them. Voltages from the chest (1 to 3) and unused sockets, then sensors in
# units of their own.
_VOLTAGES = tuple(Channel(f"EXG{number}", "ecg" if number <= 3 else "misc") for number in range(1, 9))
_SENSORS = tuple(Channel(name, "misc", volts=False) for name in ("GSR1", "GSR2", "Erg1", "Erg2", "Resp", "Temp"))
_STATUS = "Status"
_TRIGGER_BITS = 0xFFFF  # above them: epoch, battery and range of the amplifier

FACTS = Facts(
    subjects=27,
    sessions=1,
    trials=20,
    rate_hz=256.0,
    channels=(*_EEG, *(channel.name for channel in (*_VOLTAGES, *_SENSORS)), _STATUS),
    trial_s=tuple(CLIPS.values()),  # in the order of CLIPS: every subject saw them in an order of their own
    reference="none (BioSemi CMS/DRL)",
    line_hz=50.0,
    people=tuple(number for number in range(1, 31) if number not in (12, 15, 26)),
)


def recognise(root: Path) -> bool:
    folder = find_folder(root, _SESSION, _FOLDERS)
    return folder is not None and any(True for _ in _recordings(folder))


def _recordings(folder: Path) -> Iterator[tuple[re.Match[str], Path]]:
    for session in sorted(folder.iterdir(), key=lambda child: natural_key(child.name)):
        if _SESSION.fullmatch(session.name) and session.is_dir():
            for file in sorted(session.iterdir(), key=lambda child: natural_key(child.name)):
                if match := _FILE.fullmatch(file.name):
                    yield match, file


def discover(root: Path) -> Discovery:
    facts = FACTS.expected(root)
    found = Discovery(root, [], simulated=simulated_marker(root) is not None)
    folder = find_folder(root, _SESSION, _FOLDERS)
    trials: dict[int, dict[int, list[Path]]] = {}
    neutral = 0
    for match, file in _recordings(folder) if folder else ():
        if match[2] == "N":
            neutral += 1
        else:
            trials.setdefault(int(match[1]), {}).setdefault(int(match[3]), []).append(file)
    if folder is None or not trials:
        found.problems.append(
            DataProblem(
                "MAHNOB-HCI folder",
                "no file like Sessions/2/Part_1_S_Trial1_emotion.bdf",
                f"the sessions of {facts.subjects} subjects",
                "Name the folder that holds Sessions, or that folder itself.",
            )
        )
        return found
    where = relative(folder, root)
    for subject in sorted(set(trials) | set(facts.numbers)):
        place = f"{where}: subject {subject}"
        mine = trials.get(subject, {})
        if subject not in facts.numbers:
            cure = "Take these sessions away: the published trials have none of this subject."
            unknown = f"{len(mine)} trials of an unknown subject"
            found.problems.append(DataProblem(place, unknown, f"subjects {numbers_text(facts.numbers)}", cure))
            continue
        if twice := sorted(number for number, copies in mine.items() if len(copies) > 1):
            cure = "Take the copies away; their names do not tell which is the vendor's."
            found.problems.append(DataProblem(place, f"trials {numbers_text(twice)} twice", "each trial once", cure))
            continue
        expected = INCOMPLETE.get(subject, (facts.trials,))
        if len(mine) not in expected:
            wanted = " or ".join(map(str, expected))
            found.problems.append(DataProblem(place, f"{len(mine)} trials", f"{wanted} trials", _CURE))
        files: list[str] = []
        for _, (file,) in sorted(mine.items()):
            description = file.with_name("session.xml")
            if not description.is_file():
                at = relative(description, root)
                found.problems.append(DataProblem(at, "no file", "what was shown and felt", _CURE))
                continue
            files += [relative(file, root), relative(description, root)]
        if files:
            found.entries.append(RecordingEntry(RecordingId(f"{subject:02d}"), tuple(files)))
    sessions = [child for child in folder.iterdir() if _SESSION.fullmatch(child.name) and child.is_dir()]
    if neutral:
        found.notes.append(f"Not read: {neutral} sessions of neutral clips, which have no label and no rating.")
    if empty := len(sessions) - neutral - sum(len(files) for mine in trials.values() for files in mine.values()):
        found.notes.append(f"Not read: {empty} sessions without a file of the emotion part.")
    return found


@dataclass(frozen=True)
class _Trial:
    """One file: where the clip lies in it (samples), and what is known of the clip."""

    number: int
    file: str
    header: EdfHeader
    session: Session
    first: int
    stop: int

    @property
    def samples(self) -> int:
        return self.header.records * self.header.samples_per_record[0]


def read(root: Path, entry: RecordingEntry) -> Recording:
    facts = FACTS.expected(root)
    notes: list[str] = []
    trials = []
    for file, description in zip(entry.files[::2], entry.files[1::2], strict=True):
        match = _FILE.fullmatch(Path(file).name)
        assert match is not None
        session = read_session(root / description, description)
        _check_session(session, int(match[1]), int(match[3]), description)
        if session.media is None:
            notes.append(f"Trial {match[3]} is left out: {description} names no clip.")
            continue
        trials.append(_trial(root, file, int(match[3]), session, facts))
    if not trials:
        raise DataProblem(entry.files[0], "no trial with a clip", "at least one", _CURE)
    if any(trial.header.labels != FACTS.channels for trial in trials):
        notes.append("The channels stand in another order than usual and were taken by their names.")

    def blocks() -> Iterator[tuple[str, np.ndarray]]:
        for trial in trials:
            picks = [trial.header.labels.index(label) for label in FACTS.channels if label != _STATUS]
            yield trial.file, read_values(root / trial.file, trial.header, picks)

    lengths = [trial.samples for trial in trials]
    layout = [*eeg_channels(_EEG), *_VOLTAGES, *_SENSORS]
    raw = join(blocks(), lengths, layout, facts.rate_hz, facts.line_hz)
    events = boundaries(lengths, facts.rate_hz)
    for trial, start in zip(trials, np.cumsum([0, *lengths[:-1]]).tolist(), strict=True):
        events.append(Event(start / facts.rate_hz, trial.first / facts.rate_hz, "baseline", trial=trial.number))
        ratings = _ratings(trial.session, notes)
        own = ratings or {"valence": np.nan, "arousal": np.nan}
        events.append(
            Event(
                onset_s=(start + trial.first) / facts.rate_hz,
                duration_s=(trial.stop - trial.first) / facts.rate_hz,
                kind="stimulus",
                trial=trial.number,
                stimulus=f"mahnob_hci/{trial.session.media}",
                label=_label(trial.session, notes),
                ratings=ratings,
                affect=affect.from_rating(own["valence"], own["arousal"], SCALE),
            )
        )
    return Recording(entry.id, raw, events, facts.reference, facts.line_hz, notes=tuple(notes))


def _check_session(session: Session, subject: int, trial: int, where: str) -> None:
    """The description belongs to the file: the same subject, and the cut of that trial (2, 4, ... of the session)."""
    if session.subject not in (None, subject):
        raise DataProblem(f"{where}: subject", str(session.subject), f"{subject} as in the .bdf file's name", _CURE)
    cut = session.whole("cutNr")
    if cut is not None and cut // 2 != trial:
        raise DataProblem(f"{where}: cutNr", str(cut), f"{2 * trial}: trial {trial} as in the .bdf file's name", _CURE)


def _trial(root: Path, file: str, number: int, session: Session, facts: Facts) -> _Trial:
    header = read_header(root / file, file)
    if sorted(header.labels) != sorted(FACTS.channels):
        other = [label for label in header.labels if label not in FACTS.channels]
        missing = [label for label in FACTS.channels if label not in header.labels]
        text = f"{len(header.labels)} channels; not known: {numbers_text(other) or 'none'}"
        expected = f"{len(FACTS.channels)} channels; missing: {numbers_text(missing) or 'none'}"
        raise DataProblem(f"{file}: channels", text, expected, _CURE)
    rates = {header.rate_hz(index) for index in header.signals}
    if rates != {FACTS.rate_hz}:
        text = numbers_text(f"{rate:g}" for rate in sorted(rates))
        raise DataProblem(f"{file}: rate", f"{text} Hz", f"{FACTS.rate_hz:g} Hz", _CURE)
    volts = {*_EEG, *(channel.name for channel in _VOLTAGES)}
    units = zip(header.labels, header.units, strict=True)
    if wrong := [f"{label} in {unit!r}" for label, unit in units if label in volts and unit not in ("uV", "µV")]:
        raise DataProblem(f"{file}: units", numbers_text(wrong[:5]), "uV", _CURE)
    (words,) = read_counts(root / file, header, [header.labels.index(_STATUS)])
    edges = np.flatnonzero(np.diff(words & _TRIGGER_BITS) > 0) + 1
    if len(edges) != 2:
        at = f" (at {numbers_text(f'{edge / FACTS.rate_hz:.2f} s' for edge in edges)})" if len(edges) else ""
        expected = "two, where the clip starts and ends"
        raise DataProblem(f"{file}: {_STATUS}", f"{len(edges)} pulses{at}", expected, _CURE)
    first, stop = (int(edge) for edge in edges)
    assert session.media is not None
    clip_s = _clip_seconds(session.media, facts, file)
    shown_s = (stop - first) / FACTS.rate_hz
    if abs(shown_s - clip_s) > _CLIP_TOLERANCE_S:
        expected = f"{clip_s:g} s, the length of {session.media}.avi"
        raise DataProblem(f"{file}: clip", f"{shown_s:.2f} s between the pulses", expected, _CURE)
    around = (first / FACTS.rate_hz, (len(words) - stop) / FACTS.rate_hz)
    # A simulated tree may shorten durations, and its marker lists those of the clips only.
    low = 1.0 if simulated_marker(root) else _AROUND_S - _AROUND_TOLERANCE_S
    if not all(low <= seconds <= _AROUND_S + _AROUND_TOLERANCE_S for seconds in around):
        text = f"{around[0]:.1f} s before and {around[1]:.1f} s after the clip"
        raise DataProblem(f"{file}: {_STATUS}", text, f"{_AROUND_S:g} s each", _CURE)
    return _Trial(number, file, header, session, first, stop)


def _clip_seconds(media: str, facts: Facts, file: str) -> float:
    assert facts.trial_s is not None
    if media not in CLIPS:
        expected = f"one of {', '.join(CLIPS)}"
        raise DataProblem(f"{Path(file).parent.as_posix()}/session.xml: mediaFile", f"{media}.avi", expected, _CURE)
    return facts.trial_s[list(CLIPS).index(media)]


def _ratings(session: Session, notes: list[str]) -> dict[str, float]:
    """The four ratings by name; empty, with a note, if the session has none."""
    values = {name: session.whole(attribute) for name, attribute in RATINGS.items()}
    if all(value is None for value in values.values()):
        notes.append(f"{session.where} holds no ratings.")
        return {}
    ratings = {}
    for name, value in values.items():
        if value is None or not SCALE[0] <= value <= SCALE[1]:
            text = "nothing" if value is None else str(value)
            expected = f"a whole number from {SCALE[0]:g} to {SCALE[1]:g}"
            raise DataProblem(f"{session.where}: {RATINGS[name]}", text, expected, _CURE)
        ratings[name] = float(value)
    return ratings


def _label(session: Session, notes: list[str]) -> str | None:
    code = session.whole("feltEmo")
    if code is None or code in _WORDLESS:
        word = _WORDLESS[code] if code is not None else "none"
        notes.append(f"{session.where}: the emotion keyword is '{word}', which is no class; the trial has no label.")
        return None
    if code not in WORDS:
        raise DataProblem(f"{session.where}: feltEmo", str(code), "an emotion keyword from 0 to 12", _CURE)
    return WORDS[code]

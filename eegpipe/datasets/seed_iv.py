"""SEED-IV: 15 subjects x 3 sessions x 24 film clips, 62 channels, 200 Hz, microvolt; its simulator is at the end.

One MATLAB file a session, one variable a trial, as in SEED, but with other clips in every session. The session is the
folder's name. The files are called raw and hold 200 Hz. The letters before ``_eeg<number>`` differ per subject, and
``_eeg10`` sorts before ``_eeg2`` as text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from eegpipe import affect
from eegpipe.datasets.base import (
    SIMULATED_MARKER,
    Dataset,
    Discovery,
    Facts,
    Irregularity,
    RecordingEntry,
    Variant,
    simulated_marker,
)
from eegpipe.datasets.folders import find_folder, matching, numbers_text, relative, stray_note
from eegpipe.datasets.formats import bcmi, matlab
from eegpipe.datasets.signal import eeg_channels
from eegpipe.errors import DataProblem
from eegpipe.progress import Advance
from eegpipe.recording import Recording, RecordingId
from eegpipe.simulate.affective import WORDS
from eegpipe.simulate.brain import draw_person
from eegpipe.simulate.containers import write_mat
from eegpipe.simulate.head import SEED_REFERENCE
from eegpipe.simulate.plan import Clip, Design, Plan
from eegpipe.simulate.record import Amplifier, Block, record
from eegpipe.simulate.simulator import Simulator
from eegpipe.simulate.truth import Shown, Truth

_FILE = re.compile(r"([0-9]{1,2})_([0-9]{8})\.mat")
_SESSION_FOLDER = re.compile(r"[1-3]")
_SIDE_FILE = re.compile(r"(?i)readme.*|channel.order.*|channel_62_pos\.locs|.*\.json|\..*")
_README = re.compile(r"(?i)readme(\.txt|\.md)?")
_README_LABELS = re.compile(r"session\s*([1-3])_label\s*=\s*\[([^\]]*)\]", re.IGNORECASE)
_LARGEST_README = 1 << 20
_FOLDERS = ("eeg_raw_data", "seed_iv", "seed-iv", "seediv")
# These folders hold files of the same names in the same session folders, which are no signals.
_NO_SIGNAL = ("eeg_feature_smooth", "eye_raw_data", "eye_feature_smooth")
# The storage type is not published; floating point is expected.
_KINDS = ("double", "single")
_COPY = "Copy the file from the vendor's eeg_raw_data."

_WORDS = {0: "neutral", 1: "sad", 2: "fear", 3: "happy"}
LABEL_SEQUENCE = (  # of the 24 clips of each session
    (1, 2, 3, 0, 2, 0, 0, 1, 0, 1, 2, 1, 1, 1, 2, 3, 2, 2, 3, 3, 0, 3, 0, 3),
    (2, 1, 3, 0, 0, 2, 0, 2, 3, 3, 2, 3, 2, 0, 1, 1, 2, 1, 0, 3, 0, 1, 3, 1),
    (1, 2, 2, 1, 3, 3, 3, 1, 1, 2, 1, 0, 2, 3, 3, 0, 2, 3, 0, 0, 2, 0, 1, 0),
)
# Whole windows of 4 s in each trial, from the vendor's features. The seconds themselves are not published.
WINDOW_S = 4
WINDOWS = (
    (42, 23, 49, 32, 22, 40, 38, 52, 36, 42, 12, 27, 54, 42, 64, 35, 17, 44, 35, 12, 28, 28, 43, 34),
    (55, 25, 34, 36, 53, 27, 34, 46, 34, 20, 60, 12, 36, 27, 44, 15, 46, 49, 45, 10, 37, 44, 24, 19),
    (42, 32, 23, 45, 48, 26, 64, 23, 26, 16, 51, 41, 39, 19, 28, 44, 14, 17, 45, 22, 39, 38, 41, 39),
)
_DATES = (  # of subjects 1 to 15 in each session
    "20160518 20150915 20150919 20151111 20160406 20150507 20150715 20151103 20151028 20151014 20150916 20150725 "
    "20151115 20151205 20150508",
    "20161125 20150920 20151018 20151118 20160413 20150511 20150717 20151110 20151119 20151021 20150921 20150804 "
    "20151125 20151208 20150514",
    "20161126 20151012 20151101 20151123 20160420 20150512 20150721 20151117 20151209 20151023 20151011 20150807 "
    "20161130 20151215 20150527",
)
DATES = tuple(tuple(dates.split()) for dates in _DATES)
_SEX = "MMFFFMMFFFFMMFF"  # subjects 1..15

FACTS = Facts(
    subjects=15,
    sessions=3,
    trials=24,
    rate_hz=bcmi.RATE_HZ,
    channels=bcmi.ORDER_62,
    reference=bcmi.REFERENCE,
    line_hz=50.0,
)

# Whether the files are also band-passed is not known.
_HISTORY: Mapping[str, Mapping[str, str | float]] = {"Downsampling": {"from (Hz)": 1000.0, "to (Hz)": 200.0}}


def _expected(root: Path) -> Facts:
    """The facts of a tree. A simulated one may hold fewer people and sessions, but no other clips."""
    shrunk = FACTS.expected(root)
    lengths = shrunk.sessions_trial_s
    right = shrunk.trials == FACTS.trials and shrunk.sessions <= FACTS.sessions
    right &= set(shrunk.numbers) <= set(FACTS.numbers)
    if lengths or simulated_marker(root):
        right &= len(lengths) >= shrunk.sessions and all(len(session) == FACTS.trials for session in lengths)
    if not right:
        cure = "Simulate the data set again."
        raise DataProblem(SIMULATED_MARKER, "counts that SEED-IV does not have", f"{FACTS.trials} trials", cure)
    return shrunk


def _signal_folder(root: Path) -> Path | None:
    """The folder that holds the session folders 1, 2, 3 with signals in them."""
    folder = find_folder(root, _SESSION_FOLDER, _FOLDERS)
    if folder is None or folder.resolve().name.lower() in _NO_SIGNAL:
        return None
    sessions = [child for child in folder.iterdir() if _SESSION_FOLDER.fullmatch(child.name) and child.is_dir()]
    return folder if any(_FILE.fullmatch(file.name) for session in sessions for file in session.iterdir()) else None


def _recognise(root: Path) -> bool:
    return _signal_folder(root) is not None


def _discover(root: Path) -> Discovery:
    facts = _expected(root)
    found = Discovery(root, [], simulated=simulated_marker(root) is not None)
    folder = _signal_folder(root)
    if folder is None:
        other = root.resolve().name.lower() in _NO_SIGNAL
        found.problems.append(
            DataProblem(
                "SEED-IV folder",
                f"the folder {root.name}, which holds no signals" if other else "no file like 1/1_20160518.mat",
                f"folders 1 to {facts.sessions} of {facts.subjects} files each in eeg_raw_data",
                "Name the folder that holds eeg_raw_data, or that folder itself.",
            )
        )
        return found
    readme = _readme(root, folder)
    shared = (relative(readme, root),) if readme else ()
    if not shared:
        found.notes.append("No ReadMe.txt: the published sequence of labels is used.")
    found.notes += stray_note(folder, root, [_SIDE_FILE])
    files: dict[tuple[int, int], list[tuple[str, Path]]] = {}  # (subject, session) -> dates and files
    for session in range(1, facts.sessions + 1):
        inside = folder / str(session)
        if inside.is_dir():
            for match, file in matching(inside, _FILE):
                files.setdefault((int(match[1]), session), []).append((match[2], file))
            found.notes += stray_note(inside, root, [_FILE, _SIDE_FILE])
    for subject in sorted({subject for subject, _ in files} | set(facts.numbers)):
        for session in range(1, facts.sessions + 1):
            here = files.get((subject, session), [])
            where = f"{relative(folder / str(session), root)}: subject {subject}"
            problem = _count_problem(where, subject, here, facts)
            if problem is None:
                date, file = here[0]
                problem = _date_problem(relative(file, root), subject, session, date)
                if problem is None:
                    id = RecordingId(f"{subject:02d}", str(session))
                    found.entries.append(RecordingEntry(id, (relative(file, root), *shared)))
            if problem and (subject in facts.numbers or here):
                found.problems.append(problem)
    return found


def _count_problem(where: str, subject: int, here: list[tuple[str, Path]], facts: Facts) -> DataProblem | None:
    if subject not in facts.numbers:
        cure = "Take the file away if it is not the vendor's."
        return DataProblem(where, "an unknown subject", f"subjects {numbers_text(facts.numbers)}", cure)
    if len(here) == 1:
        return None
    cure = "Copy the missing file." if not here else "Take away the file that is not the vendor's."
    dated = f" ({numbers_text(date for date, _ in here)})" if here else ""
    return DataProblem(where, f"{len(here)} files{dated}", "one file in each session's folder", cure)


def _date_problem(where: str, subject: int, session: int, date: str) -> DataProblem | None:
    """A file that is known to belong to another session would get the labels of other clips."""
    published = [dates[subject - 1] for dates in DATES]
    if date == published[session - 1]:
        return None
    found = f"the file of session {published.index(date) + 1}" if date in published else "a date that is not published"
    cure = "The session is the folder's name: put every file where the vendor's archive has it."
    return DataProblem(where, found, f"{subject}_{published[session - 1]}.mat in folder {session}", cure)


def _readme(root: Path, folder: Path) -> Path | None:
    """The ReadMe beside the signal folder or above it, not outside ``root``."""
    for place in (folder, *folder.parents):
        if place.is_relative_to(root) and (files := matching(place, _README)):
            return files[0][1]
    return None


def _read(root: Path, entry: RecordingEntry) -> Recording:
    facts = _expected(root)
    subject, session = int(entry.id.subject), int(entry.id.session or 0)
    signal, *readme = entry.files
    codes = LABEL_SEQUENCE[session - 1]
    if readme:
        _check_labels(root / readme[0], readme[0], session)
    keys, lengths = _trials(root / signal, signal, session, facts)
    trials = [
        bcmi.CutTrial(trial, key, length, f"seed_iv/{_clip(session, trial):02d}", _WORDS[code], f"trial {trial}")
        for trial, (key, length, code) in enumerate(zip(keys, lengths, codes, strict=True), start=1)
    ]
    return bcmi.read_cut(entry.id, root / signal, signal, trials, facts, _HISTORY, sex=_SEX[subject - 1])


def _clip(session: int, trial: int) -> int:
    """1 to 72: every session has clips of its own."""
    return FACTS.trials * (session - 1) + trial


def _check_labels(path: Path, where: str, session: int) -> None:
    """Compare ``session1_label=[...]`` with the published sequence; a ReadMe that lists none says nothing."""
    if path.stat().st_size > _LARGEST_README:
        raise DataProblem(where, f"{path.stat().st_size} bytes", "a short text", "Copy the vendor's ReadMe.txt.")
    listed = dict(_README_LABELS.findall(path.read_text(encoding="utf-8", errors="replace")))
    if str(session) not in listed:
        return
    values = [value.strip() for value in listed[str(session)].split(",")]
    expected = list(map(str, LABEL_SEQUENCE[session - 1]))
    if values != expected:
        raise DataProblem(
            f"{where}: session{session}_label",
            f"the labels {', '.join(values[:24])[:100]}",
            ", ".join(expected),
            "This is not SEED-IV's ReadMe.txt: copy it from the vendor's archive, or take it away.",
        )


def _trials(path: Path, where: str, session: int, facts: Facts) -> tuple[list[str], list[int]]:
    """The variable and the samples of every trial in order, after a check of names and shapes that reads no signal."""
    variables = matlab.list_variables(path, where)
    keys = bcmi.trial_keys(variables, facts.trials, where, "eeg_raw_data")
    durations = facts.durations(session)
    lengths = []
    for number, key in enumerate(keys, start=1):
        shape, kind = variables[key]
        told = f"{where}: trial {number}"
        rows, length = shape if len(shape) == 2 else (0, 0)
        if rows != len(facts.channels) or kind not in _KINDS:
            expected = f"double of shape ({len(facts.channels)}, samples)"
            raise DataProblem(told, f"{kind} of shape {shape}", expected, _COPY)
        if durations:
            fits, seconds = length == round(facts.rate_hz * durations[number - 1]) + 1, f"{durations[number - 1]:g}"
        else:
            whole, rest = divmod(length - 1, round(facts.rate_hz))
            windows = WINDOWS[session - 1][number - 1]
            fits = rest == 0 and whole // WINDOW_S == windows
            seconds = f"{WINDOW_S * windows} to {WINDOW_S * windows + WINDOW_S - 1}"
        if not fits:
            raise DataProblem(
                told,
                f"{length} samples",
                f"200 Hz x {seconds} whole seconds + 1 (session {session})",
                f"{_COPY} Files that lie in another session's folder, or that were resampled, look like this.",
            )
        lengths.append(length)
    return keys, lengths


# --- simulator --------------------------------------------------------------------------------------------------------

# Six lengths were reported by readers of the files; the other trials last as long as their windows, or 1 to 3 s more.
_REPORTED_S = {(1, 1): 168, (1, 2): 95, (1, 3): 199, (1, 8): 209, (1, 18): 179, (1, 20): 48}


def _seconds(session: int, trial: int) -> int:
    invented = WINDOW_S * WINDOWS[session - 1][trial - 1] + (session + 7 * trial) % WINDOW_S
    return _REPORTED_S.get((session, trial), invented)


def _clips(session: int) -> tuple[Clip, ...]:
    return tuple(
        Clip(_clip(session, trial), WORDS[_WORDS[code]], _WORDS[code], _seconds(session, trial))
        for trial, code in enumerate(LABEL_SEQUENCE[session - 1], start=1)
    )


DESIGN = Design(
    name="seed_iv",
    people=tuple(range(1, 16)),
    sessions=3,
    clips=_clips(1),
    sessions_clips=tuple(_clips(session) for session in (1, 2, 3)),
    trap_people=(2, 10),
)

AMPLIFIER = Amplifier(
    channels=tuple(channel.name for channel in eeg_channels(FACTS.channels)),
    rate_hz=200.0,
    reference=(SEED_REFERENCE,),
    band_hz=(0.0, 75.0),
    noise_uv=0.8,
    line_uv=1.5,
    drift_uv=8.0,
    bad_channels=1.0,
    step_uv=1e6 / 2**25,
)

# Every person has letters of their own before "_eeg1", two or three. These are invented.
_PREFIXES = ("za", "zbb", "zc", "zdd", "zee", "zff", "zg", "zhh", "zii", "zjj", "zk", "zll", "zmm", "zn", "zoo")
_BANDS_HZ = ((1, 4), (4, 8), (8, 14), (14, 31), (31, 50))
_README_TEXT = """The labels of the three sessions of the SEED-IV dataset are as follows,
session1_label = [{}];
session2_label = [{}];
session3_label = [{}];
The labels with 0, 1, 2, and 3 denote the ground truth, neutral, sad, fear, and happy emotions, respectively.
"""


def write(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> None:
    """Write ``eeg_raw_data`` and ``ReadMe.txt``.

    With traps also ``eeg_feature_smooth``, whose files have the same names, and variables in the order of their names
    as text.
    """
    sequences = [",".join(map(str, codes)) for codes in LABEL_SEQUENCE]
    (folder / "ReadMe.txt").write_text(_README_TEXT.format(*sequences), encoding="ascii", newline="\r\n")
    rate = round(AMPLIFIER.rate_hz)
    for subject in plan.people:
        person = draw_person(plan.settings.seed, DESIGN.name, subject)
        for session in range(1, plan.sessions + 1):
            blocks = [Block(rate * clip.stimulus_s + 1, clip) for clip in plan.clips_of(session)]
            recorded = record(AMPLIFIER, blocks, person, session, plan)
            arrays = {
                f"{_PREFIXES[subject - 1]}_eeg{trial}": array for trial, array in enumerate(recorded.blocks_uv, start=1)
            }
            if plan.traps:
                arrays = dict(sorted(arrays.items()))
            name = f"{session}/{subject}_{DATES[session - 1][subject - 1]}.mat"
            file = folder / "eeg_raw_data" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            write_mat(file, arrays)
            if plan.traps:
                features = folder / "eeg_feature_smooth" / name
                features.parent.mkdir(parents=True, exist_ok=True)
                write_mat(features, _features(recorded.blocks_uv))

            shown, onset = [], 0
            for block in blocks:
                assert block.clip is not None
                shown.append(Shown(block.clip, onset, block.samples, affect.from_word(str(block.clip.label))))
                onset += block.samples
            truth.add_recorded(RecordingId(f"{subject:02d}", str(session)), plan, AMPLIFIER, recorded, shown)
            advance()


def _features(blocks_uv: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Band power and differential entropy in windows of 4 s, (channel, window, band) each, as the vendor names them."""
    samples = WINDOW_S * round(AMPLIFIER.rate_hz)
    hz = np.fft.rfftfreq(samples, 1 / AMPLIFIER.rate_hz)
    features = {}
    for trial, block in enumerate(blocks_uv, start=1):
        windows = block[:, : block.shape[1] // samples * samples].reshape(len(block), -1, samples)
        power = np.abs(np.fft.rfft(windows * np.hanning(samples), axis=2)) ** 2
        bands = [power[:, :, (hz >= low) & (hz < high)].mean(axis=2) for low, high in _BANDS_HZ]
        psd = np.stack(bands, axis=2) if windows.size else np.zeros((len(block), 0, len(_BANDS_HZ)))
        de = 0.5 * np.log(2 * np.pi * math.e * psd) if psd.size else psd
        for name, values in (("de", de), ("psd", psd)):
            features[f"{name}_movingAve{trial}"] = features[f"{name}_LDS{trial}"] = values
    return features


DATASET = Dataset(
    name="seed_iv",
    title="SEED-IV: EEG of people watching film clips of neutral, sad, fearful and happy emotion",
    variants=(
        Variant(
            name="eeg_raw_data",
            files="eeg_raw_data, MATLAB files at 200 Hz",
            tree="""\
SEED_IV/
  ReadMe.txt
  eeg_raw_data/
    1/  15 files like 1_20160518.mat
    2/  15 files
    3/  15 files""",
            facts=FACTS,
            recognise=_recognise,
            discover=_discover,
            read=_read,
            already_processed=True,
            memory_gb=0.7,
            simulator=Simulator(DESIGN, write),
        ),
    ),
    labels=tuple(_WORDS.values()),
    irregularities=(
        Irregularity(
            "T1a", "", "The letters before _eeg1 differ per subject: any one set of letters per file is read."
        ),
        Irregularity("T1b", "", "_eeg10 sorts before _eeg2 as text: trials are sorted by their number."),
        Irregularity("T1c", "", "10_... sorts before 2_... as text: the subject is the number in the file's name."),
        Irregularity(
            "T2a", "", "The files are called raw and hold 200 Hz, not 1000: checked with the trials' lengths."
        ),
        Irregularity("T2c", "", "A trial has 200 x seconds + 1 samples: all are kept."),
        Irregularity(
            "T5", "", "The session is the folder's name: the file's date is compared with the published list."
        ),
        Irregularity(
            "T6", "", "Label 0 is neutral here, 0 is disgust in SEED-V: the words are carried, not the codes."
        ),
        Irregularity(
            "T12", "", "The features have floor(seconds / 4) windows: the trials' lengths are checked with them."
        ),
        Irregularity("C2", "", "CB1 and CB2 are in no 10-05 montage: they are placed at POO7 and POO8."),
    ),
    access="Send the signed licence agreement at https://bcmi.sjtu.edu.cn/home/seed/ and download SEED-IV.",
    size="about 15 GB of eeg_raw_data before compression",
    licence="SEED licence agreement of BCMI, Shanghai Jiao Tong University: academic research only",
    authors=("Wei-Long Zheng", "Wei Liu", "Yifei Lu", "Bao-Liang Lu", "Andrzej Cichocki"),
    citation=(
        "Zheng, W.-L., Liu, W., Lu, Y., Lu, B.-L., Cichocki, A. (2019). EmotionMeter: a multimodal framework for "
        "recognizing human emotions. IEEE Transactions on Cybernetics 49(3), 1110-1122. doi:10.1109/TCYB.2018.2797176"
    ),
    url="https://bcmi.sjtu.edu.cn/home/seed/seed-iv.html",
    manufacturer="Compumedics NeuroScan (ESI NeuroScan system)",
    task_description="Watching 24 film clips of about two minutes in each of three sessions, six of each emotion.",
)

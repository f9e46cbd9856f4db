"""Tiny vendor trees, written without eegpipe's simulator, so that a reader and its test share no mistake.

Counts and durations are small, and said so in the marker; everything else is as the vendors write it. Functions return
the arrays that were written, in microvolt.
"""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path

import numpy as np
from scipy.io import savemat

SEED_LABELS = [1, 0, -1, -1, 0, 1, -1, 0, 1, 1, 0, -1, 0, 1, -1]
_EPOC = "AF3 F7 F3 FC5 T7 P7 O1 O2 P8 T8 FC6 F4 F8 AF4"
EPOC = _EPOC.split()
_EEGMAT = "Fp1 Fp2 F3 F4 F7 F8 T3 T4 C3 C4 T5 T6 P3 P4 O1 O2 Fz Cz Pz"
EEGMAT_SCALP = _EEGMAT.split()


def mark(root: Path, **facts) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "eegpipe-simulated.json").write_text(json.dumps({"facts": facts}), encoding="utf-8")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 10, shape)


def seed_session(file: Path, *, letters: str = "ab", trial_s: float = 1, trials: int = 15) -> dict[str, np.ndarray]:
    """Trial k has the mean k in every channel. The variables are written in the order of their names as text."""
    keys = sorted(f"{letters}_eeg{trial}" for trial in range(1, trials + 1))
    samples = round(200 * trial_s) + 1
    arrays = {key: noise(62, samples, seed=len(key)) + int(key.split("_eeg")[1]) for key in keys}
    savemat(file, arrays, do_compression=True)
    return arrays


def seed(root: Path, *, subjects: int = 2, sessions: int = 3, trial_s: float = 1) -> Path:
    """The folder Preprocessed_EEG below ``root``."""
    mark(root, subjects=subjects, sessions=sessions, trials=15, trial_s=[trial_s] * 15)
    folder = root / "Preprocessed_EEG"
    folder.mkdir(parents=True)
    savemat(folder / "label.mat", {"label": np.array([SEED_LABELS], dtype=np.int16)})
    for subject in range(1, subjects + 1):
        for month in range(sessions):
            seed_session(folder / f"{subject}_2014{month + 4:02d}{20 - month:02d}.mat", trial_s=trial_s)
    return folder


class _Python2Pickler(pickle._Pickler):
    """Writes text and bytes as the byte strings of Python 2, and the module paths of numpy 1."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012

    def save_byte_string(self, value):
        content = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_byte_string

    def save_global(self, value, _name=None):
        module = "numpy.core.multiarray" if value.__name__ == "_reconstruct" else value.__module__
        self.write(pickle.GLOBAL + f"{module}\n{value.__name__}\n".encode())
        self.memoize(value)

    dispatch[type] = dispatch[type(np.ndarray.sum)] = save_global


def python2_pickle(file: Path, value) -> None:
    with file.open("wb") as stream:
        _Python2Pickler(stream, protocol=2).dump(value)


class _Numpy1Pickler(pickle._Pickler):
    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012

    def save_text(self, value):
        pickle._Pickler.save_str(self, value.replace("numpy._core", "numpy.core"))

    dispatch[str] = save_text


def numpy1_pickle(file: Path, value) -> None:
    with file.open("wb") as stream:
        _Numpy1Pickler(stream, protocol=4).dump(value)


def deap_subject(file: Path, *, trials: int, trial_s: float, seed: int = 0) -> dict[str, np.ndarray]:
    data = noise(trials, 40, round(128 * trial_s), seed=seed)
    data[:, 36] += 9000.0  # skin resistance in ohm
    labels = np.random.default_rng(seed).uniform(1, 9, (trials, 4))
    python2_pickle(file, {"labels": labels, "data": data})
    return {"data": data, "labels": labels}


def deap(root: Path, *, subjects: int = 2, trials: int = 4, trial_s: float = 5) -> Path:
    mark(root, subjects=subjects, trials=trials, trial_s=[trial_s] * trials)
    folder = root / "data_preprocessed_python" / "data_preprocessed_python"
    folder.mkdir(parents=True)
    for subject in range(1, subjects + 1):
        deap_subject(folder / f"s{subject:02d}.dat", trials=trials, trial_s=trial_s, seed=subject)
    return folder


def faced_remarks(file: Path, *, seed: int = 0) -> dict[int, np.ndarray]:
    """Ratings by video number; the rows of the file are in a shuffled order of presentation."""
    random = np.random.default_rng(seed)
    scores = {video: random.uniform(0, 7, (1, 12)) for video in range(1, 29)}
    rows = np.empty((28, 1), dtype=[(name, object) for name in ("score", "trial", "vid", "Accuracy", "ResponseTime")])
    for trial, video in enumerate(random.permutation(28) + 1, start=1):
        rows[trial - 1, 0] = (scores[int(video)], np.uint8(trial), np.uint8(video), 1.0, 0.5)
    file.parent.mkdir(parents=True, exist_ok=True)
    savemat(file, {"After_remark": rows}, do_compression=True)
    return scores


def faced(root: Path, *, subjects: int = 2, trial_s: float = 2) -> Path:
    mark(root, subjects=subjects, trials=28, trial_s=[trial_s] * 28)
    folder = root / "Processed_data"
    folder.mkdir(parents=True)
    people = ["sub,Gender,Age,Cohort ,Sample_rate,Unit"]
    for subject in range(subjects):
        numpy1_pickle(folder / f"sub{subject:03d}.pkl", noise(28, 32, round(250 * trial_s), seed=subject))
        faced_remarks(root / "Data" / "Data" / f"sub{subject:03d}" / "After_remarks.mat", seed=subject)
        people.append(f"sub{subject:03d},{'MF'[subject % 2]},{20 + subject},1,250,uV")
    (root / "Recording_info.csv").write_text("\n".join(people), encoding="utf-8-sig")
    return folder


def cells(values: list) -> np.ndarray:
    """A column of a cell array."""
    column = np.empty((len(values), 1), dtype=object)
    for index, value in enumerate(values):
        column[index, 0] = value
    return column


def dreamer_content(*, subjects: int = 2, clips: int = 18, clip_s: float = 3, baseline_s: float = 2) -> dict:
    """The struct DREAMER. Scores are uint8, as MATLAB stores them; arrays are time x channel, with an offset."""
    people = []
    for subject in range(subjects):
        random = np.random.default_rng(subject)
        parts = {
            part: cells([4200 + noise(round(128 * seconds), 14, seed=100 * subject + clip) for clip in range(clips)])
            for part, seconds in (("baseline", baseline_s), ("stimuli", clip_s))
        }
        scores = {
            f"Score{name}": random.integers(1, 6, (clips, 1)).astype(np.uint8)
            for name in ("Valence", "Arousal", "Dominance")
        }
        heart = {part: cells([np.zeros((256, 2))] * clips) for part in ("baseline", "stimuli")}
        person = {"Age": str(22 + subject), "Gender": ["male", "female"][subject % 2]}
        people.append({**person, "EEG": parts, "ECG": heart, **scores})
    return {
        "Data": cells(people).T,
        "EEG_SamplingRate": 128,
        "ECG_SamplingRate": 256,
        "EEG_Electrodes": cells(EPOC).T,
        "noOfSubjects": subjects,
        "noOfVideoSequences": clips,
        "Disclaimer": "text",
    }


def dreamer(root: Path, content: dict, *, subjects: int = 2, clips: int = 18, clip_s: float = 3) -> Path:
    mark(root, subjects=subjects, trials=clips, trial_s=[clip_s] * clips)
    savemat(root / "DREAMER.mat", {"DREAMER": content}, do_compression=True)
    return root / "DREAMER.mat"


def eegmat_file(
    file: Path, *, seconds: int = 40, scale: float = 0.01, units: str = "uV", rate: int = 500
) -> np.ndarray:
    """A plain EDF file with the 21 channels of EEGMAT. The digital values are returned, (channel, sample)."""
    labels = [*(f"EEG {name}" for name in [*EEGMAT_SCALP, "A2-A1"]), "ECG ECG"]
    count = len(labels)
    digital = np.round(noise(count, seconds * rate) / 0.01).clip(-32768, 32767).astype("<i2")
    low, high = f"{-32768 * scale:.8g}"[:8], f"{32767 * scale:.8g}"[:8]
    columns = [
        (labels, 16), ([""] * count, 80), ([units] * (count - 1) + ["mV"], 8), ([low] * count, 8), ([high] * count, 8),
        (["-32768"] * count, 8), (["32767"] * count, 8), ([""] * count, 80), ([str(rate)] * count, 8),
        ([""] * count, 32),
    ]  # fmt: skip
    main = [("0", 8), ("", 80), ("", 80), ("01.01.11", 8), ("00.00.00", 8), (str(256 * (count + 1)), 8), ("", 44)]
    main += [(str(seconds), 8), ("1", 8), (str(count), 4)]
    header = "".join(text.ljust(width) for text, width in main)
    header += "".join(text.ljust(width) for texts, width in columns for text in texts)
    records = digital.reshape(count, seconds, rate).transpose(1, 0, 2)
    file.write_bytes(header.encode("ascii") + records.tobytes())
    return digital


def eegmat(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for subject in (2, 10):
        for number in (1, 2):
            eegmat_file(root / f"Subject{subject:02d}_{number}.edf")
    table = "Subject,Age,Gender,Recording year,Number of subtractions,Count quality\nSubject02,19,F,2012,12.88,1\n"
    (root / "subject-info.csv").write_text(table, encoding="utf-8")
    return root

"""DEAP: recordings, pickles and MATLAB files, the table that joins them, and what is refused.

The vendor's files are written here byte by byte, without the simulator.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from eegpipe import datasets
from eegpipe.datasets import deap
from eegpipe.errors import DataProblem

import vendor_files

PYTHON, MATLAB, ORIGINAL = (deap.DATASET.variant(name) for name in ("python", "matlab", "original"))
GENEVA = "Fp1 AF3 F3 F7 FC5 FC1 C3 T7 CP5 CP1 P3 P7 PO3 O1 Oz Pz Fp2 AF4 Fz F4 F8 FC6 FC2 Cz C4 T8 CP6 CP2 P4 P8 PO4 O2"
# The official list of Twente's channels in Geneva's order, from 1.
TWENTE_TO_GENEVA = [
    1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 15, 16, 13, 30, 29, 31, 27, 28, 25, 26, 32, 23, 24, 21, 22, 19, 20, 18,
    17,
]  # fmt: skip
OTHERS = [*(f"EXG{number}" for number in range(1, 9)), "GSR1", "GSR2", "Erg1", "Erg2", "Resp", "Plet", "Temp"]


def read(variant, root: Path, index: int = 0):
    found = variant.discover(root)
    return variant.read(found.root, found.entries[index])


def refusal(variant, root: Path) -> DataProblem:
    with pytest.raises(DataProblem) as caught:
        read(variant, root)
    return caught.value


# --- both preprocessed forms ------------------------------------------------------------------------------------------


def matlab_subject(file: Path, **changes: np.ndarray) -> dict[str, np.ndarray]:
    random = np.random.default_rng(int(file.stem[1:]))
    content = {"data": vendor_files.noise(4, 40, 640, seed=3), "labels": random.uniform(1, 9, (4, 4))} | changes
    savemat(file, content, do_compression=True)
    return content


def matlab(root: Path) -> Path:
    vendor_files.mark(root, subjects=1, trials=4, trial_s=[5] * 4)
    folder = root / "data_preprocessed_matlab"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("deap")
    vendor_files.deap(root)
    return root


@pytest.fixture
def damaged(tmp_path):
    """A tree of one subject, and a function that rewrites it: damage(data=..., labels=...) -> the refusal."""
    folder = vendor_files.deap(tmp_path, subjects=1)
    content = vendor_files.deap_subject(folder / "s01.dat", trials=4, trial_s=5)

    def damage(**changes) -> DataProblem:
        written = {key: value for key, value in (content | changes).items() if value is not None}
        vendor_files.python2_pickle(folder / "s01.dat", written)
        return refusal(PYTHON, tmp_path)

    return damage


def test_the_doubled_folder_is_read_from_either_end(tree):
    for root in (tree, tree / "data_preprocessed_python"):
        dataset, variant = datasets.recognise(root)
        assert (dataset.name, variant.name) == ("deap", "python")
        assert variant.discover(root).entries[0].files[0].endswith("data_preprocessed_python/s01.dat")
    assert not PYTHON.discover(tree).problems


def compare(recording, written: dict[str, np.ndarray]) -> None:
    for trial, (first, last) in enumerate(recording.blocks):
        signal_uv = (recording.raw.get_data()[:36, first:last] * 1e6).astype(np.float32)
        np.testing.assert_array_equal(signal_uv, written["data"][trial, :36].astype(np.float32))
        others = recording.raw.get_data()[36:, first:last].astype(np.float32)
        np.testing.assert_array_equal(others, written["data"][trial, 36:].astype(np.float32))
    for trial, event in enumerate(recording.stimuli):
        valence, arousal, dominance, liking = map(float, written["labels"][trial])
        assert event.ratings == {"valence": valence, "arousal": arousal, "dominance": dominance, "liking": liking}
        assert event.affect.valence == pytest.approx(valence - 5)
        assert event.affect.arousal == pytest.approx(arousal - 5)
        assert (event.onset_s, event.duration_s, event.label) == (trial * 5 + 3, 2, None)
        assert (event.trial, event.stimulus) == (trial + 1, f"deap/{trial + 1:02d}")
    baselines = [(event.onset_s, event.duration_s) for event in recording.events if event.kind == "baseline"]
    assert baselines == [(0, 3), (5, 3), (10, 3), (15, 3)]


def test_signal_events_and_ratings_of_a_pickle(tree, tmp_path):
    recording = read(PYTHON, tree, 1)
    assert recording.id.stem == "sub-02_task-emotion"
    assert recording.boundaries == [640, 1280, 1920]
    assert recording.history["Bandpass"] == {"low cutoff (Hz)": 4.0, "high cutoff (Hz)": 45.0}
    compare(recording, vendor_files.deap_subject(tmp_path / "s02.dat", trials=4, trial_s=5, seed=2))


def test_signal_events_and_ratings_of_a_matlab_file(tmp_path):
    # Whole numbers take less room in MATLAB's files, as unsigned ones that cannot be negative.
    whole = np.array([[9, 1, 5, 7]] * 4, dtype=np.uint8)
    written = matlab_subject(matlab(tmp_path) / "s01.mat", labels=whole)
    assert [one.name for one in datasets.recognise(tmp_path)] == ["deap", "matlab"]
    recording = read(MATLAB, tmp_path)
    compare(recording, written)
    assert recording.stimuli[0].affect.arousal == -4


def test_channel_types(tree):
    raw = read(PYTHON, tree).raw
    assert raw.ch_names[:4] == ["Fp1", "AF3", "F3", "F7"]
    assert raw.get_channel_types() == ["eeg"] * 32 + ["eog"] * 2 + ["emg"] * 2 + ["misc"] * 4
    assert raw.ch_names[32:] == ["hEOG", "vEOG", "zEMG", "tEMG", "GSR", "Resp", "Plet", "Temp"]


def test_missing_extra_and_stray_files(tmp_path):
    folder = vendor_files.deap(tmp_path, subjects=2)
    (folder / "s01.dat").unlink()
    (folder / "s40.dat").write_bytes(b"")
    (folder / "thesis.txt").write_text("x")
    found = PYTHON.discover(tmp_path)
    assert [entry.id.subject for entry in found.entries] == ["02"]
    assert [problem.found for problem in found.problems] == ["no s01.dat", "also s40.dat"]
    assert "thesis.txt" in found.notes[0]


def test_real_counts_are_expected_without_the_marker(tmp_path):
    vendor_files.deap(tmp_path, subjects=2)
    (tmp_path / "eegpipe-simulated.json").unlink()
    found = PYTHON.discover(tmp_path)
    assert "s03.dat, s04.dat" in found.problems[0].found
    assert "20 more" in found.problems[0].found
    problem = refusal(PYTHON, tmp_path)
    assert problem.found == "shape (4, 40, 640)"
    assert problem.expected == "(40, 40, 8064)"


def test_what_is_refused_in_a_pickle(damaged):
    assert "the keys data" in damaged(labels=None).found
    assert "data_preprocessed_python/s01.dat: labels" in damaged(labels=np.zeros((4, 3))).where
    assert "shape (4, 32, 640)" in damaged(data=vendor_files.noise(4, 32, 640)).found
    assert "int64" in damaged(data=np.zeros((4, 40, 640), dtype=np.int64)).found

    labels = np.full((4, 4), 5.0)
    labels[2, 1] = 9.5
    problem = damaged(labels=labels)
    assert problem.where.endswith("labels, trial 3")
    assert problem.found == "arousal 9.5"
    labels[2, 1] = np.nan
    assert damaged(labels=labels).found == "arousal nan"

    data = vendor_files.noise(4, 40, 640)
    data[3, 33, 7] = np.nan
    problem = damaged(data=data)
    assert problem.where.endswith("data, trial 4")
    assert "channel vEOG" in problem.found
    assert "as if in volt" in damaged(data=vendor_files.noise(4, 40, 640) * 1e-6).found


def test_what_is_refused_in_a_matlab_file(tmp_path):
    file = matlab(tmp_path) / "s01.mat"
    for changes, where, found in (
        ({"data": vendor_files.noise(4, 32, 640)}, "data", "shape (4, 32, 640)"),
        ({"data": vendor_files.noise(4, 40, 640).swapaxes(0, 1)}, "data", "shape (40, 4, 640)"),
        ({"data": vendor_files.noise(8, 40, 640)}, "s01.mat", "at most"),
        ({"labels": "text"}, "labels", "str"),
        ({"labels": np.full((4, 4), 0.5)}, "labels, trial 1", "valence 0.5"),
        ({"data": vendor_files.noise(4, 40, 640) * 1e-6}, "trial 1", "as if in volt"),
    ):
        matlab_subject(file, **changes)
        problem = refusal(MATLAB, tmp_path)
        assert where in problem.where
        assert found in problem.found
    savemat(file, {"labels": np.full((4, 4), 5.0)})
    assert "labels" in refusal(MATLAB, tmp_path).found
    matlab_subject(file)
    file.write_bytes(file.read_bytes()[:-5000])
    assert "cannot be read" in refusal(MATLAB, tmp_path).found


def test_a_truncated_pickle_is_refused(tmp_path):
    file = vendor_files.deap(tmp_path, subjects=1) / "s01.dat"
    file.write_bytes(file.read_bytes()[:-5000])
    assert "damaged pickle" in refusal(PYTHON, tmp_path).found


# --- the table --------------------------------------------------------------------------------------------------------


def table(root: Path, rows: list[dict[str, object]], *, folder: str = "metadata_csv") -> Path:
    file = root / folder / "participant_ratings.csv"
    file.parent.mkdir(exist_ok=True)
    with file.open("w", encoding="utf-8-sig", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def row(participant: int, trial: int, video: int, start: float, labels, familiarity: object = "") -> dict[str, object]:
    names = ("Valence", "Arousal", "Dominance", "Liking")
    return {
        "Participant_id": participant,
        "Trial": trial,
        "Experiment_id": video,
        "Start_time": round(1e4 * start),
        **{name: f"{value:.2f}" for name, value in zip(names, labels, strict=True)},
        "Familiarity": familiarity,
    }


def test_familiarity_sex_and_age_come_from_the_tables(tmp_path):
    folder = vendor_files.deap(tmp_path, subjects=2)
    labels = vendor_files.deap_subject(folder / "s02.dat", trials=4, trial_s=5, seed=2)["labels"]
    shown = [3, 1, 4, 2]
    rows = [row(2, trial, video, trial, labels[video - 1], trial) for trial, video in enumerate(shown, start=1)]
    file = table(tmp_path, [row(1, trial, trial, 0, [5] * 4) for trial in range(1, 5)] + rows)
    people = "Participant_id,Age,Gender\ns01,31,Male\ns02,24,Female\n"
    (tmp_path / "metadata_csv/participant_questionnaire.csv").write_text(people, encoding="utf-8-sig")
    recording = read(PYTHON, tmp_path, 1)
    assert [event.ratings["familiarity"] for event in recording.stimuli] == [2, 4, 1, 3]
    assert (recording.sex, recording.age) == ("F", 24)
    # The same where the data folder itself is named.
    named = PYTHON.discover(tmp_path / "data_preprocessed_python")
    assert PYTHON.read(named.root, named.entries[1]).stimuli[0].ratings["familiarity"] == 2

    rows[2]["Valence"] = "1.00"
    table(tmp_path, rows)
    with pytest.raises(DataProblem, match="participant 2, Experiment_id 4: found valence 1, expected"):
        read(PYTHON, tmp_path, 1)
    file.unlink()
    assert "familiarity" not in read(PYTHON, tmp_path, 1).stimuli[0].ratings


# --- recordings -------------------------------------------------------------------------------------------------------

VIDEOS, STARTS_S, VIDEO_S = [3, 1, 2], [9, 20, 31], 4
LABELS = {1: (7.5, 2.25, 5, 6), 2: (1, 9, 3.3, 4), 3: (4.04, 5.05, 6.06, 7.07)}


def bdf(file: Path, counts: np.ndarray, labels: list[str], *, units: list[str], rate: int = 512) -> None:
    """A BDF file of records of one second, physical range 262,144 and 24 bits: 31.25 nV a count."""
    count, seconds = len(labels), counts.shape[1] // rate
    columns = [
        (labels, 16), (["Active Electrode"] * count, 80), (units, 8), (["-262144"] * count, 8),
        (["262143"] * count, 8), (["-8388608"] * count, 8), (["8388607"] * count, 8), ([""] * count, 80),
        ([str(rate)] * count, 8), ([""] * count, 32),
    ]  # fmt: skip
    main = [("", 80), ("", 80), ("01.01.08", 8), ("10.00.00", 8), (str(256 * (count + 1)), 8), ("24BIT", 44)]
    main += [(str(seconds), 8), ("1", 8), (str(count), 4)]
    header = b"\xffBIOSEMI" + "".join(text.ljust(width) for text, width in main).encode("ascii")
    header += "".join(text.ljust(width) for texts, width in columns for text in texts).encode("latin1")
    records = counts.reshape(count, seconds, rate).transpose(1, 0, 2).astype("<i4")
    file.write_bytes(header + np.ascontiguousarray(records).view(np.uint8).reshape(-1, 4)[:, :3].tobytes())


class Session:
    """A recording of three videos of 4 s, 40 s long, and its table; ``write`` writes it as it then stands."""

    def __init__(self, root: Path, number: int = 3, *, geneva: bool = False, rate: int = 512):
        vendor_files.mark(root, subjects=1, people=[number], trials=3, trial_s=[VIDEO_S] * 3)
        self.root, self.number, self.rate = root, number, rate
        self.file = root / "data_original" / f"s{number:02d}.bdf"
        self.file.parent.mkdir(exist_ok=True)
        order = GENEVA.split()
        if not geneva:
            order = [name for _, name in sorted(zip(TWENTE_TO_GENEVA, order, strict=True))]
        self.labels = [*order, *OTHERS, "Status"]
        self.units = ["uV"] * 40 + ["Ohm" if geneva else "nS"] * 2 + ["uV"] * 5 + ["Boolean"]
        random = np.random.default_rng(number)
        self.counts = random.normal(0, 640, (48, 40 * rate)).round().astype(np.int64)
        self.counts[:32] += random.integers(-300_000, 300_000, (32, 1))  # electrode offsets up to 10 mV
        self.counts[40] = 32 * random.integers(2_000, 20_000, 40 * rate)
        self.codes = [(1, 1), (2, 1), (3, 2)]
        for start_s in STARTS_S:
            self.codes += [(start_s - 5, 3), (start_s, 4), (start_s + VIDEO_S, 5), (start_s + VIDEO_S + 1, 1)]
        self.rows = [
            row(number, trial, video, start_s - 1, LABELS[video], trial)
            for trial, (video, start_s) in enumerate(zip(VIDEOS, STARTS_S, strict=True), start=1)
        ]

    def write(self) -> None:
        self.counts[-1] = 0
        for at_s, code in self.codes:
            at = round(at_s * self.rate)
            self.counts[-1, at : at + 10] = code
        bdf(self.file, self.counts, self.labels, units=self.units, rate=self.rate)
        table(self.root, self.rows)

    def refusal(self) -> DataProblem:
        self.write()
        return refusal(ORIGINAL, self.root)


@pytest.mark.parametrize("geneva", [False, True])
def test_signal_events_and_ratings_of_a_recording(tmp_path, geneva):
    made = Session(tmp_path, 25 if geneva else 3, geneva=geneva)
    made.write()
    for root in (tmp_path, tmp_path / "data_original"):
        assert [one.name for one in datasets.recognise(root)] == ["deap", "original"]
        assert not ORIGINAL.discover(root).problems
    recording = read(ORIGINAL, tmp_path / "data_original")
    raw = recording.raw
    assert raw.info["sfreq"] == 512
    assert raw.ch_names == [*made.labels[:32], *OTHERS[:8], "GSR", "Resp", "Plet", "Temp"]
    assert raw.get_channel_types() == ["eeg"] * 32 + ["eog"] * 4 + ["emg"] * 4 + ["misc"] * 4
    gain, offset = 524287 / 16777215, -262144 + 8388608 * 524287 / 16777215
    expected = (made.counts[:40] * gain + offset).astype(np.float32)
    np.testing.assert_array_equal((raw.get_data()[:40] * 1e6).astype(np.float32), expected)
    skin = made.counts[40] * gain + offset
    np.testing.assert_allclose(raw.get_data("GSR")[0], skin if geneva else 1e9 / skin, rtol=1e-6)
    np.testing.assert_allclose(raw.get_data("Temp")[0], made.counts[46] * gain + offset, rtol=1e-6)

    assert recording.boundaries == []
    shown = recording.stimuli
    assert [(event.onset_s, event.duration_s, event.trial) for event in shown] == [(9, 4, 1), (20, 4, 2), (31, 4, 3)]
    assert [event.stimulus for event in shown] == ["deap/03", "deap/01", "deap/02"]
    for event, video in zip(shown, VIDEOS, strict=True):
        valence, arousal, dominance, liking = LABELS[video]
        ratings = {"valence": valence, "arousal": arousal, "dominance": dominance, "liking": liking}
        assert event.ratings == ratings | {"familiarity": event.trial}
        assert (event.affect.valence, event.affect.arousal) == pytest.approx((valence - 5, arousal - 5))
    baselines = [(event.onset_s, event.duration_s) for event in recording.events if event.kind == "baseline"]
    assert baselines == [(4, 5), (15, 5), (26, 5)]
    assert recording.notes == ()


def test_what_is_unusual_is_read_and_said(tmp_path):
    made = Session(tmp_path, 30)  # Twente's order in a file of Geneva
    made.codes = [one for one in made.codes if one not in ((15, 3), (13, 5))] + [(30, 6), (2.5, 9)]
    made.labels[-1] = "x"
    made.counts[40, :20] = 0
    made.units[40] = "kOhm"
    made.write()
    notes = " ".join(read(ORIGINAL, tmp_path).notes)
    for text in (
        "in the order of Twente",
        "is called 'x'",
        "No end code of the video in trial 1;",
        "before the video in trial 2:",
        "code 6, which is not documented, 1 times",
        "does not have: 9;",
        "no conductance in 0.098 %",
        "GSR1 is in 'kOhm' by its header; it is taken for nS",
    ):
        assert text in notes
    assert read(ORIGINAL, tmp_path).raw.get_data("GSR").max() < 1e12


def test_a_recording_needs_the_table(tmp_path):
    made = Session(tmp_path)
    made.write()
    (tmp_path / "metadata_csv/participant_ratings.csv").unlink()
    [problem] = ORIGINAL.discover(tmp_path).problems
    assert (problem.where, problem.found) == ("metadata_csv", "no participant_ratings.csv")
    assert "metadata_csv beside data_original" in refusal(ORIGINAL, tmp_path).cure


def test_what_is_refused_in_the_header(tmp_path):
    made = Session(tmp_path)
    labels = list(made.labels)
    for change, where, found in (
        (["F3", "F7"], "electrodes", "the order Fp1, AF3, F3, F7, FC1"),
        (["", ""], "electrodes", "(blank), (blank)"),
        (["A3", "A4"], "electrodes", "the labels A3, A4"),
    ):
        made.labels[2:4] = change
        problem = made.refusal()
        assert problem.where == f"data_original/s03.bdf: {where}"
        assert found in problem.found
    made.labels = [*labels[:34], "EXG4", "EXG3", *labels[36:]]
    problem = made.refusal()
    assert (problem.where, problem.found) == ("data_original/s03.bdf: channel 35 of 48", "'EXG4'")
    made.labels, made.units[3] = labels, "mV"
    assert "unit 'mV'" in made.refusal().found
    made.units[3] = "\N{MICRO SIGN}V"
    made.write()
    read(ORIGINAL, tmp_path)

    for count in (47, 50):
        some = np.resize(made.counts, (count, made.counts.shape[1]))
        bdf(made.file, some, ["x"] * count, units=["uV"] * count)
        assert refusal(ORIGINAL, tmp_path).found == str(count)
    assert "256 Hz" in Session(tmp_path, rate=256).refusal().found
    made.write()
    made.file.write_bytes(made.file.read_bytes()[:-1])
    assert "bytes" in refusal(ORIGINAL, tmp_path).found
    made.file.write_bytes(b"0       " + made.file.read_bytes()[8:])
    assert refusal(ORIGINAL, tmp_path).where.endswith("s03.bdf")


def test_what_is_refused_in_the_status(tmp_path):
    made = Session(tmp_path)
    whole = list(made.codes)
    made.codes = [one for one in whole if one != (20, 4)]
    problem = made.refusal()
    assert (problem.found, problem.expected) == ("2 starts of a video (code 4)", "3")
    made.codes = [*whole, (25, 4)]
    assert made.refusal().found.startswith("4 starts")
    made.codes = [(at - 8 if (at, code) == (20, 4) else at, code) for at, code in whole]
    assert "3.0 s until the next video" in made.refusal().found
    made.codes = [(38 if (at, code) == (31, 4) else at, code) for at, code in whole]
    assert "2.0 s until the end" in made.refusal().found
    made.codes = [(30 if (at, code) == (24, 5) else at, code) for at, code in whole]
    assert "(code 5) after 10.0 s" in made.refusal().found
    made.codes = [(at + 3 if (at, code) == (20, 4) else at, code) for at, code in whole]
    problem = made.refusal()
    assert "Start_time of trial 2" in problem.where
    assert problem.found == "3.0 s apart"


def test_what_is_refused_in_the_signal(tmp_path):
    made = Session(tmp_path)
    good = made.counts.copy()
    made.counts[:32, 20 * 512 : 24 * 512] = 77
    problem = made.refusal()
    assert problem.where == "data_original/s03.bdf: trial 2"
    assert "same value" in problem.found
    made.counts = good * 300
    made.counts[40] = good[40]
    assert "typical spread" in made.refusal().found


def test_what_is_refused_in_the_table(tmp_path):
    made = Session(tmp_path)
    rows = json.loads(json.dumps(made.rows))

    def changed(index: int, **cells) -> str:
        made.rows = json.loads(json.dumps(rows))
        made.rows[index] |= cells
        return str(made.refusal())

    assert "participant 3: Trial: found 3 rows, without 2" in changed(1, Trial=1)
    assert "Experiment_id: found 3 rows, without 1" in changed(1, Experiment_id=7)
    assert "Trial: found 2 rows, without 2" in changed(1, Participant_id=4)
    assert "liking: found 9.5, expected 1 to 9" in changed(2, Liking="9.5")
    assert "valence: found '', expected a number" in changed(2, Valence="")
    assert "familiarity: found 0, expected 1 to 5" in changed(0, Familiarity="0")
    assert "Start_time: found 'nan'" in changed(0, Start_time="nan")
    made.rows = [{key: value for key, value in one.items() if key != "Arousal"} for one in rows]
    assert "columns Arousal too" in str(made.refusal())
    # Times ten: as if the unit were the millisecond.
    made.rows = [one | {"Start_time": 10 * int(one["Start_time"])} for one in rows]
    assert "s apart" in str(made.refusal())


def test_changed_bytes_give_a_recording_or_one_refusal(tmp_path):
    made = Session(tmp_path)
    made.write()
    whole = made.file.read_bytes()
    random, refused = np.random.default_rng(0), 0
    for _ in range(25):
        content = bytearray(whole)
        for at in random.integers(0, 256 * 49, 3):
            content[at] = random.integers(0, 256)
        made.file.write_bytes(content)
        try:
            assert len(read(ORIGINAL, tmp_path).stimuli) == 3
        except DataProblem:
            refused += 1
    assert 0 < refused < 25

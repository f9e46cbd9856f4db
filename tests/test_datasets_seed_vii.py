"""SEED-VII: its names, keys, marks and tables, and what its readers refuse. MAT files and tables are written here."""

from __future__ import annotations

import random
import shutil

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from eegpipe import datasets
from eegpipe.affect import AffectSource
from eegpipe.datasets import seed_vii
from eegpipe.datasets.seed_vii import experiment, preprocessed, raw
from eegpipe.errors import DataProblem
from eegpipe.simulate.neuroscan import calibrations, write_cnt

import vendor_files

PREPROCESSED, RAW = seed_vii.DATASET.variants
# The order of session 1, as the vendor's table of stimuli has it.
SESSION_1 = ["Happy", "Neutral", "Disgust", "Sad", "Anger", "Anger", "Sad", "Disgust", "Neutral", "Happy"] * 2
SESSION_4 = ["Disgust", "Sad", "Fear", "Surprise", "Happy", "Happy", "Surprise", "Fear", "Sad", "Disgust"] * 2
CNT = list(raw.ORDER_67)
# Marks of the CNT files written here, in samples: 20 clips of 3 s every 4 s.
MARKS = [(1000 + 4000 * clip + 3000 * end, 1 + end) for clip in range(20) for end in (0, 1)]


def write_save(root, stem, emotions, scores=None):
    (root / "save_info").mkdir(exist_ok=True)
    scores = scores or [f"0.{clip:02d}" for clip in range(20)]
    lines = [
        f"movie\\x\\{stem[-1]}\\{word.lower()}\\film{clip}.mp4,{score}"
        for clip, (word, score) in enumerate(zip(emotions, scores, strict=True))
    ]
    (root / f"save_info/{stem}_save_info.csv").write_text("\r\n".join(lines), encoding="utf-8")


def write_times(root, stem, marks=MARKS, *, began_s=50_000.0):
    lines = []
    for sample, code in marks:
        at_s = began_s + sample / 1000
        clock = f"{int(at_s // 3600):02d}:{int(at_s // 60 % 60):02d}:{at_s % 60:09.6f}"
        lines.append(f"{code},2022-10-15 {clock}")
    (root / f"save_info/{stem}_trigger_info.csv").write_text("\n".join(lines), encoding="ascii")


def write_recording(file, *, events=MARKS, channels=CNT, rate_hz=1000, samples=81_000, **more):
    generator = np.random.default_rng(4)
    counts = generator.integers(-600, 600, (len(channels), samples)).astype(np.int32)
    file.parent.mkdir(exist_ok=True)
    write_cnt(file, channels, rate_hz, counts, calibration=calibrations(len(channels)), events=events, **more)
    return counts


def mark(root, **facts):
    vendor_files.mark(root, trials=20, sessions_trial_s=[[3.0] * 20] * facts["sessions"], **facts)


@pytest.fixture(scope="module")
def written_mat(tmp_path_factory):
    root = tmp_path_factory.mktemp("SEED-VII")
    mark(root, subjects=1, sessions=4)
    (root / "EEG_preprocessed").mkdir()
    arrays = {str(key): vendor_files.noise(62, 200 * (3 + key % 2), seed=key) for key in range(1, 81)}
    savemat(root / "EEG_preprocessed/1.mat", dict(sorted(arrays.items())))
    for session in range(1, 5):
        words = [word.capitalize() for word in experiment.EMOTIONS[session - 1]]
        write_save(root, f"1_2022100{session}_{session}", words)
    return root


@pytest.fixture(scope="module")
def written_cnt(tmp_path_factory):
    root = tmp_path_factory.mktemp("SEED-VII-raw")
    mark(root, subjects=1, sessions=1)
    write_recording(root / "EEG_raw/1_20221015_1.cnt")
    write_save(root, "1_20221015_1", SESSION_1)
    write_times(root, "1_20221015_1")
    return root


@pytest.fixture
def mat(written_mat, tmp_path):
    """A tree of one MATLAB file, for damage: (root, signal file)."""
    shutil.copytree(written_mat, tmp_path, dirs_exist_ok=True)
    return tmp_path, tmp_path / "EEG_preprocessed/1.mat"


@pytest.fixture
def one(written_cnt, tmp_path):
    """A tree of one CNT file, for damage: (root, signal file)."""
    shutil.copytree(written_cnt, tmp_path, dirs_exist_ok=True)
    return tmp_path, tmp_path / "EEG_raw/1_20221015_1.cnt"


def read_first(root, variant):
    found = variant.discover(root)
    return variant.read(found.root, found.entries[0])


def refusal(root, variant) -> DataProblem:
    with pytest.raises(DataProblem) as caught:
        read_first(root, variant)
    return caught.value


def change(file, **variables):
    content = {key: value for key, value in loadmat(file).items() if not key.startswith("__")}
    content |= {key.removeprefix("k"): value for key, value in variables.items()}
    savemat(file, {key: value for key, value in content.items() if value is not None})


# --- which folder is what ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", ["", "EEG_preprocessed"])
def test_either_folder_of_cut_trials_may_be_named(written_mat, inside):
    dataset, variant = datasets.recognise(written_mat / inside)
    assert (dataset.name, variant.name) == ("seed_vii", "preprocessed")
    found = variant.discover(written_mat / inside)
    assert found.problems == []
    assert found.notes == []
    assert [(entry.id.stem, entry.files) for entry in found.entries] == [
        (
            f"sub-01_ses-{session}_task-emotion",
            ("EEG_preprocessed/1.mat", f"save_info/1_2022100{session}_{session}_save_info.csv"),
        )
        for session in range(1, 5)
    ]
    assert len(variant.read(found.root, found.entries[3]).stimuli) == 20


@pytest.mark.parametrize("inside", ["", "EEG_raw"])
def test_either_folder_of_recordings_may_be_named(written_cnt, inside):
    dataset, variant = datasets.recognise(written_cnt / inside)
    assert (dataset.name, variant.name) == ("seed_vii", "raw")
    found = variant.discover(written_cnt / inside)
    assert found.problems == []
    [entry] = found.entries
    assert entry.id.stem == "sub-01_ses-1_task-emotion"
    assert [file.split("/")[-1] for file in entry.files] == [
        "1_20221015_1.cnt",
        "1_20221015_1_save_info.csv",
        "1_20221015_1_trigger_info.csv",
    ]


def test_doubled_folders_are_looked_into(mat):
    root, _ = mat
    (root / "EEG_preprocessed").rename(root / "inner")
    (root / "EEG_preprocessed").mkdir()
    (root / "inner").rename(root / "EEG_preprocessed/EEG_preprocessed")
    for inside in ("", "EEG_preprocessed", "EEG_preprocessed/EEG_preprocessed"):
        found = PREPROCESSED.discover(root / inside)
        assert [problem for problem in found.problems if "save_info" in problem.where] == []
        assert PREPROCESSED.read(found.root, found.entries[0]).stimuli[3].ratings == {"score": 0.03}


@pytest.mark.parametrize("name", ["EEG_features", "EYE_features", "continuous_labels", "somewhere"])
def test_other_folders_of_numbered_files_are_not_recognised(mat, name):
    root, file = mat
    (root / name).mkdir()
    shutil.copy(file, root / name)
    assert datasets.recognise(root / name) is None
    assert "EEG_preprocessed" in PREPROCESSED.discover(root / name).problems[0].found


def test_seed_v_names_are_not_recognised(tmp_path):
    (tmp_path / "EEG_raw").mkdir()
    (tmp_path / "EEG_raw/1_1_20180804.cnt").write_bytes(b"")
    assert not RAW.recognise(tmp_path)
    assert "EEG_raw" in RAW.discover(tmp_path).problems[0].expected


def test_missing_and_unknown_files_are_problems(mat):
    root, file = mat
    mark(root, subjects=2, sessions=4)
    shutil.copy(file, file.with_name("21.mat"))
    shutil.copy(file, file.with_name("01.mat"))
    (file.parent / "notes.docx").write_text("x")
    told = [str(problem) for problem in PREPROCESSED.discover(root).problems]
    assert [text.split(", expected")[0] for text in told] == [
        "EEG_preprocessed: subject 1: found 01.mat, 1.mat",
        "EEG_preprocessed: subject 2: found no file",
        "EEG_preprocessed: subject 21: found an unknown subject",
    ]
    assert PREPROCESSED.discover(root).notes == ["Not read: EEG_preprocessed/notes.docx."]


def test_missing_tables_are_problems_and_the_trials_have_no_score(mat):
    root, _ = mat
    (root / "save_info/1_20221002_2_save_info.csv").unlink()
    [problem] = PREPROCESSED.discover(root).problems
    assert problem.where == "save_info: 1_*_2_save_info.csv"
    shutil.rmtree(root / "save_info")
    [problem] = PREPROCESSED.discover(root).problems
    assert problem.where == "save_info"
    recording = read_first(root, PREPROCESSED)
    assert all(event.ratings == {} for event in recording.stimuli)
    assert recording.stimuli[0].affect.source is AffectSource.WORD_NORM


def test_missing_and_surplus_recordings_are_problems(one):
    root, file = one
    mark(root, subjects=1, sessions=2)
    shutil.copy(file, file.with_name("1_20221016_1.cnt"))
    shutil.copy(file, file.with_name("1_20221101_4.cnt"))
    shutil.copy(file, file.with_name("30_20221101_1.cnt"))
    found = RAW.discover(root)
    assert found.entries == []
    told = [str(problem) for problem in found.problems]
    assert "no session 2" in told[0]
    assert "1_20221015_1.cnt, 1_20221016_1.cnt for session 1" in told[1]
    assert "1_20221101_4.cnt for session 4" in told[2]
    assert "subject 30: found an unknown subject" in told[3]


def test_a_table_of_another_day_is_a_problem_and_not_used(one):
    root, file = one
    file.rename(file.with_name("1_20221016_1.cnt"))
    found = RAW.discover(root)
    assert found.entries[0].files == ("EEG_raw/1_20221016_1.cnt",)
    assert [problem.where for problem in found.problems] == [
        "save_info: 1_20221016_1_save_info.csv",
        "save_info: 1_20221016_1_trigger_info.csv",
    ]


def test_a_marker_of_another_experiment_is_refused(mat):
    root, _ = mat
    vendor_files.mark(root, subjects=1, people=[25], sessions=4, trials=20, sessions_trial_s=[[3.0] * 20] * 4)
    with pytest.raises(DataProblem, match="20 trials"):
        PREPROCESSED.discover(root)


# --- cut trials -------------------------------------------------------------------------------------------------------


def test_the_trials_of_a_session_are_taken_by_number(written_mat):
    found = PREPROCESSED.discover(written_mat)
    written = loadmat(written_mat / "EEG_preprocessed/1.mat")
    recording = PREPROCESSED.read(found.root, found.entries[3])
    assert recording.raw.info["sfreq"] == 200
    assert [event.label for event in recording.stimuli] == [word.lower() for word in SESSION_4]
    for place, (event, (first, last)) in enumerate(zip(recording.stimuli, recording.blocks, strict=True), start=1):
        assert (event.trial, event.stimulus) == (place, f"seed_vii/{60 + place:02d}")
        assert event.ratings == {"score": pytest.approx((place - 1) / 100)}
        assert (round(event.onset_s * 200), round(event.duration_s * 200)) == (first, last - first)
        signal_uv = (recording.raw.get_data()[:, first:last] * 1e6).astype(np.float32)
        np.testing.assert_array_equal(signal_uv, written[str(60 + place)].astype(np.float32))
    assert (recording.sex, recording.age) == ("M", 26)
    assert recording.history["Notch"]["frequency (Hz)"] == 50
    assert recording.raw.ch_names[57] == "CB1"


def test_a_missing_variable_spoils_only_its_session(mat):
    root, file = mat
    change(file, k27=None)
    found = PREPROCESSED.discover(root)
    with pytest.raises(DataProblem, match="no variables 27"):
        PREPROCESSED.read(found.root, found.entries[1])
    assert len(PREPROCESSED.read(found.root, found.entries[0]).stimuli) == 20


@pytest.mark.parametrize(("name", "hint"), [("video_{}", "another program"), ("de_{}", "EEG_features")])
def test_files_with_other_variables_are_refused(mat, name, hint):
    root, file = mat
    savemat(file, {name.format(key): vendor_files.noise(62, 600) for key in range(1, 81)})
    problem = refusal(root, PREPROCESSED)
    assert hint in problem.cure
    assert "none of the variables" in problem.found


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (vendor_files.noise(62, 601), "601 samples"),
        (vendor_files.noise(62, 3000), "3000 samples (15 s)"),  # 3 s at 1000 Hz
        (vendor_files.noise(600, 62), "shape (600, 62)"),
        (vendor_files.noise(62, 600).astype(np.int16), "int16"),
        (vendor_files.noise(1, 15), "shape (1, 15)"),
    ],
)
def test_a_wrong_array_is_refused(mat, array, told):
    root, file = mat
    change(file, k10=array)
    problem = refusal(root, PREPROCESSED)
    assert problem.where == "EEG_preprocessed/1.mat: trial 10 (variable 10)"
    assert told in problem.found


def test_the_vendors_clips_last_two_to_five_minutes(monkeypatch, tmp_path):
    """Full lengths need 1.4 GB a file, so the heads of the variables are given here."""
    heads = {str(key): ((62, 200 * (120 + key)), "double") for key in range(1, 81)}
    monkeypatch.setattr(preprocessed.matlab, "list_variables", lambda *_: heads)
    keys, lengths, notes = preprocessed._trials(tmp_path, "1.mat", 4, preprocessed.FACTS)
    assert (keys[0], lengths[0], keys[-1], notes) == ("61", 200 * 181, "80", [])
    for seconds in (30, 900):
        heads["61"] = ((62, 200 * seconds), "double")
        with pytest.raises(DataProblem, match="110 to 310 s"):
            preprocessed._trials(tmp_path, "1.mat", 4, preprocessed.FACTS)


def test_variables_more_are_noted(mat):
    root, file = mat
    change(file, note=np.zeros((1, 1)))
    assert read_first(root, PREPROCESSED).notes == ("Not read: the variables note.",)


def test_another_unit_is_refused(mat):
    root, file = mat
    change(file, k2=vendor_files.noise(62, 600) * 1e-6)
    assert "as if in volt" in refusal(root, PREPROCESSED).found


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("emotions", "scores", "told"),
    [
        (SESSION_4, None, "row 1: found a clip of disgust, expected a clip of happy"),
        (SESSION_1, ["7"] * 20, "row 1: found the score '7', expected 0 to 1"),
        (SESSION_1, ["0.5"] * 19 + ["high"], "row 20: found the score 'high'"),
        (["film"] * 20, None, "a path that names no emotion"),
    ],
)
def test_a_wrong_table_of_scores_is_refused(mat, emotions, scores, told):
    root, _ = mat
    write_save(root, "1_20221001_1", emotions, scores)
    assert told in str(refusal(root, PREPROCESSED))


def test_a_table_of_scores_with_a_row_less_is_refused(mat):
    root, _ = mat
    file = root / "save_info/1_20221001_1_save_info.csv"
    file.write_text("\n".join(file.read_text().splitlines()[1:]))
    assert "19 rows" in refusal(root, PREPROCESSED).found


def test_a_score_that_was_not_given_is_no_rating(mat):
    root, _ = mat
    write_save(root, "1_20221001_1", SESSION_1, ["", "nan", *["1"] * 18])
    ratings = [event.ratings for event in read_first(root, PREPROCESSED).stimuli]
    assert ratings[:3] == [{}, {}, {"score": 1.0}]


@pytest.mark.parametrize(
    ("marks", "told"),
    [
        (MARKS[:-1], "20 starts and 19 ends"),
        ([(at, 1) for at, _ in MARKS], "40 starts and 0 ends"),
        (MARKS[::-1], "not in turn"),
        ([*MARKS[2:4], *MARKS[:2], *MARKS[4:]], "run backwards"),
    ],
)
def test_a_wrong_table_of_times_is_refused(one, marks, told):
    root, _ = one
    if told == "not in turn":
        marks = [MARKS[0], MARKS[2], MARKS[1], *MARKS[3:]]
    write_times(root, "1_20221015_1", marks)
    problem = refusal(root, RAW)
    assert problem.where.startswith("save_info/1_20221015_1_trigger_info.csv")
    assert told in problem.found


# --- continuous recordings --------------------------------------------------------------------------------------------


def test_a_recording_with_its_marks(one):
    recording = read_first(one[0], RAW)
    assert (recording.raw.info["sfreq"], recording.raw.n_times, recording.boundaries) == (1000, 81_000, [])
    assert [event.label for event in recording.stimuli] == [word.lower() for word in SESSION_1]
    assert [event.onset_s for event in recording.stimuli] == [1.0 + 4 * clip for clip in range(20)]
    assert {event.duration_s for event in recording.stimuli} == {3.0}
    assert recording.stimuli[7].ratings == {"score": 0.07}
    kinds = dict(zip(recording.raw.ch_names, recording.raw.get_channel_types(), strict=True))
    assert {name: kind for name, kind in kinds.items() if kind != "eeg"} == {
        "M1": "misc", "M2": "misc", "VEO": "eog", "HEO": "eog", "ECG": "ecg",
    }  # fmt: skip
    assert len(kinds) == 67
    assert recording.notes == ()


def test_channels_in_another_order_are_taken_by_name(one):
    root, file = one
    right = read_first(root, RAW)
    generator = np.random.default_rng(4)
    counts = generator.integers(-600, 600, (67, 81_000)).astype(np.int32)
    order = np.random.default_rng(1).permutation(67)
    names = [CNT[row] for row in order]
    write_cnt(file, names, 1000, counts[order], calibration=calibrations(67)[order], events=MARKS)
    recording = read_first(root, RAW)
    assert recording.raw.ch_names == right.raw.ch_names
    np.testing.assert_array_equal(recording.raw.get_data(), right.raw.get_data())
    assert "another order" in recording.notes[0]


def test_another_set_of_channels_is_refused(one):
    root, file = one
    write_recording(file, channels=[*CNT[:-1], "EKG2"])
    problem = refusal(root, RAW)
    assert "VEO" in problem.found
    write_recording(file, channels=[name for name in CNT if name != "ECG"])
    assert "ECG" in refusal(root, RAW).found


def test_another_rate_is_refused(one):
    root, file = one
    write_recording(file, rate_hz=500)
    assert refusal(root, RAW).where.endswith("1_20221015_1.cnt: rate")


@pytest.mark.parametrize("samples", [60_000, 20_000])
def test_a_recording_that_ends_too_early_is_refused(one, samples):
    root, file = one
    write_recording(file, samples=samples, events=[mark for mark in MARKS if mark[0] < samples])
    assert "marks" in str(refusal(root, RAW))


def test_a_truncated_file_is_refused(one):
    root, file = one
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    assert refusal(root, RAW).where.startswith("EEG_raw/1_20221015_1.cnt")


def test_a_missing_mark_is_refused_with_and_without_the_table(one):
    root, file = one
    write_recording(file, events=MARKS[:7] + MARKS[8:])
    assert "39 marks, which do not fit" in refusal(root, RAW).found
    (root / "save_info/1_20221015_1_trigger_info.csv").unlink()
    problem = refusal(root, RAW)
    assert problem.found == "39 marks"
    assert "1_20221015_1_trigger_info.csv" in problem.cure


def test_the_table_of_another_recording_is_refused(one):
    root, _ = one
    times = [(at * 2, code) for at, code in MARKS]
    write_times(root, "1_20221015_1", times)
    assert "do not fit" in refusal(root, RAW).found


@pytest.mark.parametrize("late_s", [-0.4, 0.4])
def test_a_slow_clock_and_another_time_of_day_do_not_matter(one, late_s):
    root, _ = one
    drifting = [(at * (1 + late_s / 81), code) for at, code in MARKS]
    write_times(root, "1_20221015_1", drifting, began_s=7_000.0)
    assert [event.onset_s for event in read_first(root, RAW).stimuli] == [1.0 + 4 * clip for clip in range(20)]


@pytest.mark.parametrize("at", [300, 5_500, 80_500])
def test_a_stray_mark_is_left_out_by_the_table_and_refused_without_it(one, at):
    root, file = one
    write_recording(file, events=sorted([*MARKS, (at, 1)]))
    recording = read_first(root, RAW)
    assert [event.onset_s for event in recording.stimuli] == [1.0 + 4 * clip for clip in range(20)]
    assert f"1 marks that save_info does not know were left out (at {at / 1000:.1f} s)" in recording.notes[0]
    (root / "save_info/1_20221015_1_trigger_info.csv").unlink()
    assert refusal(root, RAW).found == "41 marks"


def test_a_mark_lost_and_one_gained_give_no_clip_of_wrong_length(one):
    root, file = one
    write_recording(file, events=sorted([*MARKS[:9], *MARKS[10:], (300, 1)]))
    (root / "save_info/1_20221015_1_trigger_info.csv").unlink()
    assert "trial 1 " in refusal(root, RAW).found


def test_damage_anywhere_is_refused_or_read(one):
    root, file = one
    good = file.read_bytes()
    generator = random.Random(5)
    end = len(good) - 40 * 8 - 9
    outcomes = []
    for number in range(24):
        damaged = bytearray(good)
        if number % 4 == 0:
            del damaged[generator.randrange(len(damaged)) :]
        for _ in range(3):
            spot = generator.choice([generator.randrange(900 + 75 * 67), generator.randrange(end, len(good))])
            damaged[min(spot, len(damaged) - 1)] = generator.randrange(256)
        file.write_bytes(damaged)
        try:
            outcomes.append(len(read_first(root, RAW).stimuli))
        except DataProblem as problem:
            outcomes.append(problem.where.split(":")[0])
    assert set(outcomes) <= {20, "EEG_raw/1_20221015_1.cnt"}
    assert "EEG_raw/1_20221015_1.cnt" in outcomes


def test_damaged_tables_are_refused_or_read(one):
    root, _ = one
    for kind in ("save", "trigger"):
        table = root / f"save_info/1_20221015_1_{kind}_info.csv"
        good = table.read_bytes()
        generator = random.Random(6)
        outcomes = []
        for _ in range(40):
            damaged = bytearray(good)
            for _ in range(3):
                damaged[generator.randrange(len(damaged))] = generator.randrange(256)
            table.write_bytes(damaged)
            try:
                if kind == "save":
                    experiment.read_scores(table, table.name, 1, 20)
                else:
                    experiment.read_times(table, table.name, 20)
                outcomes.append("read")
            except DataProblem as problem:
                outcomes.append(problem.where.split(":")[0])
        table.write_bytes(good)
        assert set(outcomes) == {"read", table.name}

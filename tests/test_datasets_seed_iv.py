"""SEED-IV: its session folders, keys and lengths, and what its reader refuses. The trees are written here."""

from __future__ import annotations

import random
import shutil

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from eegpipe import datasets
from eegpipe.affect import AffectSource
from eegpipe.datasets import seed_iv
from eegpipe.errors import DataProblem

import vendor_files

# As the vendor's ReadMe lists them.
LABELS = [
    [1, 2, 3, 0, 2, 0, 0, 1, 0, 1, 2, 1, 1, 1, 2, 3, 2, 2, 3, 3, 0, 3, 0, 3],
    [2, 1, 3, 0, 0, 2, 0, 2, 3, 3, 2, 3, 2, 0, 1, 1, 2, 1, 0, 3, 0, 1, 3, 1],
    [1, 2, 2, 1, 3, 3, 3, 1, 1, 2, 1, 0, 2, 3, 3, 0, 2, 3, 0, 0, 2, 0, 1, 0],
]
WORDS = ["neutral", "sad", "fear", "happy"]
FILES = {1: ["1_20160518", "2_20150915"], 2: ["1_20161125", "2_20150920"], 3: ["1_20161126", "2_20151012"]}
[VARIANT] = seed_iv.DATASET.variants


def session_file(file, *, letters="ab"):
    """Trial k has the mean k in every channel; the variables stand in the order of their names as text."""
    keys = sorted(f"{letters}_eeg{trial}" for trial in range(1, 25))
    file.parent.mkdir(parents=True, exist_ok=True)
    savemat(file, {key: vendor_files.noise(62, 201, seed=int(key.split("_eeg")[1])) for key in keys})


def readme(root, labels=LABELS):
    lines = [f"session{number}_label = {codes};" for number, codes in enumerate(labels, start=1)]
    (root / "ReadMe.txt").write_text("\r\n".join(["The labels of the three sessions", *lines]), encoding="ascii")


def write_tree(root, *, subjects=1, sessions=3):
    facts = {"subjects": subjects, "sessions": sessions, "trials": 24}
    vendor_files.mark(root, **facts, sessions_trial_s=[[1.0] * 24] * sessions)
    readme(root)
    for session in range(1, sessions + 1):
        for subject in range(subjects):
            file = root / f"eeg_raw_data/{session}/{FILES[session][subject]}.mat"
            session_file(file, letters=("ab", "qzx")[subject])
    return root


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("iv") / "SEED_IV", subjects=2, sessions=2)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("one"), sessions=1)


@pytest.fixture
def one(written, tmp_path):
    """A tree of one recording, for damage: (root, signal file)."""
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    return tmp_path, tmp_path / "eeg_raw_data/1/1_20160518.mat"


def read_one(root):
    found = VARIANT.discover(root)
    assert len(found.entries) == 1
    return VARIANT.read(found.root, found.entries[0])


def refusal(root) -> DataProblem:
    with pytest.raises(DataProblem) as caught:
        read_one(root)
    return caught.value


def change(file, **variables):
    content = {key: value for key, value in loadmat(file).items() if not key.startswith("__")} | variables
    savemat(file, {key: value for key, value in content.items() if value is not None})


@pytest.mark.parametrize("inside", ["", "eeg_raw_data"])
def test_either_folder_may_be_named(tree, inside):
    dataset, variant = datasets.recognise(tree / inside)
    assert (dataset.name, variant) == ("seed_iv", VARIANT)
    found = VARIANT.discover(tree / inside)
    assert found.problems == []
    assert found.simulated
    assert [(entry.id.subject, entry.id.session) for entry in found.entries] == [
        ("01", "1"), ("01", "2"), ("02", "1"), ("02", "2"),
    ]  # fmt: skip
    prefix = "" if inside else "eeg_raw_data/"
    assert found.entries[1].files[0] == f"{prefix}2/1_20161125.mat"
    assert found.entries[1].files[1:] == (() if inside else ("ReadMe.txt",))
    assert found.notes == (["No ReadMe.txt: the published sequence of labels is used."] if inside else [])


def test_a_doubled_folder_is_looked_into(one):
    root, _ = one
    (root / "eeg_raw_data").rename(root / "inner")
    (root / "eeg_raw_data").mkdir()
    (root / "inner").rename(root / "eeg_raw_data/eeg_raw_data")
    assert read_one(root).id.stem == "sub-01_ses-1_task-emotion"


@pytest.mark.parametrize("other", ["eeg_feature_smooth", "eye_feature_smooth"])
def test_folders_with_the_same_names_that_hold_no_signal_are_not_recognised(one, other):
    root, _ = one
    shutil.copytree(root / "eeg_raw_data", root / other)
    assert datasets.recognise(root / other) is None
    [problem] = VARIANT.discover(root / other).problems
    assert other in problem.found
    assert len(VARIANT.discover(root).entries) == 1


def test_other_numbered_folders_are_not_recognised(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1/datas.mat").write_bytes(b"MDME has such folders")
    assert not VARIANT.recognise(tmp_path)
    assert "eeg_raw_data" in VARIANT.discover(tmp_path).problems[0].expected


def test_trials_are_joined_by_number_with_the_words_of_their_session(tree):
    found = VARIANT.discover(tree)
    for entry, session, letters in ((found.entries[0], 1, "ab"), (found.entries[3], 2, "qzx")):
        recording = VARIANT.read(found.root, entry)
        written = loadmat(tree / entry.files[0])
        assert (recording.raw.info["sfreq"], recording.raw.n_times) == (200, 24 * 201)
        assert recording.boundaries == [201 * trial for trial in range(1, 24)]
        assert [event.label for event in recording.stimuli] == [WORDS[code] for code in LABELS[session - 1]]
        assert [event.stimulus for event in recording.stimuli] == [
            f"seed_iv/{24 * (session - 1) + trial:02d}" for trial in range(1, 25)
        ]
        for event, (first, last) in zip(recording.stimuli, recording.blocks, strict=True):
            assert round(event.onset_s * 200) == first
            assert event.duration_s == pytest.approx(201 / 200)
            assert event.affect.source is AffectSource.WORD_NORM
            signal_uv = (recording.raw.get_data()[:, first:last] * 1e6).astype(np.float32)
            np.testing.assert_array_equal(signal_uv, written[f"{letters}_eeg{event.trial}"].astype(np.float32))


def test_channels_and_the_rest(one):
    recording = read_one(one[0])
    names = recording.raw.ch_names
    assert (len(names), names[0], names[1], names[27], names[57], names[61]) == (62, "Fp1", "Fpz", "Cz", "CB1", "CB2")
    assert set(recording.raw.get_channel_types()) == {"eeg"}
    assert all(np.isfinite(channel["loc"][:3]).all() for channel in recording.raw.info["chs"])
    assert (recording.line_hz, recording.sex, recording.age) == (50, "M", None)
    assert list(recording.history) == ["Downsampling"]


def test_missing_and_unknown_files_are_problems(one):
    root, file = one
    vendor_files.mark(root, subjects=2, sessions=2, trials=24, sessions_trial_s=[[1.0] * 24] * 2)
    shutil.copy(file, file.with_name("16_20140101.mat"))
    shutil.copy(file, file.with_name("1_20160519.mat"))
    (file.parent / "notes.docx").write_text("x")
    found = VARIANT.discover(root)
    told = [str(problem) for problem in found.problems]
    assert len(told) == 5
    assert "eeg_raw_data/1: subject 1: found 2 files (20160518, 20160519), expected one file" in told[0]
    assert "eeg_raw_data/2: subject 1: found 0 files" in told[1]
    assert "eeg_raw_data/1: subject 2: found 0 files" in told[2]
    assert "eeg_raw_data/1: subject 16: found an unknown subject" in told[4]
    assert found.entries == []
    assert found.notes == ["Not read: eeg_raw_data/1/notes.docx."]


def test_a_file_in_the_folder_of_another_session_is_a_problem(one):
    root, file = one
    file.rename(file.with_name("1_20161126.mat"))
    [problem] = VARIANT.discover(root).problems
    assert problem.found == "the file of session 3"
    assert "1_20160518.mat in folder 1" in problem.expected


def test_without_a_readme_the_published_labels_are_used(one):
    root, _ = one
    (root / "ReadMe.txt").unlink()
    assert VARIANT.discover(root).notes
    assert read_one(root).stimuli[2].label == "happy"


def test_labels_in_another_order_are_refused(one):
    root, _ = one
    readme(root, LABELS[::-1])
    problem = refusal(root)
    assert problem.where == "ReadMe.txt: session1_label"
    (root / "ReadMe.txt").write_bytes(b"\xff\xfe no labels here \x00")
    assert len(read_one(root).stimuli) == 24


def test_a_missing_trial_is_refused_without_the_personal_letters(one):
    root, file = one
    change(file, ab_eeg7=None)
    problem = refusal(root)
    assert "no trial 7" in problem.found
    assert "_eeg24" in problem.expected
    assert "ab_" not in str(problem)


def test_features_in_the_place_of_signals_are_refused(one):
    root, file = one
    savemat(file, {f"de_LDS{trial}": np.zeros((62, 10, 5)) for trial in range(1, 25)})
    assert "features" in str(refusal(root))


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (vendor_files.noise(62, 200), "200 samples"),
        (vendor_files.noise(62, 1001), "1001 samples"),
        (vendor_files.noise(201, 62), "shape (201, 62)"),
        (vendor_files.noise(66, 201), "shape (66, 201)"),
        (vendor_files.noise(62, 201).astype(np.int16), "int16"),
    ],
)
def test_a_wrong_array_is_refused(one, array, told):
    root, file = one
    change(file, ab_eeg10=array)
    problem = refusal(root)
    assert problem.where.endswith("1_20160518.mat: trial 10")
    assert told in problem.found


def test_single_precision_is_read(one):
    root, file = one
    array = vendor_files.noise(62, 201).astype(np.float32)
    change(file, ab_eeg1=array)
    recording = read_one(root)
    np.testing.assert_array_equal((recording.raw.get_data()[:, :201] * 1e6).astype(np.float32), array)


@pytest.mark.parametrize(("factor", "unit"), [(1e-6, "volt"), (1e3, "nanovolt"), (0.0, "the same value")])
def test_another_unit_is_refused(one, factor, unit):
    root, file = one
    change(file, ab_eeg2=vendor_files.noise(62, 201) * factor)
    problem = refusal(root)
    assert "trial 2" in problem.where
    assert unit in problem.found


def test_damage_anywhere_is_refused_or_read(one):
    root, file = one
    good = file.read_bytes()
    generator = random.Random(3)
    outcomes = []
    for number in range(30):
        damaged = bytearray(good)
        if number % 3 == 0:
            del damaged[generator.randrange(len(damaged)) :]
        else:
            for _ in range(4):
                start = generator.choice([0, 128, generator.randrange(len(damaged))])
                damaged[min(start + generator.randrange(64), len(damaged) - 1)] = generator.randrange(256)
        file.write_bytes(damaged)
        try:
            outcomes.append(len(read_one(root).stimuli))
        except DataProblem as problem:
            outcomes.append(problem.where.split(":")[0])
    assert set(outcomes) <= {24, "eeg_raw_data/1/1_20160518.mat"}
    assert "eeg_raw_data/1/1_20160518.mat" in outcomes


def test_the_vendors_lengths_are_checked_by_their_windows(monkeypatch, tmp_path):
    """Full lengths need 338 MB a file, so the heads of the variables are given here."""
    reported = {1: 33601, 2: 19001, 3: 39801, 8: 41801, 18: 35801, 20: 9601}
    lengths = {
        trial: reported.get(trial, 800 * windows + 401) for trial, windows in enumerate(seed_iv.WINDOWS[0], start=1)
    }

    def heads(*_):
        return {f"ab_eeg{trial}": ((62, length), "double") for trial, length in lengths.items()}

    monkeypatch.setattr(seed_iv.matlab, "list_variables", heads)
    keys, found = seed_iv._trials(tmp_path, "x.mat", 1, seed_iv.FACTS)
    assert keys[9] == "ab_eeg10"
    assert found == list(lengths.values())
    for wrong in (
        33601 + 800,
        33602,
        5 * 33600 + 1,
        42 * 800,
    ):  # a window more, a sample more, 1000 Hz, without the + 1
        lengths[1] = wrong
        with pytest.raises(DataProblem, match=r"trial 1: found .* expected 200 Hz x 168 to 171 whole seconds \+ 1"):
            seed_iv._trials(tmp_path, "x.mat", 1, seed_iv.FACTS)
    lengths[1] = 33601
    with pytest.raises(DataProblem, match="session 2"):  # the same file in the folder of another session
        seed_iv._trials(tmp_path, "x.mat", 2, seed_iv.FACTS)


def test_a_marker_of_another_experiment_is_refused(one):
    root, _ = one
    vendor_files.mark(root, subjects=1, sessions=1, trials=15, trial_s=[1.0])
    with pytest.raises(DataProblem, match="24 trials"):
        VARIANT.discover(root)

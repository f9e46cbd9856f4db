"""SEED-V: sets of clips that are not in the order of days, a broken file with a repaired copy, what is refused."""

from __future__ import annotations

import pickle
import shutil

import numpy as np
import pytest

from eegpipe import datasets
from eegpipe.datasets.formats import bcmi
from eegpipe.errors import DataProblem
from eegpipe.simulate import neuroscan

import vendor_files

DATASET = datasets.get("seed_v")
[RAW] = DATASET.variants
STARTS = [[2 * trial + session for trial in range(15)] for session in (1, 2, 3)]  # every clip lasts one second
STEMS = {
    1: "20180804 20180416 20180414 20180414 20180719 20180713 20180411 20180717 20180724 20180507 20180510 20180515 "
    "20180720 20180420 20180724 20180805",
    2: "20180810 20180419 20180419 20180417 20180728 20180731 20180418 20180802 20180804 20180524 20180508 20180508 "
    "20180806 20180423 20180807 20180815",
    3: "20180808 20180425 20180424 20180501 20180723 20180802 20180422 20180726 20180728 20180626 20180522 20180517 "
    "20180725 20180427 20180730 20180813",
}
NAMES = [
    f"{subject}_{session}_{STEMS[session].split()[subject - 1]}.cnt" for subject in range(1, 17) for session in STEMS
]


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    return neuroscan.to_counts(np.random.default_rng(0).normal(0, 15, (66, 33_000)))


def write_times(package, starts_s, length_s=1) -> None:
    lines = []
    for session, starts in enumerate(starts_s, start=1):
        stops = [start + length_s for start in starts]
        lines += [f"Session {session}:", f"start_second: {starts}", f"end_second: {stops}"]
    (package / "trial_start_end_timestamp.txt").write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture
def tree(tmp_path, counts):
    """(root, folder) of two subjects with two sessions each; only 1_2 is needed and has a signal."""
    times = {"sessions_trial_s": [[1] * 15] * 2, "sessions_start_s": STARTS[:2]}
    vendor_files.mark(tmp_path, subjects=2, sessions=2, trials=15, **times)
    folder = tmp_path / "SEED-V" / "EEG_raw"
    folder.mkdir(parents=True)
    for name in NAMES[:2] + NAMES[3:5]:
        (folder / name).touch()
    neuroscan.write_cnt(folder / NAMES[1], bcmi.ORDER_66, 1000, counts)
    write_times(folder.parent, STARTS)
    return tmp_path, folder


def read(root, index=1):
    return RAW.read(root, RAW.discover(root).entries[index])


def refusal(root) -> DataProblem:
    with pytest.raises(DataProblem) as caught:
        read(root)
    return caught.value


def test_a_session_is_a_set_of_clips(tree, counts):
    root, _ = tree
    found = RAW.discover(root)
    assert (found.problems, found.notes, found.simulated) == ([], [], True)
    assert [entry.id.stem for entry in found.entries] == [
        f"sub-{subject}_ses-{session}_task-emotion" for subject in ("01", "02") for session in (1, 2)
    ]
    recording = read(root)
    assert (recording.raw.n_times, recording.raw.info["sfreq"], recording.boundaries) == (33_000, 1000, [])
    assert [event.onset_s for event in recording.stimuli] == STARTS[1]
    words = "sad fear neutral disgust happy happy disgust neutral sad fear neutral happy fear sad disgust"
    assert [event.label for event in recording.stimuli] == words.split()
    assert [event.stimulus for event in recording.stimuli] == [f"seed_v/{clip}" for clip in range(16, 31)]
    assert [event.trial for event in recording.stimuli] == list(range(1, 16))
    assert (recording.sex, recording.age, recording.notes) == ("F", 21, ())
    happy = recording.stimuli[4].affect
    assert (happy.valence, happy.arousal, happy.source.text) == (2.32, 1.06, "word-norm")
    signal_uv = (recording.raw.get_data() * 1e6).astype(np.float32)
    np.testing.assert_array_equal(signal_uv, neuroscan.to_microvolt(counts).astype(np.float32))
    kinds = dict(zip(recording.raw.ch_names, recording.raw.get_channel_types(), strict=True))
    assert (kinds["VEO"], kinds["M2"], kinds["CB2"]) == ("eog", "misc", "eeg")


def test_either_end_may_be_named(tree):
    root, folder = tree
    for named in (root, root / "SEED-V", folder):
        assert datasets.recognise(named) == (DATASET, RAW)
        assert len(RAW.discover(named).entries) == 4


def test_published_facts_are_consistent_with_the_labels_and_features():
    facts = RAW.facts
    windows = [[int(duration // 4) for duration in session] for session in facts.sessions_trial_s]
    # The windows of 4 s of the vendor's own features.
    assert windows == [
        [18, 24, 59, 46, 36, 64, 74, 17, 66, 35, 43, 43, 58, 60, 38],
        [59, 47, 16, 31, 32, 14, 60, 57, 30, 24, 46, 29, 23, 54, 19],
        [72, 16, 41, 22, 13, 59, 21, 18, 57, 71, 55, 29, 51, 32, 44],
    ]
    assert [sum(session) for session in facts.sessions_trial_s] == [2743, 2191, 2425]
    for starts, lengths in zip(facts.sessions_start_s, facts.sessions_trial_s, strict=True):
        stops = [start + length for start, length in zip(starts, lengths, strict=True)]
        assert all(stop < start for stop, start in zip(stops, starts[1:], strict=False))


def test_all_48_files_are_found_in_the_order_of_numbers(tmp_path):
    for name in NAMES:
        (tmp_path / name).touch()
    found = RAW.discover(tmp_path)
    assert not found.problems
    assert [entry.files[0] for entry in found.entries] == NAMES
    assert [entry.id.subject for entry in found.entries[::3]] == [f"{number:02d}" for number in range(1, 17)]


def test_missing_doubled_and_stray_files(tree):
    root, folder = tree
    (folder / NAMES[0]).unlink()
    for name in ("2_1_20180501.cnt", "17_1_20180501.cnt", "1_3_20180808.cnt", "analysis.py"):
        (folder / name).touch()
    found = RAW.discover(root)
    told = [str(problem) for problem in found.problems]
    for part in (
        "subject 1: found no session 1",
        "found 2_1_20180416.cnt, 2_1_20180501.cnt for session 1, expected one file",
        "subject 17: found an unknown subject",
        "found 1_3_20180808.cnt, expected sessions 1 to 2",
    ):
        assert sum(part in one for one in told) == 1, part
    assert len(told) == 4
    assert [entry.id.stem[:12] for entry in found.entries] == ["sub-01_ses-2", "sub-02_ses-2"]
    assert found.notes == ["Not read: SEED-V/EEG_raw/analysis.py."]


def test_features_and_scores_are_named_and_never_opened(tree):
    root, folder = tree

    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was opened",))

    (folder.parent / "EEG_DE_features").mkdir()
    np.savez(folder.parent / "EEG_DE_features" / "1_123.npz", data=np.array(pickle.dumps(Bomb())))
    (folder.parent / "Scores.xlsx").touch()
    assert RAW.discover(root).notes == ["Not read: EEG_DE_features, Scores.xlsx."]
    assert len(read(root).stimuli) == 15


def test_the_repaired_copy_is_read(tree):
    root, folder = tree
    shutil.move(folder / NAMES[1], folder / NAMES[1].replace(".cnt", "_repaired.cnt"))
    found = RAW.discover(root)
    assert (found.problems, found.notes) == ([], [])
    assert read(root).notes == ("The repaired copy of the file was read.",)
    (folder / NAMES[1]).write_bytes(b"broken")
    found = RAW.discover(root)
    assert not found.problems
    assert found.notes == ["1_2_20180810_repaired.cnt is read, and the file of which it is the repaired copy is not."]
    assert len(found.entries) == 4
    assert len(read(root).stimuli) == 15
    (folder / "1_2_20180811_repaired.cnt").touch()
    assert "for session 2, expected one file" in str(RAW.discover(root).problems[0])


def test_other_times_are_refused_and_absent_ones_noted(tree):
    root, folder = tree
    times = folder.parent / "trial_start_end_timestamp.txt"
    write_times(folder.parent, [STARTS[0], STARTS[0]])
    assert refusal(root).where == "SEED-V/trial_start_end_timestamp.txt: session 2, start_second"
    write_times(folder.parent, STARTS, length_s=2)
    assert refusal(root).where.endswith("session 2, end_second")
    write_times(folder.parent, STARTS[:1])
    assert refusal(root).found == "no such list"
    times.write_bytes(bytes(range(256)))
    assert refusal(root).found == "no such list"
    times.unlink()
    assert "published times" in RAW.discover(root).notes[0]
    assert len(read(root).stimuli) == 15


def test_what_is_refused(tree, counts):
    root, folder = tree
    file = folder / NAMES[1]
    where = f"SEED-V/EEG_raw/{NAMES[1]}"
    good = file.read_bytes()
    file.write_bytes(good[: len(good) * 9 // 10])
    problem = refusal(root)
    assert (problem.where, problem.found) == (where, "29.7 s of signal, which end before trial 15 does")
    neuroscan.write_cnt(file, bcmi.ORDER_66, 500, counts)
    assert (refusal(root).found, refusal(root).expected) == ("500 Hz", "1000 Hz")
    neuroscan.write_cnt(file, [*bcmi.ORDER_66[:-1], "ECG"], 1000, counts)
    assert "without HEO, and ECG" in refusal(root).found
    neuroscan.write_cnt(file, bcmi.ORDER_66, 1000, counts, sensitivity=neuroscan.SENSITIVITY * 1e-6)
    assert "as if in volt" in refusal(root).found


def test_an_empty_folder_says_what_belongs_there(tmp_path):
    assert not RAW.recognise(tmp_path)
    assert "EEG_raw" in str(RAW.discover(tmp_path).problems[0])
    (tmp_path / "1_20221001_1.cnt").touch()  # SEED-VII's
    assert not RAW.recognise(tmp_path)

"""The documented irregularities of MDME: how a plain reading goes wrong, and what eegpipe reads."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from scipy.io import loadmat, whosmat

from eegpipe import channels
from eegpipe.datasets.mdme import DATASET
from eegpipe.simulate import SimulateSettings, simulate

VARIANT = DATASET.variants[0]
# As public code has them: electrodes in file order, seconds of videos 0 to 31.
ELECTRODES = [
    "Fp1",
    "Fp2",
    "Fz",
    "F3",
    "F4",
    "F7",
    "F8",
    "Cz",
    "C3",
    "C4",
    "T3",
    "T4",
    "P3",
    "P4",
    "T5",
    "T6",
    "O1",
    "O2",
]
SECONDS = [
    20, 29, 29, 30, 29, 30, 30, 28, 22, 23, 30, 31, 24, 28, 29, 27, 29, 28, 27, 30, 31, 26, 32, 24, 26, 22, 30, 23, 24,
    23, 20, 29,
]  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("mdme")
    settings = SimulateSettings(subjects=3, trial_s=9, traps=True, seed=2)
    simulate("mdme", root / "raw", settings, truth=root / "truth")
    return root / "raw"


@pytest.fixture(scope="module")
def recordings(tree):
    found = VARIANT.discover(tree)
    assert found.problems == []
    return {entry.id.subject: VARIANT.read(found.root, entry) for entry in found.entries}


def ours_uv(recording, video):
    [event] = [event for event in recording.stimuli if event.stimulus == f"mdme/{video:02d}"]
    first = round(event.onset_s * 300)
    return recording.raw.get_data(start=first, stop=first + round(event.duration_s * 300)) * 1e6


def shrunk(seconds):
    """To 9 s on average, in whole seconds."""
    return [round(9 * value / np.mean(seconds)) for value in seconds]


FIRST = shrunk(SECONDS)[0] * 300  # samples of video 0


def table(tree, number):
    return (tree / f"{number}/{number}/Arousal_Valence.csv").read_text(encoding="utf-8")


def test_files_are_the_vendors(tree):
    assert list(VARIANT.facts.trial_s) == SECONDS
    assert sorted(path.name for path in tree.iterdir() if path.is_dir()) == ["1", "2", "5"]
    for number in (1, 2, 5):
        shapes = {name: (shape, kind) for name, shape, kind in whosmat(tree / f"{number}/datas.mat")}
        (rows, samples), kind = shapes["eeg_datas"]
        assert (rows, kind, samples % 300) == (19, "double", 0)
        assert shapes["gsr_datas"][0] == (2, samples // 300 * 4)
        assert shapes["ppg_datas"][0] == (2, samples // 300 * 100)
        assert shapes["dis_label"][0][0] == 32
        ids = loadmat(tree / f"{number}/datas.mat")["eeg_datas"][18]
        lasts_s = {int(video): int((ids == video).sum()) / 300 for video in np.unique(ids)}
        rest_s = lasts_s.pop(40)
        assert rest_s > 0
        assert lasts_s == dict(enumerate(shrunk(SECONDS)))
        rows_of_text = [list(map(int, row)) for row in csv.reader(io.StringIO(table(tree, number)))]
        assert sorted(video for video, *_ in rows_of_text) == list(range(32))
        assert all(1 <= mark <= 9 for _, *row in rows_of_text for mark in row)
    assert {"fs_eeg", "fs_gsr", "fs_ppg"} <= {name for name, *_ in whosmat(tree / "5/datas.mat")}


def test_m1_counting_seconds_from_the_start_takes_rest_for_video_0(tree, recordings):
    eeg = loadmat(tree / "1/datas.mat")["eeg_datas"]
    naive = eeg[:18, :FIRST]
    assert (eeg[18, :FIRST] == 40).all()  # what it took is the resting state
    right = ours_uv(recordings["01"], 0)
    np.testing.assert_array_equal(right.astype(np.float32), eeg[:18, eeg[18] == 0].astype(np.float32))
    assert abs(np.corrcoef(naive.ravel(), right.ravel())[0, 1]) < 0.2


def test_m1_leaving_out_the_first_minute_fails_where_rest_is_last(tree, recordings):
    eeg = loadmat(tree / "2/datas.mat")["eeg_datas"]
    assert eeg[18, 0] == 0
    assert eeg[18, -1] == 40
    rest = int((eeg[18] == 40).sum())
    naive = eeg[:18, rest : rest + FIRST]
    right = ours_uv(recordings["02"], 0)
    assert not np.allclose(naive, right, atol=1)
    np.testing.assert_array_equal(right.astype(np.float32), eeg[:18, :FIRST].astype(np.float32))


def test_m1_the_id_row_is_no_electrode(tree, recordings):
    naive = loadmat(tree / "1/datas.mat")["eeg_datas"]
    assert set(np.unique(naive[-1])) == {*range(32), 40}
    assert len(recordings["01"].raw.ch_names) == len(naive) - 1 == 18


def test_m2_a_header_that_is_none_loses_a_video_and_swaps_the_axes(tree, recordings):
    text = table(tree, 1)
    naive = list(csv.DictReader(io.StringIO(text)))
    assert len(naive) == 31
    by_habit = {int(video): (float(first), float(second)) for video, first, second, _ in csv.reader(io.StringIO(text))}
    valence = {int(event.stimulus[-2:]): event.ratings["valence"] for event in recordings["01"].stimuli}
    assert len(valence) == 32
    assert any(by_habit[video][0] != valence[video] for video in valence)  # valence first, as in DEAP
    # The clips' own labels tell which column is valence: positive videos are rated higher than negative ones.
    apart = [np.mean([by_habit[v][column] for v in range(8)]) - np.mean([by_habit[v][column] for v in range(8, 16)])
             for column in (0, 1)]  # fmt: skip
    assert apart[1] > 3 > abs(apart[0])
    assert valence == {video: by_habit[video][1] for video in by_habit}


def test_m3_ratings_by_line_are_those_of_other_videos(tree, recordings):
    lines = list(csv.reader(io.StringIO(table(tree, 5))))
    naive = [float(row[2]) for row in lines]  # line k for video k
    right = {int(video): float(valence) for video, _, valence, _ in lines}
    assert [int(row[0]) for row in lines] != list(range(32))
    ours = [event.ratings["valence"] for event in recordings["05"].stimuli]
    assert ours == [right[video] for video in range(32)] != naive


def test_m4_one_rate_for_all_signals_gives_three_durations(tree, recordings):
    lengths = {name: shape[1] for name, shape, _ in whosmat(tree / "1/datas.mat") if name.endswith("_datas")}
    naive = {length / 300 for length in lengths.values()}
    assert len(naive) == 3
    total_s = {lengths[name] / rate for name, rate in (("eeg_datas", 300), ("gsr_datas", 4), ("ppg_datas", 100))}
    assert len(total_s) == 1
    assert recordings["01"].raw.info["sfreq"] == 300
    assert [event.duration_s for event in recordings["01"].stimuli] == shrunk(SECONDS)


def test_c4_old_names_are_not_taken_for_other_electrodes(recordings):
    assert {"T3", "T4", "T5", "T6"} & set(channels.schema()) == set()  # matched by their text they would be lost
    names = recordings["01"].raw.ch_names
    assert [names[ELECTRODES.index(old)] for old in ("T3", "T4", "T5", "T6")] == ["T7", "T8", "P7", "P8"]
    assert len(names) == 18


def test_a_person_does_not_depend_on_the_others(tree, tmp_path):
    settings = SimulateSettings(subjects=1, trial_s=9, traps=True, seed=2)
    simulate("mdme", tmp_path / "raw", settings, truth=tmp_path / "truth")
    for name in ("1/datas.mat", "1/1/Arousal_Valence.csv"):
        assert (tmp_path / "raw" / name).read_bytes() == (tree / name).read_bytes()

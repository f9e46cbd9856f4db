"""AMIGOS' irregularities in simulated files, opened with scipy and openpyxl: where a naive reading goes wrong."""

from __future__ import annotations

import csv

import mne
import numpy as np
import openpyxl
import pytest
from scipy.io import loadmat

from eegpipe.datasets import amigos
from eegpipe.datasets.formats.xlsx import read_table
from eegpipe.errors import DataProblem
from eegpipe.simulate import SimulateSettings, simulate

VARIANTS = {variant.name: variant for variant in amigos.DATASET.variants}


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """Variant -> root with raw and truth, of the same people."""
    root = tmp_path_factory.mktemp("amigos")
    for name in VARIANTS:
        settings = SimulateSettings(variant=name, subjects=4, trial_s=30, traps=True, seed=3)
        simulate("amigos", root / name / "raw", settings, truth=root / name / "truth")
    return root


@pytest.fixture(scope="module")
def read(trees):
    done = {}

    def once(variant, subject, session="short"):
        key = (variant, subject, session)
        if key not in done:
            found = VARIANTS[variant].discover(trees / variant / "raw")
            [entry] = [one for one in found.entries if (int(one.id.subject), one.id.session) == (subject, session)]
            done[key] = VARIANTS[variant].read(found.root, entry)
        return done[key]

    return once


@pytest.fixture(scope="module")
def opened(trees):
    """The file of a person as scipy gives it."""

    def load(variant, subject):
        [file] = (trees / variant / "raw").rglob(f"Data_*_P{subject:02d}.mat")
        return loadmat(file)

    return load


def truth(trees, variant, subject, session="short"):
    with (trees / variant / "truth/trials.tsv").open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t")
        return [row for row in rows if (int(row["subject"]), row["session"]) == (subject, session)]


def ids(content) -> list[str]:
    return [str(cell[0]) for cell in content["VideoIDs"][0]]


def test_the_files_are_the_vendors_by_another_reader(opened):
    content = opened("preprocessed", 9)
    names = ["VideoIDs", "joined_data", "labels_ext_annotation", "labels_selfassessment"]
    assert [key for key in content if not key.startswith("__")] == names
    assert [content[name].shape for name in names] == [(1, 20)] * 4
    assert [content[name][0, 0].shape for name in names[1:]] == [(len(content[names[1]][0, 0]), 17), (1, 3), (1, 12)]
    assert content["joined_data"][0, 0].dtype == content["labels_selfassessment"][0, 0].dtype == np.float64
    assert sorted(ids(content)) == sorted(
        "4 5 9 10 13 18 19 20 23 30 31 34 36 58 80 138 N1 P1 B1 U1".split()  # noqa: SIM905
    )
    content = opened("original", 9)
    assert [key for key in content if not key.startswith("__")] == ["EEG_DATA", "ECG_DATA", "GSR_DATA", "VideoIDs"]
    assert content["EEG_DATA"][0, 0].shape[1] == 25
    assert len(content["ECG_DATA"][0, 0]) == 2 * len(content["EEG_DATA"][0, 0])


def test_g1_arousal_comes_before_valence(opened, read, trees):
    content = opened("preprocessed", 9)
    ours = {event.stimulus: event.affect for event in read("preprocessed", 9).stimuli}
    rows = {row["stimulus"]: row for row in truth(trees, "preprocessed", 9)}
    assert set(ours) == set(rows)
    for video, labels in zip(ids(content), content["labels_selfassessment"][0], strict=True):
        if (stimulus := f"amigos/{video}") in ours:
            assert ours[stimulus].valence == pytest.approx(float(rows[stimulus]["valence"]), abs=1e-5)
            assert ours[stimulus].arousal == pytest.approx(labels[0, 0] - 5)
    planted = [float(row["planted_valence"]) for row in rows.values()]
    by_video = dict(zip(ids(content), content["labels_selfassessment"][0], strict=True))
    columns = np.array([by_video[stimulus.removeprefix("amigos/")][0, :2] for stimulus in rows])
    naive, right = (np.corrcoef(planted, columns[:, column])[0, 1] for column in (0, 1))  # DEAP has valence first
    assert right > 0.8 > naive


def test_g2_the_baseline_is_inside_the_cell(opened, read):
    content = opened("preprocessed", 9)
    event = read("preprocessed", 9).stimuli[0]
    table = content["joined_data"][0, event.trial - 1]
    assert len(table) / 128 == event.duration_s + 5  # naive: the whole cell is the video
    assert event.onset_s == 5
    assert all(one.duration_s == 5 for one in read("preprocessed", 9).events if one.kind == "baseline")


def test_g3_empty_cells_keep_their_place(opened, read, trees):
    content = opened("preprocessed", 8)
    tables = content["joined_data"][0]
    assert [tables[ids(content).index(video)].shape for video in ("N1", "P1", "B1", "U1")] == [(0, 0)] * 4
    naive = dict(zip(ids(content), [table for table in tables if table.size], strict=False))  # without the empty ones
    right = dict(zip(ids(content), tables, strict=True))
    wrong = [video for video in naive if naive[video].shape != right[video].shape]
    assert wrong
    assert [event.stimulus for event in read("preprocessed", 8).stimuli] == [
        row["stimulus"] for row in truth(trees, "preprocessed", 8)
    ]
    found = VARIANTS["preprocessed"].discover(trees / "preprocessed/raw")
    assert "08" not in {entry.id.subject for entry in found.entries if entry.id.session == "long"}
    assert any("subject 8" in note for note in found.notes)


@pytest.mark.parametrize("variant", VARIANTS)
def test_g3_without_ratings_the_signal_stays_and_affect_is_unknown(read, variant):
    recording = read(variant, 32, "long")
    assert len(recording.stimuli) == 4
    assert all(np.isnan(event.affect.valence) and not event.ratings for event in recording.stimuli)
    assert "valence and arousal are unknown" in " ".join(recording.notes)
    assert all(event.ratings for event in read(variant, 32, "short").stimuli)


def test_g3_an_empty_rating_is_an_empty_array(opened):
    content = opened("preprocessed", 32)
    shapes = {label.shape for label in content["labels_selfassessment"][0]}
    assert shapes == {(1, 12), (1, 0)}
    assert len(content["labels_selfassessment"][0]) == 20


def test_g4_nan_spoils_one_trial_and_not_the_person(opened, read, trees):
    content = opened("preprocessed", 9)
    spoilt = [
        video for video, table in zip(ids(content), content["joined_data"][0], strict=True) if np.isnan(table).any()
    ]
    assert spoilt == ["13", "P1"]
    joined = np.concatenate([table[:, :14] for table in content["joined_data"][0] if table.shape[1] == 17])
    naive = mne.filter.filter_data(joined.T, 128, 1, 40, method="iir", verbose="error")
    assert np.isnan(naive[4]).all()
    recording = read("preprocessed", 9)
    assert np.isfinite(recording.raw.get_data()).all()
    assert "amigos/13" not in [event.stimulus for event in recording.stimuli]
    assert "Left out, because EEG channels hold NaN: video 13." in recording.notes
    assert len(recording.stimuli) == len(truth(trees, "preprocessed", 9)) == 14


def test_g4_a_person_without_any_good_trial_is_refused_as_known(read):
    with pytest.raises(DataProblem) as caught:
        read("preprocessed", 12)
    assert caught.value.where.endswith("Data_Preprocessed_P12.mat: joined_data, EEG of all short videos")
    assert amigos.DATASET.known(caught.value).name == "G4"
    assert len(read("preprocessed", 12, "long").stimuli) == 4


def test_g4_a_bad_channel_beside_the_eeg_costs_only_itself(opened, read):
    content = opened("preprocessed", 32)
    assert np.isnan(content["joined_data"][0, ids(content).index("20")][:, 15]).all()
    recording = read("preprocessed", 32)
    assert len(recording.stimuli) == 16
    assert recording.raw.ch_names[14:] == ["ECG Right", "GSR"]
    assert "Left out, because it holds NaN: channel ECG Left." in recording.notes


def test_g5_videos_are_matched_by_id(opened, read, trees):
    content = opened("preprocessed", 32)
    usual = ids(opened("preprocessed", 9))
    assert ids(content) != usual
    recording = read("preprocessed", 32)
    rows = truth(trees, "preprocessed", 32)
    naive = [f"amigos/{video}" for video in usual[:16]]  # by place
    ours = [event.stimulus for event in recording.stimuli]
    assert ours == [row["stimulus"] for row in rows] != naive
    for event, (first, last) in zip(recording.stimuli, recording.blocks, strict=True):
        place = ids(content).index(event.stimulus.removeprefix("amigos/"))
        table = content["joined_data"][0, place]
        ours_uv = recording.raw.get_data(picks=range(14))[:, first:last] * 1e6
        np.testing.assert_array_equal(ours_uv.astype(np.float32), table[:, :14].T.astype(np.float32))
        assert event.trial == place + 1
        assert event.ratings["arousal"] == content["labels_selfassessment"][0, place][0, 0]
    assert any("another order" in note for note in recording.notes)


def test_g6_a_trial_of_sixteen_columns_is_left_out(opened, read):
    content = opened("preprocessed", 9)
    table = content["joined_data"][0, ids(content).index("31")]
    assert table.shape[1] == 16
    naive = table[:, :14]  # the last "electrode" is an electrocardiogram
    assert naive[:, 13].std() > 5 * np.median(naive[:, :13].std(axis=0))
    recording = read("preprocessed", 9)
    assert "amigos/31" not in [event.stimulus for event in recording.stimuli]
    assert "Left out, because there are 16 columns instead of 17: video 31." in recording.notes


def test_g7_device_columns_are_no_eeg(opened, read):
    content = opened("original", 9)
    recording = read("original", 9)
    first, last = recording.blocks[0]
    table = content["EEG_DATA"][0, recording.stimuli[0].trial - 1]
    naive = table[:, :14]  # the first fourteen columns: a counter, seconds and the contact are taken for AF3, F7 and F3
    assert (np.median(naive, axis=0)[:3] < 1000).all()
    ours_uv = recording.raw.get_data()[:, first:last] * 1e6
    assert recording.raw.ch_names == list(VARIANTS["original"].facts.channels)
    np.testing.assert_array_equal(ours_uv.astype(np.float32), table[:, 3:17].T.astype(np.float32))


def test_g8_a_column_that_stands_twice_counts_once(trees, read):
    metadata = trees / "original/raw/Metadata"
    sheet = openpyxl.load_workbook(metadata / "SelfAssessment.xlsx").active
    header, *rows = sheet.iter_rows(values_only=True)
    assert header.count("VideoID") == 2
    naive = {(row[0], str(dict(zip(header, row, strict=True))["VideoID"])): row for row in rows}  # the last one wins
    right = {(row[0], str(row[header.index("VideoID")])): row for row in rows}
    assert set(naive) != set(right)
    arousal = header.index("Arousal")
    for event in read("original", 9).stimuli:
        assert event.ratings["arousal"] == right[9, event.stimulus.removeprefix("amigos/")][arousal]

    order = read_table(metadata / "Experiment_Data.xlsx", "Experiment_Data.xlsx", needed=("userid", "videoid"))
    presented = [row["videoid"] for row in order if row["userid"] == 9 and isinstance(row["videoid"], float)]
    numbers = [row["videonumber"] for row in order if row["userid"] == 9 and isinstance(row["videoid"], float)]
    assert numbers == list(range(1, 17))  # the first column: the place in the presentation
    shown = [event.stimulus for event in read("original", 9).stimuli]
    assert [f"amigos/{video:g}" for video in presented] == shown


@pytest.mark.parametrize("session", ["short", "long"])
def test_the_two_variants_are_the_same_experiment(read, session):
    ours = {name: read(name, 9, session) for name in VARIANTS}
    trials = {}
    for name, recording in ours.items():
        for event in recording.stimuli:
            start = round(event.onset_s * 128)
            signal = recording.raw.get_data(picks=range(14))[:, start : start + round(event.duration_s * 128)] * 1e6
            if name == "original":
                signal = mne.filter.filter_data(signal - signal.mean(axis=0), 128, 4, 45, verbose="error")
            trials[name, event.stimulus] = (signal, event)
    common = {stimulus for name, stimulus in trials if name == "preprocessed"}
    assert common < {stimulus for name, stimulus in trials if name == "original"}
    assert len(common) == (14 if session == "short" else 3)
    assert [event.stimulus for event in ours["original"].stimuli] != [e.stimulus for e in ours["preprocessed"].stimuli]
    for stimulus in common:
        (one, event), (other, twin) = (trials[name, stimulus] for name in VARIANTS)
        assert event.ratings == twin.ratings
        assert event.affect == twin.affect
        assert event.duration_s == twin.duration_s
        own = [np.corrcoef(a, b)[0, 1] for a, b in zip(one, other, strict=True)]
        assert np.median(own) > 0.6

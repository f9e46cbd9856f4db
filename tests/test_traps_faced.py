"""The documented irregularities of FACED: how a plain reading goes wrong, and what eegpipe reads.

The simulated files are opened with mne, scipy, pickle and csv; only what is called ours comes through eegpipe.
"""

from __future__ import annotations

import csv
import io
import pickle
import warnings

import mne
import numpy as np
import pytest
from scipy.io import loadmat

from eegpipe import affect
from eegpipe.datasets.faced import DATASET
from eegpipe.errors import DataProblem
from eegpipe.simulate import SimulateSettings, simulate

PROCESSED, RAW, REHOST = DATASET.variants
_PROCESSED_ORDER = (
    "Fp1 Fp2 Fz F3 F4 F7 F8 FC1 FC2 FC5 FC6 Cz C3 C4 T7 T8 CP1 CP2 CP5 CP6 Pz P3 P4 P7 P8 PO3 PO4 Oz O1 O2 A2 A1"
)
ORDER = _PROCESSED_ORDER.split()
# 000: first group, 1000 Hz, no rest markers. 023: '?V', ten markers 100. 045: another task with a stray start, the
# longer clip 22. 049: another task, seven markers 100. 061: second group, without the last 202.
PEOPLE = (0, 23, 45, 49, 61)


def make(root, variant, **settings):
    simulate("faced", root / "raw", SimulateSettings(variant=variant, seed=4, **settings), truth=root / "truth")
    return root / "raw"


@pytest.fixture(scope="module")
def raw_tree(tmp_path_factory):
    return make(tmp_path_factory.mktemp("faced-raw"), "raw", subjects=5, trial_s=5, traps=True)


@pytest.fixture(scope="module")
def host_tree(tmp_path_factory):
    return make(tmp_path_factory.mktemp("faced-host"), "rehost", subjects=2, trial_s=5, traps=True)


@pytest.fixture(scope="module")
def cut_tree(tmp_path_factory):
    return make(tmp_path_factory.mktemp("faced-cut"), "processed", subjects=4, trial_s=4, traps=True)


def folder(tree, subject):
    return tree / "Data" / "Data" / f"sub{subject:03d}"


def opened(tree, subject) -> mne.io.BaseRaw:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mne.io.read_raw_bdf(folder(tree, subject) / "data.bdf", preload=True, verbose="error")


def markers(tree, subject) -> list[tuple[float, str]]:
    """As mne reads them, in order of time."""
    found = mne.read_annotations(folder(tree, subject) / "evt.bdf")
    return list(zip(found.onset.tolist(), found.description.tolist(), strict=True))


@pytest.fixture(scope="module")
def ours(raw_tree):
    found = RAW.discover(raw_tree)
    assert found.problems == []
    return {int(entry.id.subject): RAW.read(found.root, entry) for entry in found.entries}


def presented(tree, subject) -> list[int]:
    rows = loadmat(folder(tree, subject) / "After_remarks.mat")["After_remark"].ravel()
    return [int(row["vid"].item()) for row in rows]


def clips_of(recording) -> list[int]:
    return [int(event.stimulus.removeprefix("faced/")) for event in recording.stimuli]


# --- whole recordings -------------------------------------------------------------------------------------------------


def test_the_people_show_every_irregularity(raw_tree, ours):
    assert tuple(ours) == PEOPLE == RAW.simulator.design.trap_people
    counts = {subject: sum(text == "100" for _, text in markers(raw_tree, subject)) for subject in PEOPLE}
    assert counts == {0: 5, 23: 10, 45: 8, 49: 7, 61: 5}


def test_t8a_two_rates(raw_tree, ours):
    rates = {subject: opened(raw_tree, subject).info["sfreq"] for subject in PEOPLE}
    assert rates == {0: 1000, 23: 250, 45: 250, 49: 250, 61: 1000}
    sizes = {subject: (folder(raw_tree, subject) / "data.bdf").stat().st_size for subject in PEOPLE}
    for subject, recording in ours.items():
        assert recording.raw.info["sfreq"] == rates[subject]
        assert sizes[subject] == 8448 + recording.raw.n_times / rates[subject] * rates[subject] * 32 * 3
    # All at 1000 Hz, the last clip of 023 would lie behind the end of its file.
    last = ours[23].stimuli[-1]
    assert last.onset_s * 1000 > ours[23].raw.n_times > (last.onset_s + last.duration_s) * 250


def test_t8b_two_channel_orders(raw_tree, ours):
    first, second = opened(raw_tree, 0), opened(raw_tree, 61)
    assert first.ch_names[16:18] == ["A1", "A2"]
    assert second.ch_names[16:18] == ["CP1", "CP2"]
    for subject, raw in ((0, first), (61, second)):
        by_place = raw.get_data()[ORDER.index("CP1")]
        by_name = raw.get_data("CP1")[0]
        assert np.array_equal(by_place, by_name) == (subject == 61)
        np.testing.assert_allclose(ours[subject].raw.get_data("CP1")[0], by_name, atol=2e-9)
        for old, new in (("T5", "P7"), ("A1", "A1")) if subject == 0 else (("P7", "P7"), ("HEOL", "A1")):
            np.testing.assert_allclose(ours[subject].raw.get_data(new)[0], raw.get_data(old)[0], atol=2e-9)
    assert ours[0].raw.ch_names == ours[61].raw.ch_names == ORDER


def test_t8c_the_lost_micro_sign(raw_tree, ours):
    naive = opened(raw_tree, 23).get_data("Cz")[0]
    assert np.std(naive) > 1  # volt?
    header = (folder(raw_tree, 23) / "data.bdf").read_bytes()[256 + 96 * 32 :][:8]
    assert header == b"?V      "
    np.testing.assert_allclose(ours[23].raw.get_data("Cz")[0], naive * 1e-6, atol=2e-9)
    assert any("'?V'" in note for note in ours[23].notes)
    assert not any("'?V'" in note for subject in (0, 45, 49, 61) for note in ours[subject].notes)


def test_t9a_more_and_fewer_markers_of_the_beginning(raw_tree, ours):
    """Whoever takes five of them away and reads the rest in triples reads nonsense."""
    for subject, right in ((0, True), (23, False), (49, False)):
        codes = [text for _, text in markers(raw_tree, subject) if text.isdigit() and text not in ("201", "202")][5:]
        triples = [codes[at : at + 3] for at in range(0, len(codes) - 2, 3)]
        naive = [int(video) for video, start, end in triples if (start, end) == ("101", "102")]
        assert (naive == presented(raw_tree, subject)) == right
        assert clips_of(ours[subject]) == presented(raw_tree, subject)


def test_t9b_rest_markers_may_be_missing(raw_tree, ours):
    counts = {
        subject: tuple(sum(text == code for _, text in markers(raw_tree, subject)) for code in ("201", "202"))
        for subject in PEOPLE
    }
    assert counts == {0: (0, 0), 23: (2, 2), 45: (0, 0), 49: (0, 0), 61: (2, 1)}
    for subject in (0, 45, 49):
        with pytest.raises(ValueError, match="not in list"):  # "the clips lie behind the first rest"
            [text for _, text in markers(raw_tree, subject)].index("202")
    times = {code: [onset for onset, text in markers(raw_tree, 61) if text == code] for code in ("201", "202")}
    with pytest.raises(ValueError, match="shorter"):
        list(zip(times["201"], times["202"], strict=True))
    for subject in PEOPLE:
        assert sorted(clips_of(ours[subject])) == list(range(1, 29))


def test_t9c_a_start_of_another_task(raw_tree, ours):
    """Starts and ends paired one after the other: every clip of 045 would begin one too early."""
    for subject, stray in ((45, True), (49, False)):
        found = markers(raw_tree, subject)
        starts = [onset for onset, text in found if text == "101"]
        ends = [onset for onset, text in found if text == "102"]
        assert (len(starts), len(ends)) == (28 + stray, 28)
        right = [(event.onset_s, event.onset_s + event.duration_s) for event in ours[subject].stimuli]
        assert (starts[:28] == pytest.approx([onset for onset, _ in right])) != stray
        assert [onset for onset, _ in right] == pytest.approx(starts[stray:])
        assert [end for _, end in right] == pytest.approx(ends)
        assert any("belong to no clip" in note for note in ours[subject].notes)


def test_t9d_texts_among_the_markers(raw_tree, ours):
    texts = [text for _, text in markers(raw_tree, 61)]
    with pytest.raises(ValueError, match="Impedance"):
        [int(text) for text in texts]
    assert len(ours[61].stimuli) == 28
    assert any("2 texts" in note for note in ours[61].notes)


def test_f1_the_longer_version_of_clip_22(ours):
    def shown(subject):
        return next(event for event in ours[subject].stimuli if event.stimulus == "faced/22")

    long, usual = shown(45), shown(23)
    assert long.duration_s - usual.duration_s == pytest.approx(8.116, abs=1.3)
    # Five seconds after its beginning, 045 sees what nobody else saw; the ends are the same moment of the clip.
    assert long.stimulus_offset_s + 5 < 0 == usual.stimulus_offset_s
    assert long.stimulus_offset_s + long.duration_s == pytest.approx(usual.duration_s, abs=1.3)
    others = [event for event in ours[45].stimuli if event.stimulus != "faced/22"]
    assert {event.stimulus_offset_s for event in others} == {0.0}


def test_f3_electrode_offsets(raw_tree, ours):
    naive_uv = opened(raw_tree, 0).get_data() * 1e6
    assert np.std(naive_uv) > 1000  # of all values, as if no EEG
    assert np.abs(np.median(naive_uv, axis=1)).max() > 5000
    moving_uv = ours[0].raw.get_data(picks="eeg") * 1e6
    spread = np.median(np.abs(moving_uv - np.median(moving_uv, axis=1, keepdims=True)), axis=1)
    assert np.median(spread) < 200


# --- Processed_data and the ratings -----------------------------------------------------------------------------------


def cut(tree, subject, entry=False):
    found = PROCESSED.discover(tree)
    [one] = [one for one in found.entries if one.id.subject == f"{subject:03d}"]
    return one if entry else PROCESSED.read(found.root, one)


def test_t10_ratings_in_order_of_presentation(cut_tree):
    rows = loadmat(folder(cut_tree, 0) / "After_remarks.mat")["After_remark"].ravel()
    by_place = [float(row["score"][0, 9]) for row in rows]
    by_video = [float(row["score"][0, 9]) for row in sorted(rows, key=lambda row: int(row["vid"].item()))]
    found = [event.ratings["valence"] for event in cut(cut_tree, 0).stimuli]
    assert by_place != pytest.approx(found)
    assert by_video == pytest.approx(found)
    # Position 8 is arousal and 9 is valence; what one feels at a joyful clip is pleasant.
    joy = [event for event in cut(cut_tree, 0).stimuli if event.label == "joy"]
    assert all(
        event.affect == affect.from_rating(event.ratings["valence"], event.ratings["arousal"], (0, 7)) for event in joy
    )
    assert np.mean([event.affect.valence for event in joy]) > 1


def test_t11a_a_file_of_another_scale(cut_tree):
    spread = {
        subject: float(np.std(pickle.loads((cut_tree / f"Processed_data/sub{subject:03d}.pkl").read_bytes())))
        for subject in (0, 23, 40, 61)
    }
    assert spread[23] > 1000 * max(spread[subject] for subject in (0, 40, 61))
    with pytest.raises(DataProblem) as caught:
        cut(cut_tree, 23)
    assert caught.value.where == "Processed_data/sub023.pkl: video 1"
    assert DATASET.known(caught.value).name == "T11a"
    other = DataProblem("Processed_data/sub024.pkl: video 1", "", "", "")
    damaged = DataProblem("Processed_data/sub023.pkl", "", "", "")
    assert DATASET.known(other) is DATASET.known(damaged) is None


def test_t11b_a_blank_behind_the_name_of_a_column(cut_tree):
    text = (cut_tree / "Recording_info.csv").read_text()
    row = next(csv.DictReader(io.StringIO(text)))
    with pytest.raises(KeyError):
        row["Cohort"]
    recording = cut(cut_tree, int(row["sub"].removeprefix("sub")))
    assert (recording.sex, recording.age) == (row["Gender"], int(row["Age"]))


def test_t11c_doubled_folders_and_suffixes(cut_tree, raw_tree):
    assert list(raw_tree.glob("Data/sub*/data.bdf")) == []
    assert len(RAW.discover(raw_tree).entries) == 5
    assert len(list(cut_tree.rglob("sub*.pkl"))) == 3 * 4  # features among them
    feature = pickle.loads((cut_tree / "EEG_Features/DE/sub000.pkl.pkl").read_bytes())
    assert feature.shape == (28, 32, 30, 5)
    found = PROCESSED.discover(cut_tree)
    assert [entry.files[0] for entry in found.entries] == [
        f"Processed_data/sub{subject:03d}.pkl" for subject in (0, 23, 40, 61)
    ]
    assert found.notes == ["Not read: EEG_Features, features that the data set's authors computed."]


def test_f4_pickles_of_the_first_numpy(cut_tree):
    content = (cut_tree / "Processed_data/sub000.pkl").read_bytes()

    class OnlyToday(pickle.Unpickler):
        def find_class(self, module, name):
            if module not in ("numpy._core.multiarray", "numpy._core.numeric", "numpy"):
                raise pickle.UnpicklingError(f"{module}.{name}")
            return super().find_class(module, name)

    with pytest.raises(pickle.UnpicklingError, match=r"numpy\.core\.multiarray"):
        OnlyToday(io.BytesIO(content)).load()
    assert len(cut(cut_tree, 0).stimuli) == 28


# --- the re-host ------------------------------------------------------------------------------------------------------


def host_rows(tree, subject):
    file = tree / f"sub-{subject:03d}/eeg/sub-{subject:03d}_task-watchingVideoClips_events.tsv"
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def test_b1_film_titles_stand_for_several_clips(host_tree):
    rows = [row for row in host_rows(host_tree, 0) if row["video_index"] != "n/a"]
    assert len({row["trial_type"] for row in rows}) == 24
    found = REHOST.discover(host_tree)
    recording = REHOST.read(found.root, found.entries[0])
    assert clips_of(recording) == [int(row["video_index"]) for row in rows]
    assert len({event.stimulus for event in recording.stimuli}) == 28
    # The numbers of the titles differ from file to file.
    numbers = [{row["trial_type"]: row["value"] for row in host_rows(host_tree, subject)} for subject in (0, 23)]
    shared = numbers[0].keys() & numbers[1].keys()
    assert any(numbers[0][title] != numbers[1][title] for title in shared)


def test_b2_neutral_and_units_without_a_word(host_tree):
    words = {row["emotion_label"] for row in host_rows(host_tree, 0)}
    assert "\\" in words
    assert not {"neutral", "Neutral"} & words
    found = REHOST.discover(host_tree)
    for entry, unit in zip(found.entries, ("µV", "n/a"), strict=True):
        [file] = [file for file in entry.files if file.endswith("_channels.tsv")]
        assert f"\tEEG\t{unit}\t" in (host_tree / file).read_text("utf-8")
        recording = REHOST.read(found.root, entry)
        assert [event.label for event in recording.stimuli].count("neutral") == 4


def test_the_rehost_holds_the_samples_of_the_vendor(host_tree, raw_tree, ours):
    found = REHOST.discover(host_tree)
    for entry in found.entries:
        subject, recording = int(entry.id.subject), REHOST.read(found.root, entry)
        vendor = (folder(raw_tree, subject) / "data.bdf").read_bytes()
        assert vendor[8448:] == (host_tree / entry.files[0]).read_bytes()[8448:]
        np.testing.assert_array_equal(recording.raw.get_data(), ours[subject].raw.get_data())
        for one, other in zip(recording.stimuli, ours[subject].stimuli, strict=True):
            assert (one.stimulus, one.trial, one.label, one.affect) == (
                other.stimulus,
                other.trial,
                other.label,
                other.affect,
            )
            assert (one.onset_s, one.duration_s) == pytest.approx((other.onset_s, other.duration_s), abs=1e-6)
            assert one.ratings == pytest.approx(other.ratings)


# --- one person in two forms ------------------------------------------------------------------------------------------


def test_raw_and_processed_agree(tmp_path):
    """The same clips, labels and ratings, and the last seconds of every clip the same brain."""
    whole_tree = make(tmp_path / "whole", "raw", subjects=1, trial_s=9)
    cut_tree = make(tmp_path / "cut", "processed", subjects=1, trial_s=4)
    whole, pieces = (
        variant.read(found.root, found.entries[0])
        for variant, found in ((RAW, RAW.discover(whole_tree)), (PROCESSED, PROCESSED.discover(cut_tree)))
    )
    assert {event.stimulus: (event.label, event.ratings, event.affect) for event in whole.stimuli} == {
        event.stimulus: (event.label, event.ratings, event.affect) for event in pieces.stimuli
    }
    assert whole.raw.info["sfreq"] == 1000
    # Drifts and blinks differ, because the authors took them out; what is left is compared.
    signal = mne.filter.filter_data(whole.raw.get_data(), 1000, 2, 40, verbose="error")
    signal -= signal.mean(axis=0)
    ends = {event.stimulus: round((event.onset_s + event.duration_s) * 1000) for event in whole.stimuli}
    mine = [signal[:, ends[event.stimulus] - 4000 : ends[event.stimulus] : 4] for event in pieces.stimuli]
    theirs = pieces.raw.get_data().reshape(32, 28, 1000).transpose(1, 0, 2)
    theirs = mne.filter.filter_data(theirs, 250, 2, 40, verbose="error")
    inside = slice(100, -100)
    matrices = [
        np.corrcoef(one[:, inside], other[:, inside])[:32, 32:] for one, other in zip(mine, theirs, strict=True)
    ]
    assert min(np.median(np.diag(matrix)) for matrix in matrices) > 0.85
    wrong = [np.corrcoef(one[:, inside], theirs[at - 1][:, inside])[:32, 32:] for at, one in enumerate(mine)]
    assert max(np.median(np.diag(matrix)) for matrix in wrong) < 0.3
    # F2: A2 of the whole recording, known by its name, is number 30 of the processed file and not 31.
    same, other = (np.median([matrix[30, place] for matrix in matrices]) for place in (30, 31))
    assert (same > 0.8, other < 0.5) == (True, True)

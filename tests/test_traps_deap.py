"""DEAP's documented irregularities, simulated: for each a reading that goes wrong, and eegpipe's that does not.

People: 2 was recorded in Twente and not asked for familiarity; 23 in Geneva, with a labelled status; 24 has no label;
29 has 49 channels. Naive readings open the files with mne, scipy, pickle or csv.
"""

from __future__ import annotations

import csv
import pickle
import warnings
from pathlib import Path

import mne
import numpy as np
import pytest
from scipy.io import loadmat
from scipy.signal import butter, resample_poly, sosfiltfilt, welch

from eegpipe.datasets import deap
from eegpipe.errors import DataProblem
from eegpipe.recording import Recording
from eegpipe.simulate import SimulateSettings, simulate

PEOPLE = (2, 23, 24, 29)
FORMS = ("python", "matlab", "original")


@pytest.fixture(scope="module")
def trees(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("deap")
    for form in FORMS:
        settings = SimulateSettings(variant=form, subjects=4, trial_s=4, traps=True, seed=11)
        simulate("deap", root / form, settings, truth=root / f"{form} truth")
    return {form: root / form for form in FORMS}


@pytest.fixture(scope="module")
def readings(trees) -> dict[tuple[str, int], Recording]:
    """(form, person) -> what eegpipe reads."""
    done = {}
    for form in FORMS:
        variant = deap.DATASET.variant(form)
        found = variant.discover(trees[form])
        assert found.problems == []
        assert [int(entry.id.subject) for entry in found.entries] == list(PEOPLE)
        for entry in found.entries:
            if form == "original" or entry.id.subject in ("02", "24"):
                done[form, int(entry.id.subject)] = variant.read(found.root, entry)
    return done


@pytest.fixture(scope="module")
def naive(trees) -> dict[int, mne.io.BaseRaw]:
    """The recordings as mne opens them; blank labels become "-0", "-1" or "", and such status channels EEG."""
    raws = {}
    for person in PEOPLE:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            raws[person] = mne.io.read_raw_bdf(trees["original"] / f"data_original/s{person:02d}.bdf", verbose="error")
    return raws


def words(trees, person: int, *, index: int = -1) -> np.ndarray:
    """A channel's 24-bit words, from the bytes of the file."""
    content = (trees["original"] / f"data_original/s{person:02d}.bdf").read_bytes()
    count = int(content[252:256])
    records = np.frombuffer(content[256 * (count + 1) :], np.uint8).reshape(-1, count, 512, 3)[:, index].astype(int)
    return (records[..., 0] + 256 * records[..., 1] + 65536 * records[..., 2]).ravel()


def begins(values: np.ndarray, wanted: int) -> list[int]:
    return (np.flatnonzero((values[1:] == wanted) & (values[:-1] != wanted)) + 1).tolist()


def rows(trees, form: str = "original", encoding: str = "utf-8-sig") -> list[dict[str, str]]:
    path = trees[form] / "metadata_csv/participant_ratings.csv"
    with path.open(encoding=encoding, newline="") as lines:
        return list(csv.DictReader(lines))


def pickled(trees, person: int, **options) -> dict:
    folder = trees["python"] / "data_preprocessed_python/data_preprocessed_python"
    return pickle.loads((folder / f"s{person:02d}.dat").read_bytes(), **options)


# --- the files as others open them ------------------------------------------------------------------------------------


def test_the_recordings_are_the_vendors_kind_of_file(naive):
    for person, raw in naive.items():
        assert raw.info["sfreq"] == 512
        assert len(raw.ch_names) == (49 if person == 29 else 48)
        assert raw.ch_names[32:47] == [
            *(f"EXG{number}" for number in range(1, 9)), "GSR1", "GSR2", "Erg1", "Erg2", "Resp", "Plet", "Temp",
        ]  # fmt: skip
        assert ("Status" in raw.ch_names) == (person <= 23)
    assert naive[2].ch_names[:32] == mne.channels.make_standard_montage("biosemi32").ch_names
    # A trial of 4 s, its second of the sync screen, fixations of 5 and 3 s, and the rating in between.
    assert all(550 < raw.times[-1] < 700 for raw in naive.values())


def test_the_preprocessed_files_are_the_vendors_kind_of_file(trees):
    folder = trees["matlab"] / "data_preprocessed_matlab/data_preprocessed_matlab"
    for person in PEOPLE:
        arrays, content = pickled(trees, person, encoding="latin1"), loadmat(folder / f"s{person:02d}.mat")
        assert list(arrays) == ["data", "labels"]
        assert (arrays["data"].dtype, arrays["data"].shape) == (np.float64, (40, 40, 7 * 128))
        assert (arrays["labels"].dtype, arrays["labels"].shape) == (np.float64, (40, 4))
        np.testing.assert_array_equal(content["data"], arrays["data"])
        np.testing.assert_array_equal(content["labels"], arrays["labels"])


# --- one experiment in three forms ------------------------------------------------------------------------------------


def test_all_forms_hold_the_same_trials(readings):
    for person in (2, 24):
        shown = {form: {one.stimulus: one for one in readings[form, person].stimuli} for form in FORMS}
        assert set(shown["python"]) == set(shown["matlab"]) == set(shown["original"])
        assert len(shown["original"]) == 40
        for stimulus, event in shown["original"].items():
            for form in ("python", "matlab"):
                assert shown[form][stimulus].ratings == event.ratings
                assert shown[form][stimulus].affect == event.affect
                assert shown[form][stimulus].duration_s == event.duration_s
        np.testing.assert_array_equal(
            readings["python", person].raw.get_data(), readings["matlab", person].raw.get_data()
        )


def trial(recording: Recording, stimulus: str) -> np.ndarray:
    """(32, samples) of one video at 128 Hz in the order of Geneva's names, 4-45 Hz, average reference."""
    [event] = [one for one in recording.stimuli if one.stimulus == stimulus]
    rate = recording.raw.info["sfreq"]
    pad = 2.5
    start, stop = ((event.onset_s + at) * rate for at in (-pad, event.duration_s))
    names = sorted(recording.raw.ch_names[:32])
    signal = recording.raw.get_data(names, start=round(start), stop=round(stop))
    signal = resample_poly(signal, 1, round(rate / 128), axis=1, padtype="line")
    signal = sosfiltfilt(butter(4, (4, 45), "bandpass", fs=128, output="sos"), signal, axis=1)
    return (signal - signal.mean(axis=0))[:, round(pad * 128) :]


def test_the_recording_and_the_preprocessed_trial_are_one_signal(readings):
    for person in (2, 24):
        for stimulus, other in (("deap/01", "deap/02"), ("deap/17", "deap/03"), ("deap/40", "deap/39")):
            original, cut = (trial(readings[form, person], stimulus) for form in ("original", "python"))
            wrong = trial(readings["python", person], other)
            right_r = [np.corrcoef(pair)[0, 1] for pair in zip(original, cut, strict=True)]
            wrong_r = [np.corrcoef(pair)[0, 1] for pair in zip(original, wrong, strict=True)]
            assert np.median(right_r) > 0.7
            assert abs(np.median(wrong_r)) < 0.2


# --- the traps --------------------------------------------------------------------------------------------------------


def test_d1_d2_words_hold_more_than_the_code(trees, readings, naive):
    for person in PEOPLE:
        status = words(trees, person)
        ours = [round(event.onset_s * 512) for event in readings["original", person].stimuli]
        assert begins(status & 0xFF, 4) == ours
        assert len(ours) == 40
        if person <= 23:
            assert begins(status, 4) == ours
            assert mne.find_events(naive[person], "Status", verbose="error")[:, 2].tolist().count(4) == 40
        else:  # the whole word is compared: no trials
            assert status[0] == 0x19FF00
            assert begins(status, 4) == []
            assert "low byte" in " ".join(readings["original", person].notes)
    # The battery's bit comes up in the middle: a list of the words that users report finds half of the trials.
    assert 0 < len(begins(words(trees, 29), 0x18FF04)) < 40


def test_d3_the_status_is_the_last_channel(trees, readings):
    assert begins(words(trees, 24, index=47) & 0xFF, 4) != []
    assert begins(words(trees, 29, index=47) & 0xFF, 4) == []  # where LibEER looks
    assert len(readings["original", 29].stimuli) == 40
    assert "49 channels" in " ".join(readings["original", 29].notes)
    assert "no label" in " ".join(readings["original", 24].notes)
    for person in (24, 29):
        assert not {"", "-0", "-1"} & set(readings["original", person].raw.ch_names)


def test_d4_d5_electrodes_are_taken_by_name(readings, naive):
    order = {person: raw.ch_names[:32] for person, raw in naive.items()}
    assert order[2] != order[23]
    assert order[23] == order[24] == order[29]
    moved = [name for name, other in zip(order[2], order[23], strict=True) if name != other]
    assert len(moved) == 30
    # By the label of the status ("Status": Twente) 23 would be read with Twente's names; by one order for all, 2 or 23.
    twente, geneva = "F7", "F3"
    assert (order[2][2], order[23][2]) == (twente, geneva)
    for person in (2, 23):
        ours = readings["original", person].raw
        assert ours.ch_names[:32] == order[person]
        for name in ("F3", "Fz", "Pz", "Fp2"):
            np.testing.assert_allclose(ours.get_data(name), naive[person].get_data(name), rtol=0, atol=2e-9)


def test_d6_skin_is_in_ohm_for_everybody(readings, naive):
    raws = {person: naive[person].get_data("GSR1")[0] for person in (2, 23)}
    ours = {person: readings["original", person].raw.get_data("GSR")[0] for person in (2, 23)}
    assert np.median(raws[2]) > 1e5  # nS; as ohm it would be another person's dry skin
    np.testing.assert_allclose(ours[2], 1e9 / raws[2], rtol=1e-4)
    np.testing.assert_allclose(ours[23], raws[23], rtol=1e-4)
    assert all(1e3 < np.median(skin) < 1e4 for skin in ours.values())
    # As in the preprocessed file of the same person, where it is ohm for everybody.
    assert np.median(readings["python", 2].raw.get_data("GSR")) == pytest.approx(np.median(ours[2]), rel=0.02)


def test_d7_code_1_is_no_start(trees, readings):
    status = words(trees, 2)
    assert len(begins(status, 1)) == 42  # the experiment, the baseline, forty ratings
    assert len(begins(status, 6)) == 1
    assert len(readings["original", 2].stimuli) == 40
    assert "code 6" in " ".join(readings["original", 2].notes)


def test_d8_the_baseline_lies_inside_the_preprocessed_trial(trees, readings):
    data = pickled(trees, 2, encoding="latin1")["data"]
    event = readings["python", 2].stimuli[5]
    assert data.shape[2] / 128 == event.duration_s + 3  # a naive window begins 3 s before the video
    start = round(event.onset_s * 128)
    ours = readings["python", 2].raw.get_data(start=start, stop=start + 4 * 128)[:32] * 1e6
    np.testing.assert_allclose(ours, data[5, :32, 3 * 128 :], rtol=1e-6)
    assert np.abs(ours - data[5, :32, : 4 * 128]).max() > 1


def test_d9_trials_are_joined_by_the_video(trees, readings):
    labels = pickled(trees, 24, encoding="latin1")["labels"]
    shown = readings["original", 24].stimuli
    ours = np.array([event.ratings["valence"] for event in shown])
    videos = [int(event.stimulus.removeprefix("deap/")) for event in shown]
    assert videos != sorted(videos)
    assert np.abs(ours - labels[:, 0]).max() > 2  # in file order: another video's ratings
    np.testing.assert_allclose(ours, labels[np.array(videos) - 1, 0])
    assert [event.trial for event in shown] == list(range(1, 41))


def test_d10_start_time_counts_tenths_of_a_millisecond(trees, readings):
    table = [row for row in rows(trees) if row["Participant_id"] == "23"]
    times = np.array([float(row["Start_time"]) for row in table])
    onsets_s = np.array([event.onset_s for event in readings["original", 23].stimuli])
    gaps_s = np.diff(onsets_s)
    assert np.abs(np.diff(times) * 1e-6 - gaps_s).min() > 5  # the readme's microseconds
    np.testing.assert_allclose(np.diff(times) * 1e-4, gaps_s, atol=0.05)


def test_d10_a_table_of_another_session_is_refused(trees, tmp_path):
    (tmp_path / "data_original").symlink_to(trees["original"] / "data_original")
    (tmp_path / "eegpipe-simulated.json").symlink_to(trees["original"] / "eegpipe-simulated.json")
    (tmp_path / "metadata_csv").mkdir()
    table = rows(trees)
    for row in table:  # the same trials, with a break that was a minute longer
        row["Start_time"] = str(int(row["Start_time"]) + 600_000 * (int(row["Trial"]) > 20))
    with (tmp_path / "metadata_csv/participant_ratings.csv").open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    variant = deap.DATASET.variant("original")
    found = variant.discover(tmp_path)
    with pytest.raises(DataProblem, match=r"Start_time of trial .* found 30\.0 s apart"):
        variant.read(found.root, found.entries[1])


def test_d11_blank_familiarity_and_the_byte_order_mark(trees, readings):
    naive_rows = rows(trees, encoding="utf-8")
    assert "Participant_id" not in naive_rows[0]
    assert "\ufeffParticipant_id" in naive_rows[0]
    blank = {row["Participant_id"] for row in rows(trees) if not row["Familiarity"]}
    assert len(rows(trees)) == 1280
    assert blank == {"2", "15", "23"}
    with pytest.raises(ValueError, match="could not convert"):
        float(next(row["Familiarity"] for row in rows(trees) if row["Participant_id"] == "2"))
    for form in FORMS:
        assert all("familiarity" not in event.ratings for event in readings[form, 2].stimuli)
        known = {event.stimulus: event.ratings["familiarity"] for event in readings[form, 24].stimuli}
        expected = {
            f"deap/{int(row['Experiment_id']):02d}": float(row["Familiarity"])
            for row in rows(trees)
            if row["Participant_id"] == "24"
        }
        assert known == expected
        assert set(known.values()) == {1, 2, 3, 4, 5}


def test_d12_pickles_of_python_2(trees, readings):
    with pytest.raises(UnicodeDecodeError):
        pickled(trees, 2)
    assert list(pickled(trees, 2, encoding="bytes")) == [b"data", b"labels"]
    data = pickled(trees, 2, encoding="latin1")["data"]
    np.testing.assert_allclose(readings["python", 2].raw.get_data(stop=896)[:32] * 1e6, data[0, :32], rtol=1e-6)


def test_d13_valence_is_the_first_column(trees, readings):
    table = {row["Experiment_id"]: row for row in rows(trees, "python") if row["Participant_id"] == "24"}
    labels = pickled(trees, 24, encoding="latin1")["labels"]
    valence = np.array([float(table[str(video)]["Valence"]) for video in range(1, 41)])
    assert np.abs(labels[:, 1] - valence).max() > 1  # the swapped columns of public code
    ours = [event.affect.valence + 5 for event in readings["python", 24].stimuli]
    np.testing.assert_allclose(ours, valence)


def test_d14_the_doubled_folder_and_stray_files(trees):
    for form, suffix in (("python", "dat"), ("matlab", "mat")):
        folder = trees[form] / f"data_preprocessed_{form}"
        # Whoever takes every entry of the folder for a recording gets one, and that is a folder.
        assert [one.name for one in folder.iterdir()] == [folder.name]
        assert len(list((folder / folder.name).iterdir())) == 5
        found = deap.DATASET.variant(form).discover(folder)
        assert [Path(entry.files[0]).name for entry in found.entries] == [f"s{one:02d}.{suffix}" for one in PEOPLE]
        assert any("list.txt" in note for note in found.notes)


def test_d15_nothing_below_4_hz_in_the_preprocessed_form(readings):
    def delta_share(recording: Recording) -> float:
        rate = recording.raw.info["sfreq"]
        signal = recording.raw.get_data(["Oz", "Pz", "P3", "P4"], start=round(60 * rate), stop=round(180 * rate))
        hz, power = welch(signal, rate, nperseg=round(4 * rate))
        return float(power[:, (hz >= 1) & (hz < 3)].mean() / power[:, (hz >= 8) & (hz < 13)].mean())

    assert delta_share(readings["python", 2]) < 0.02
    assert delta_share(readings["original", 2]) > 0.2
    assert readings["python", 2].history["Bandpass"]["low cutoff (Hz)"] == 4.0
    assert readings["original", 2].history == {}


def test_d16_a_video_without_its_end_code(trees, readings):
    status = words(trees, 24) & 0xFF
    starts, ends = begins(status, 4), begins(status, 5)
    assert (len(starts), len(ends)) == (40, 39)
    pairs = np.array(ends) - np.array(starts[:39])  # from trial 7 on, the ends of the next one
    assert (pairs[:6] == 4 * 512).all()
    assert pairs[6:].min() > 8 * 512
    assert [event.duration_s for event in readings["original", 24].stimuli] == [4.0] * 40
    assert "No end code of the video in trial 7;" in " ".join(readings["original", 24].notes)


def test_every_trap_has_its_line():
    names = {one.name for one in deap.DATASET.irregularities}
    assert names == {f"D{number}" for number in range(1, 17)}

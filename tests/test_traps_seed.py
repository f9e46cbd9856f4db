"""SEED's documented irregularities: each catches a naive reading, written out here, and not eegpipe's."""

from __future__ import annotations

import json
import struct
from dataclasses import replace

import mne
import numpy as np
import pytest
from scipy.io import loadmat, whosmat

from eegpipe import channels, datasets
from eegpipe.bids import convert
from eegpipe.datasets.formats import cnt
from eegpipe.errors import DataProblem
from eegpipe.simulate import SimulateSettings, simulate

PREPROCESSED, RAW = datasets.get("seed").variants
SETTINGS = SimulateSettings(subjects=4, sessions=1, trial_s=4, traps=True, seed=9)
PEOPLE = [1, 2, 10, 11]


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """The package with Preprocessed_EEG."""
    root = tmp_path_factory.mktemp("seed")
    simulate("seed", root / "raw", SETTINGS, truth=root / "truth")
    return root / "raw"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The package with SEED_RAW_EEG."""
    root = tmp_path_factory.mktemp("seed_raw")
    simulate("seed", root / "raw", replace(SETTINGS, variant="raw"), truth=root / "truth")
    return root / "raw"


def facts(root) -> dict:
    return json.loads((root / "eegpipe-simulated.json").read_text())["facts"]


def mat(root, person: int):
    return next((root / "SEED_EEG/Preprocessed_EEG").glob(f"{person}_*.mat"))


def cnt_file(root, person: int):
    return root / f"SEED_EEG/SEED_RAW_EEG/{person}_1.cnt"


def read(variant, root, person: int):
    entries = {int(entry.id.subject): entry for entry in variant.discover(root).entries}
    return variant.read(root, entries[person])


def with_mne(path, **options) -> mne.io.BaseRaw:
    return mne.io.read_raw_cnt(path, **{"data_format": "int32", "verbose": "error", **options})


# --- Preprocessed_EEG -------------------------------------------------------------------------------------------------


def test_t1a_letters_differ_per_person(cut):
    first, second = (whosmat(mat(cut, person)) for person in (1, 10))
    letters = first[0][0].split("_")[0]
    assert [name for name, *_ in second if name.startswith(f"{letters}_eeg")] == []  # naive: no trial
    assert len(read(PREPROCESSED, cut, 10).stimuli) == 15


def test_t1b_trial_10_before_trial_2(cut):
    lengths = {name: shape[1] for name, shape, _ in whosmat(mat(cut, 1))}
    planted = [200 * round(duration) + 1 for duration in facts(cut)["trial_s"]]
    assert list(lengths.values()) != planted  # naive: in the order of the file
    assert [lengths[name] for name in sorted(lengths)] != planted  # naive: in the order of the names
    recording = read(PREPROCESSED, cut, 1)
    assert [stop - start for start, stop in recording.blocks] == planted
    content = loadmat(mat(cut, 1))
    letters = next(iter(lengths)).split("_")[0]
    first, stop = recording.blocks[1]
    signal_uv = (recording.raw.get_data(start=first, stop=stop) * 1e6).astype(np.float32)
    np.testing.assert_array_equal(signal_uv, content[f"{letters}_eeg2"].astype(np.float32))


def test_t1c_person_10_before_person_2(cut, whole):
    for variant, root in ((PREPROCESSED, cut), (RAW, whole)):
        files = [entry.files[0] for entry in variant.discover(root).entries]
        naive = [int(file.split("/")[-1].split("_")[0]) for file in sorted(files)]
        assert naive != PEOPLE
        assert [int(entry.id.subject) for entry in variant.discover(root).entries] == PEOPLE


def test_t2b_200_hz_and_t2c_one_sample_more(cut):
    name, shape, kind = whosmat(mat(cut, 1))[0]
    trial = int(name.split("_eeg")[1])
    duration_s = facts(cut)["trial_s"][trial - 1]
    assert kind == "double"
    assert (shape[1] - 1) / 1000 != duration_s  # naive: the rate of the amplifier
    assert shape[1] % 200 == 1  # naive: reshape(62, -1, 200) fails
    recording = read(PREPROCESSED, cut, 1)
    assert recording.raw.info["sfreq"] == 200
    assert recording.stimuli[trial - 1].duration_s == shape[1] / 200


def test_t5_the_session_is_not_in_the_name(tmp_path):
    simulate("seed", tmp_path / "raw", SimulateSettings(subjects=1, trial_s=4), truth=tmp_path / "truth")
    found = PREPROCESSED.discover(tmp_path / "raw")
    second_field = [entry.files[0].split("_")[-1].removesuffix(".mat") for entry in found.entries]
    assert not {"1", "2", "3"} & set(second_field)  # naive: as in SEED-V
    assert second_field == sorted(second_field)
    assert [entry.id.session for entry in found.entries] == ["1", "2", "3"]
    other = {
        entry.files[0]: PREPROCESSED.read(tmp_path / "raw", entry).raw.get_data()[0, :50] for entry in found.entries
    }
    assert len({signal.tobytes() for signal in other.values()}) == 3


def test_t6_codes_of_the_label_file(cut):
    codes = loadmat(cut / "SEED_EEG/Preprocessed_EEG/label.mat")["label"].ravel().tolist()
    naive = {2: "positive", 1: "neutral", 0: "negative"}  # the vendor's list of clips
    mine = [event.label for event in read(PREPROCESSED, cut, 1).stimuli]
    assert [naive.get(code) for code in codes] != mine
    assert [{1: "positive", 0: "neutral", -1: "negative"}[code] for code in codes] == mine


def test_s1_bytes_behind_a_compressed_variable(cut):
    with pytest.raises(ValueError, match="compressed contents"):
        loadmat(mat(cut, 2))
    lenient = loadmat(mat(cut, 2), verify_compressed_data_integrity=False)
    recording = read(PREPROCESSED, cut, 2)
    assert len(recording.stimuli) == 15
    first = next(key for key in lenient if key.endswith("_eeg1"))
    _, stop = recording.blocks[0]
    signal_uv = (recording.raw.get_data(stop=stop) * 1e6).astype(np.float32)
    np.testing.assert_array_equal(signal_uv, lenient[first].astype(np.float32))


def test_s2_and_t12_features_have_the_same_names(cut):
    assert len(list(cut.rglob("1_2*.mat"))) == 2  # naive: every file of that name
    found = PREPROCESSED.discover(cut)
    assert not found.problems
    assert len(found.entries) == 4
    assert all("Preprocessed_EEG" in file for entry in found.entries for file in entry.files)
    features = cut / "SEED_EEG/ExtractedFeatures"
    with pytest.raises(DataProblem, match="features, the variables de_LDS1"):
        PREPROCESSED.read(features, PREPROCESSED.discover(features).entries[0])


# --- SEED_RAW_EEG -----------------------------------------------------------------------------------------------------


def raw_samples(root) -> int:
    """Samples of every simulated file: the last clip, and two seconds."""
    marker = facts(root)
    return round(1000 * (marker["sessions_start_s"][0][-1] + marker["trial_s"][-1] + 2))


@pytest.mark.parametrize("person", PEOPLE)
def test_t3a_the_header_s_number_of_samples(whole, person):
    path, right = cnt_file(whole, person), raw_samples(whole)
    declared = struct.unpack_from("<I", path.read_bytes()[:900], 864)[0]
    assert (declared == right) == (person == 11)  # naive: believe the header
    recording = read(RAW, whole, person)
    assert recording.raw.n_times == right
    assert any("The header declares" in note for note in recording.notes) == (person != 11)


def test_t3a_the_same_in_mne(whole):
    assert with_mne(cnt_file(whole, 11)).n_times == raw_samples(whole)
    with pytest.warns(RuntimeWarning):  # naive: it goes on with another number
        wrong = with_mne(cnt_file(whole, 2), verbose="warning")
    assert wrong.n_times != raw_samples(whole)


def test_t3b_two_bytes_instead_of_four(whole, tmp_path):
    path = cnt_file(whole, 11)
    header = cnt.read_header(path, "x")
    content = path.read_bytes()[header.data_start : header.data_start + 20_000 * header.frame_bytes]
    four, two = (np.frombuffer(content, kind).reshape(-1, 66) * header.scale_uv for kind in ("<i4", "<i2"))

    def spread(values):
        return np.median(1.4826 * np.median(np.abs(values - np.median(values, axis=0)), axis=0))

    assert 2 < spread(four) < 100
    assert not 2 < spread(two[:, 1::2]) < 100  # naive: garbage, and no error
    assert len(two) == 2 * len(four)
    recording = read(RAW, whole, 11)
    mine_uv = recording.raw.get_data(stop=len(four)) * 1e6
    np.testing.assert_array_equal(mine_uv.astype(np.float32), four.T.astype(np.float32))
    narrow = bytearray(path.read_bytes()[: header.data_start])
    for channel in range(66):
        struct.pack_into("<f", narrow, 900 + 75 * channel + 71, 8.0)
    narrow += np.round(four / 8).clip(-32768, 32767).astype("<i2").tobytes()
    (tmp_path / "1_1.cnt").write_bytes(narrow)
    with pytest.raises(DataProblem, match="two bytes a sample"):
        cnt.read_header(tmp_path / "1_1.cnt", "1_1.cnt")


def test_t3c_the_place_of_the_event_table(whole):
    path = cnt_file(whole, 10)
    place = struct.unpack_from("<i", path.read_bytes()[:900], 886)[0]
    assert not 0 < place < path.stat().st_size  # naive: seek there
    header = cnt.read_header(path, "x")
    assert header.event_table == path.stat().st_size - 9 - 30 * 8 - 256
    starts = facts(whole)["sessions_start_s"][0]
    marks = cnt.read_events(path, "x", header)
    assert [event.sample for event in marks if event.code == 1] == [1000 * start for start in starts]
    assert any("wrong place for the event table" in note for note in read(RAW, whole, 10).notes)


def test_t4_mastoids_inside_the_channels(whole):
    names = with_mne(cnt_file(whole, 11)).ch_names
    assert {"M1", "M2"} <= set(names[:62])  # naive: the first 62 are the scalp
    assert {"OZ", "CB2"} - set(names[:62])
    recording = read(RAW, whole, 11)
    kinds = dict(zip(recording.raw.ch_names, recording.raw.get_channel_types(), strict=True))
    scalp = [name for name, kind in kinds.items() if kind == "eeg"]
    assert [name.upper() for name in scalp] == list(PREPROCESSED.facts.channels)
    assert (kinds["M1"], kinds["M2"]) == ("misc", "misc")
    source = with_mne(cnt_file(whole, 11), preload=True)
    right_uv = source.get_data(picks=["TP7", "CB2"], stop=5000) * 1e6
    mine_uv = recording.raw.get_data(picks=["TP7", "CB2"], stop=5000) * 1e6
    np.testing.assert_allclose(mine_uv, right_uv, atol=1e-4)


def test_c1_eye_channels(whole):
    source = with_mne(cnt_file(whole, 11), eog="auto")
    assert set(source.get_channel_types(picks=["VEO", "HEO"])) == {"eeg"}  # naive: part of the average reference
    recording = read(RAW, whole, 11)
    assert recording.raw.get_channel_types(picks=["VEO", "HEO"]) == ["eog", "eog"]


def test_c2_cerebellar_channels(whole):
    naive = mne.channels.make_standard_montage("colin27_1005").get_positions()["ch_pos"]
    assert not {"CB1", "CB2"} & {name.upper() for name in naive}
    recording = read(RAW, whole, 11)
    for name, place in (("CB1", "POO7"), ("CB2", "POO8")):
        mine = recording.raw.info["chs"][recording.raw.ch_names.index(name)]["loc"][:3]
        np.testing.assert_allclose(mine, channels.position(name), atol=1e-6)
        left = naive[place][0] < 0
        assert (mine[0] < 0) == left


def test_c5_events_counted_in_samples(whole):
    path = cnt_file(whole, 11)
    planted = [1000 * start for start in facts(whole)["sessions_start_s"][0]]
    source = with_mne(path)
    naive = [round(1000 * one["onset"]) for one in source.annotations if one["description"] == "1"]
    assert naive == [sample - 24 for sample in planted]
    marks = cnt.read_events(path, "x", cnt.read_header(path, "x"))
    assert [event.sample for event in marks if event.code == 1] == planted


def test_c6_no_person_reaches_bids(whole, tmp_path):
    source = with_mne(cnt_file(whole, 1), recompute_n_samples=True)
    told = " ".join(str(source.info["subject_info"].get(field)) for field in ("first_name", "last_name", "his_id"))
    assert "Person" in told  # naive: saved with the recording
    tree = tmp_path / "one"
    (tree / "SEED_RAW_EEG").mkdir(parents=True)
    marker = facts(whole) | {"subjects": 1, "people": [1]}
    (tree / "eegpipe-simulated.json").write_text(json.dumps({"facts": marker}))
    for name in ("1_1.cnt", "time.txt"):
        (tree / "SEED_RAW_EEG" / name).symlink_to(whole / "SEED_EEG/SEED_RAW_EEG" / name)
    outcomes = convert(datasets.get("seed"), tree, tmp_path / "bids", variant="raw", workers=1)
    assert [outcome.status for outcome in outcomes] == ["done"]
    written = [path for path in (tmp_path / "bids").rglob("*") if path.is_file() and path.suffix != ".eeg"]
    assert len(written) > 5
    for path in written:
        assert b"Person" not in path.read_bytes(), path.name


def test_every_irregularity_that_is_read_rightly_is_listed():
    listed = {one.name for one in datasets.get("seed").irregularities}
    here = {name.split("_")[1].upper() for name in globals() if name.startswith("test_")}
    assert {one for one in listed if one.upper() in here} >= {"T3a", "T3b", "T3c", "T4", "C1", "C2", "C5", "C6", "S1"}


def test_a_person_s_raw_file_does_not_depend_on_the_others(whole, tmp_path):
    alone = replace(SETTINGS, subjects=1, variant="raw")
    simulate("seed", tmp_path / "raw", alone, truth=tmp_path / "truth")
    [path] = (tmp_path / "raw").rglob("*.cnt")
    assert path.read_bytes() == cnt_file(whole, 1).read_bytes()
    simulate("seed", tmp_path / "other", replace(alone, seed=10), truth=tmp_path / "other truth")
    [other] = (tmp_path / "other").rglob("*.cnt")
    assert other.read_bytes() != path.read_bytes()

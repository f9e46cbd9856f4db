"""NeuroScan CNT: the same as MNE where the head is right, and right where it is not; nothing of a file is believed."""

from __future__ import annotations

import struct

import mne
import numpy as np
import pytest

from eegpipe.datasets.formats import bcmi, cnt
from eegpipe.errors import DataProblem
from eegpipe.recording import RecordingId
from eegpipe.simulate import neuroscan

N, SAMPLES = 66, 3000
PERSON = {"id": "S00", "name": "Test Person", "sex": "F", "hand": "R"}


@pytest.fixture(scope="module")
def signal_uv() -> np.ndarray:
    random = np.random.default_rng(0)
    return 15 * random.standard_normal((N, SAMPLES)) + 300 * random.standard_normal((N, 1))


@pytest.fixture
def write(tmp_path, signal_uv):
    """write(**options) -> (path, microvolts that the file holds)."""

    def write(names=bcmi.ORDER_66, **options):
        calibration = neuroscan.calibrations(N)
        baseline = options.get("baseline", 0)
        counts = neuroscan.to_counts(signal_uv, calibration, baseline=baseline)
        path = tmp_path / "1_1.cnt"
        neuroscan.write_cnt(path, names, 1000, counts, calibration=calibration, **options)
        return path, neuroscan.to_microvolt(counts, calibration, baseline=baseline)

    return write


def read(path):
    header = cnt.read_header(path, path.name)
    return header, cnt.read_microvolts(path, path.name, header, list(range(len(header.channels))))


def read_all(path) -> None:
    header, _ = read(path)
    cnt.read_events(path, path.name, header)


def refusal(path) -> str:
    with pytest.raises(DataProblem) as caught:
        read_all(path)
    return str(caught.value)


def patch(path, at: int, form: str, value) -> None:
    content = bytearray(path.read_bytes())
    struct.pack_into(form, content, at, value)
    path.write_bytes(content)


@pytest.mark.filterwarnings("ignore")  # MNE's remarks about the date and the places of the electrodes
def test_the_same_as_mne_where_the_head_is_right(write):
    marks = [(100, 1), (2990, 2)]
    path, planted_uv = write(baseline=7, events=marks, started=("10/27/13", "14:25:34"))
    header, mine_uv = read(path)
    raw = mne.io.read_raw_cnt(path, data_format="int32", preload=True, verbose="error")
    assert header.channels == tuple(raw.ch_names) == bcmi.ORDER_66
    assert (header.rate_hz, header.samples) == (raw.info["sfreq"], raw.n_times)
    np.testing.assert_array_equal(mine_uv, planted_uv)
    np.testing.assert_allclose(raw.get_data() * 1e6, mine_uv, rtol=1e-12, atol=1e-9)
    assert [(event.sample, event.code) for event in cnt.read_events(path, "x", header)] == marks
    # MNE counts one sample less.
    assert [round(1000 * onset) + 1 for onset in raw.annotations.onset] == [100, 2990]
    assert raw.info["meas_date"].strftime("%H:%M:%S") == "14:25:34"
    assert header.start_s_of_day == 14 * 3600 + 25 * 60 + 34
    assert header.notes == ()


@pytest.mark.parametrize("count", [0, 1, 2999, 3001, 6000, 2**32 - 732])
@pytest.mark.parametrize("position", ["right", "overflow"])
@pytest.mark.parametrize("kind", [1, 2, 3])
@pytest.mark.parametrize("marks", [[], [(0, 1), (2999, 500)]])
@pytest.mark.parametrize("behind", [False, True])
def test_the_number_of_samples_comes_from_the_file(write, count, position, kind, marks, behind):
    head = {"header_count": count, "event_position": position, "event_type": kind}
    path, planted_uv = write(**head, events=marks, behind=behind)
    header, mine_uv = read(path)
    assert header.samples == SAMPLES
    np.testing.assert_array_equal(mine_uv, planted_uv)
    assert [(event.sample, event.code) for event in cnt.read_events(path, "x", header)] == marks
    told = " ".join(header.notes)
    assert f"declares {count} samples; the file holds 3000" in told
    assert ("wrong place for the event table" in told) == (position == "overflow")


@pytest.mark.parametrize("position", [0, -1, -(2**31), 2**31 - 1, 6000, 5850 + 264 * 17])
def test_a_position_that_is_no_event_table_is_not_believed(write, position):
    path, planted_uv = write(events=[(5, 1)])
    patch(path, 886, "<i", position)
    header, mine_uv = read(path)
    np.testing.assert_array_equal(mine_uv, planted_uv)
    assert [event.sample for event in cnt.read_events(path, "x", header)] == [5]


def test_a_file_without_event_table_is_all_signal(write):
    path, planted_uv = write()
    path.write_bytes(path.read_bytes()[:-9])
    header, mine_uv = read(path)
    np.testing.assert_array_equal(mine_uv, planted_uv)
    assert cnt.read_events(path, "x", header) == []
    assert "no event table" in header.notes[0]


def test_whatever_lies_behind_the_event_table(write):
    for kind, place in ((1, "right"), (2, "overflow"), (3, "overflow")):
        path, planted_uv = write(events=[(5, 1), (2999, 2)], event_type=kind, event_position=place)
        path.write_bytes(path.read_bytes() + np.random.default_rng(kind).bytes(50_000))
        header, mine_uv = read(path)
        np.testing.assert_array_equal(mine_uv, planted_uv)
        assert [event.sample for event in cnt.read_events(path, "x", header)] == [5, 2999]


def test_a_part_of_the_signal(write):
    path, planted_uv = write()
    header = cnt.read_header(path, "x")
    part = cnt.read_microvolts(path, "x", header, [65, 3], 1000, 1234)
    np.testing.assert_array_equal(part, planted_uv[[65, 3], 1000:1234])
    with pytest.raises(ValueError, match="of 3000"):
        cnt.read_microvolts(path, "x", header, [0], 0, 3001)


def test_pieces_are_joined_without_a_seam(write, monkeypatch):
    path, planted_uv = write()
    monkeypatch.setattr(cnt, "_CHUNK_BYTES", 700 * 264 + 1)
    np.testing.assert_array_equal(read(path)[1], planted_uv)


def test_nothing_about_the_person_is_in_the_header(write):
    path, _ = write(person_fields=PERSON)
    assert b"Test Person" in path.read_bytes()
    header, _ = read(path)
    assert "Test Person" not in repr(header)
    recording = bcmi.read_cnt(RecordingId("01"), path, "1_1.cnt", CLIPS)
    assert recording.raw.info["subject_info"] is None
    assert recording.raw.info["meas_date"] is None


def test_samples_of_two_bytes_are_refused(write, signal_uv):
    path, _ = write()
    head = bytearray(path.read_bytes()[: 900 + 75 * N])
    for channel in range(N):  # a 16-bit amplifier has larger steps
        struct.pack_into("<f", head, 900 + 75 * channel + 59, 204.8 * 0.168)
    values = np.round(signal_uv / 0.168).T.astype("<i2")
    for declared in (SAMPLES, 0):
        struct.pack_into("<I", head, 864, declared)
        path.write_bytes(bytes(head) + values.tobytes() + struct.pack("<Bii", 1, 0, 0))
        assert "only with two bytes a sample" in refusal(path)


@pytest.mark.parametrize(
    ("at", "form", "value", "told"),
    [
        (0, "<7s", b"RIFF\0\0\0", "no head of a NeuroScan file"),
        (370, "<H", 0, "0 channels"),
        (370, "<H", 60000, "60000 channels"),
        (376, "<H", 0, "at 0 Hz"),
        (894, "<i", 40, "blocks of 40 samples"),
        (900 + 75 * 5 + 71, "<f", 0.0, "a scale of zero, or no number, in channel F7"),
        (900 + 75 * 5 + 59, "<f", float("nan"), "a scale of zero, or no number, in channel F7"),
        (900 + 75, "<10s", b"FP1", "two of one name"),
        (900, "<10s", b"", "channels without names"),
    ],
)
def test_a_damaged_head_is_refused(write, at, form, value, told):
    path, _ = write()
    patch(path, at, form, value)
    assert told in refusal(path)


@pytest.mark.parametrize("length", [0, 100, 899, 900, 5849, 5850, 6000])
def test_a_file_that_ends_in_its_head_is_refused(write, length):
    path, _ = write()
    path.write_bytes(path.read_bytes()[:length])
    assert "found" in refusal(path)


def test_a_mark_outside_the_recording_is_refused(write):
    for kind, place in ((1, 3000), (3, 3000), (1, 2**23)):
        path, _ = write(events=[(10, 1), (place, 2)], event_type=kind)
        assert "event 2" in refusal(path)


# Two clips, far enough from the end.
CLIPS = [bcmi.ShownClip(1, "seed/01", "positive", 0.5, 1.5), bcmi.ShownClip(2, "seed/02", "neutral", 2.0, 2.9)]


def test_changed_missing_and_additional_bytes_give_an_answer_or_one_refusal(write):
    path, _ = write(events=[(10, 1), (500, 2)], behind=True)
    good, random = path.read_bytes(), np.random.default_rng(1)
    outcomes = set()
    for round_ in range(160):
        content = bytearray(good)
        places = random.integers(0, 5850, 3) if round_ % 4 else random.integers(len(good) - 320, len(good) - 200, 3)
        for place in places:
            content[place] = int(random.integers(0, 256))
        if round_ % 5 == 0:
            content = content[: int(random.integers(0, len(content)))]
        elif round_ % 5 == 1:
            content += random.bytes(int(random.integers(1, 600)))
        path.write_bytes(content)
        try:
            recording = bcmi.read_cnt(RecordingId("01"), path, "1_1.cnt", CLIPS)
            cnt.read_events(path, "1_1.cnt", cnt.read_header(path, "1_1.cnt"))
            assert recording.raw.n_times >= 2900
            outcomes.add("read")
        except DataProblem as problem:
            outcomes.add(problem.where[:7])
    assert outcomes == {"read", "1_1.cnt"}


def test_a_recording_takes_channels_by_name(write):
    order = [*bcmi.ORDER_66[33:], *bcmi.ORDER_66[:33]]
    path, planted_uv = write(names=order)
    recording = bcmi.read_cnt(RecordingId("01"), path, "1_1.cnt", CLIPS)
    kinds = dict(zip(recording.raw.ch_names, recording.raw.get_channel_types(), strict=True))
    assert list(kinds.values()).count("eeg") == 62
    assert {name: kinds[name] for name in ("M1", "M2", "VEO", "HEO")} == {
        "M1": "misc",
        "M2": "misc",
        "VEO": "eog",
        "HEO": "eog",
    }
    assert recording.raw.ch_names[32] == "M1"
    mine_uv = (recording.raw.get_data(picks=["Cz", "VEO"]) * 1e6).astype(np.float32)
    np.testing.assert_array_equal(mine_uv, planted_uv[[order.index("CZ"), order.index("VEO")]].astype(np.float32))
    assert "another order" in " ".join(recording.notes)
    assert [(event.onset_s, event.duration_s, event.stimulus) for event in recording.stimuli] == [
        (0.5, 1.0, "seed/01"),
        (2.0, pytest.approx(0.9), "seed/02"),
    ]
    assert recording.boundaries == []


def test_what_a_recording_refuses(write):
    path, _ = write(names=[*bcmi.ORDER_66[:65], "ECG"])
    with pytest.raises(DataProblem, match="without HEO, and ECG, which do not belong there"):
        bcmi.read_cnt(RecordingId("01"), path, "x", CLIPS)
    path, _ = write()
    patch(path, 376, "<H", 500)
    with pytest.raises(DataProblem, match="500 Hz, expected 1000 Hz"):
        bcmi.read_cnt(RecordingId("01"), path, "x", CLIPS)
    path, _ = write()
    late = [*CLIPS, bcmi.ShownClip(3, "seed/03", "neutral", 2.9, 3.001)]
    with pytest.raises(DataProblem, match=r"3\.0 s of signal, which end before trial 3 does"):
        bcmi.read_cnt(RecordingId("01"), path, "x", late)
    for factor, unit in ((1e-6, "volt"), (1e3, "nanovolt")):
        path, _ = write(sensitivity=neuroscan.SENSITIVITY * factor)
        with pytest.raises(DataProblem, match=unit):
            bcmi.read_cnt(RecordingId("01"), path, "x", CLIPS)


def test_trial_keys_go_by_number_and_name_no_letters():
    keys = [f"xyz_eeg{trial}" for trial in range(15, 0, -1)]
    assert bcmi.trial_keys(dict.fromkeys(keys), 15, "x", "F") == keys[::-1]
    for wrong, told in (
        (keys[1:], "no trial 15"),
        ([*keys, "xyz_eeg16"], "the trials 16 beside them"),
        ([*keys[1:], "uvw_eeg15"], "2 sets of letters"),
        ([*keys, "xyz_eeg01"], "two variables of one trial"),
        (["de_LDS1"], "features, the variables de_LDS1"),
        ([], "(none)"),
    ):
        with pytest.raises(DataProblem) as caught:
            bcmi.trial_keys(dict.fromkeys(wrong), 15, "x", "F")
        assert told in caught.value.found
        assert "xyz" not in str(caught.value)

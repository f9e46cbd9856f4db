"""FACED: ratings by video, mastoids apart, whole recordings by name and marker, the BIDS re-host.

The small recordings of this file are written here, byte by byte, so that the reader and its tests share no mistake.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from eegpipe import datasets
from eegpipe.affect import AffectSource
from eegpipe.bids import convert
from eegpipe.datasets import faced
from eegpipe.errors import DataProblem
from eegpipe.simulate import SimulateSettings, simulate

import vendor_files

PROCESSED, RAW, REHOST = faced.DATASET.variants


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("faced")
    vendor_files.faced(root)
    return root


@pytest.fixture
def one(tmp_path):
    vendor_files.faced(tmp_path, subjects=1)
    return tmp_path


def read(root, index=0, variant=PROCESSED):
    found = variant.discover(root)
    return variant.read(found.root, found.entries[index])


def refusal(root, variant=PROCESSED) -> DataProblem:
    with pytest.raises(DataProblem) as caught:
        read(root, variant=variant)
    return caught.value


def test_ratings_are_matched_by_video(tree, tmp_path):
    recording = read(tree, 1)
    scores = vendor_files.faced_remarks(tmp_path / "r" / "After_remarks.mat", seed=1)
    rows = loadmat(tmp_path / "r" / "After_remarks.mat")["After_remark"]
    assert [int(row["vid"].item()) for row in rows.ravel()] != list(range(1, 29)), "the test needs a shuffled file"
    assert [event.trial for event in recording.stimuli] == list(range(1, 29))
    for event in recording.stimuli:
        score = scores[event.trial].ravel()
        assert event.stimulus == f"faced/{event.trial:02d}"
        assert list(event.ratings.values()) == score.tolist()
        assert list(event.ratings) == list(faced.DATASET.ratings)
        assert event.affect.valence == pytest.approx((score[9] - 3.5) * 8 / 7)
        assert event.affect.arousal == pytest.approx((score[8] - 3.5) * 8 / 7)
        assert event.affect.source is AffectSource.SELF_REPORT
    assert (recording.id.subject, recording.sex, recording.age) == ("001", "F", 21)


def test_signal_channels_and_labels(tree):
    recording = read(tree, 0)
    array = vendor_files.noise(28, 32, 500, seed=0)
    assert recording.raw.get_channel_types() == ["eeg"] * 30 + ["misc"] * 2
    assert recording.raw.ch_names[28:] == ["O1", "O2", "A2", "A1"]
    for (first, last), block in zip(recording.blocks, array, strict=True):
        signal_uv = (recording.raw.get_data()[:, first:last] * 1e6).astype(np.float32)
        np.testing.assert_array_equal(signal_uv, block.astype(np.float32))
    labels = [event.label for event in recording.stimuli]
    assert (labels[0], labels[3], labels[6], labels[9]) == ("anger", "disgust", "fear", "sadness")
    assert labels[12:16] == ["neutral"] * 4
    assert (labels[16], labels[19], labels[22], labels[27]) == ("amusement", "inspiration", "joy", "tenderness")
    # The signal is the end of the clip.
    assert recording.stimuli[22].stimulus_offset_s == pytest.approx(34.13 - 2)


def test_layouts(tree, tmp_path):
    assert [one.name for one in datasets.recognise(tree)] == ["faced", "processed"]
    found = PROCESSED.discover(tree)
    assert not found.problems
    assert found.entries[0].files == (
        "Processed_data/sub000.pkl",
        "Data/Data/sub000/After_remarks.mat",
        "Recording_info.csv",
    )
    shutil.copytree(tree / "Data" / "Data", tmp_path / "Data")
    shutil.copytree(tree / "Processed_data", tmp_path / "Processed_data")
    shutil.copy(tree / "eegpipe-simulated.json", tmp_path)
    found = PROCESSED.discover(tmp_path)
    assert found.entries[0].files == ("Processed_data/sub000.pkl", "Data/sub000/After_remarks.mat")
    assert not found.problems


def test_without_ratings_the_words_speak(one):
    shutil.rmtree(one / "Data")
    found = PROCESSED.discover(one)
    assert "no After_remarks.mat for sub000" in found.problems[0].found
    event = read(one).stimuli[0]
    assert event.ratings == {}
    assert event.affect.source is AffectSource.WORD_NORM
    # The folder of the signals alone is a legal request, too.
    assert len(PROCESSED.discover(one / "Processed_data").entries) == 1


def test_missing_and_extra_files(one):
    shutil.copy(one / "Processed_data" / "sub000.pkl", one / "Processed_data" / "sub007.pkl")
    (one / "Processed_data" / "sub001.pkl.pkl").write_bytes(b"")
    vendor_files.mark(one, subjects=3, trials=28, trial_s=[2])
    found = PROCESSED.discover(one)
    assert [problem.found for problem in found.problems] == ["no sub001.pkl, sub002.pkl", "also sub007.pkl"]
    assert [entry.id.subject for entry in found.entries] == ["000"]
    assert "sub001.pkl.pkl" in found.notes[0]
    (one / "EEG_Features" / "DE").mkdir(parents=True)
    assert "EEG_Features" in PROCESSED.discover(one).notes[1]


def remark(root, video=None, **changes):
    file = root / "Data" / "Data" / "sub000" / "After_remarks.mat"
    rows = loadmat(file)["After_remark"]
    for row in rows.ravel():
        if video is None or int(row["vid"].item()) == video:
            for name, value in changes.items():
                row[name] = value
    savemat(file, {"After_remark": rows})
    return file


def test_wrong_ratings_are_refused(one):
    score = np.full((1, 12), 3.0)
    score[0, 8] = 7.5
    file = remark(one, 5, score=score)
    assert refusal(one).found == "arousal 7.5"
    remark(one, 5, score=score[:, :11])
    assert "11 scores" in refusal(one).found
    remark(one, 5, score=np.full((1, 12), 3.0), vid=np.uint8(6))
    assert refusal(one).where.endswith("After_remarks.mat: vid")
    assert "each of 1 to 28 once" in refusal(one).expected
    remark(one, 6, vid=np.arange(1, 29, dtype=np.uint8))
    assert "28 video numbers" in refusal(one).found
    savemat(file, {"After_remark": loadmat(file)["After_remark"][:27]})
    assert "27 rows" in refusal(one).found
    savemat(file, {"Before_remark": 1.0})
    assert "nearest Before_remark" in refusal(one).found


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (vendor_files.noise(28, 30, 500), "(28, 30, 500)"),
        (vendor_files.noise(28, 32, 500) * 1e-6, "as if in volt"),
        (vendor_files.noise(28, 32, 500) * 3000, "a typical spread"),  # the release is said to hold one such file
        (vendor_files.noise(28, 32, 500).astype(int), "int64"),
        (vendor_files.noise(28, 32, 500).astype(np.float16), "float16"),
    ],
)
def test_wrong_arrays_are_refused(one, array, told):
    vendor_files.numpy1_pickle(one / "Processed_data" / "sub000.pkl", array)
    problem = refusal(one)
    assert problem.where.startswith("Processed_data/sub000.pkl")
    assert told in problem.found
    assert "microvolt" in problem.expected or "float64" in problem.expected


def test_nan_names_video_and_channel(one):
    array = vendor_files.noise(28, 32, 500)
    array[20, 30, 3] = np.nan
    vendor_files.numpy1_pickle(one / "Processed_data" / "sub000.pkl", array)
    problem = refusal(one)
    assert problem.where.endswith("video 21")
    assert "channel A2" in problem.found


# --- whole recordings -------------------------------------------------------------------------------------------------

_1 = "Fp1 Fp2 Fz F3 F4 F7 F8 FC1 FC2 FC5 FC6 Cz C3 C4 T3 T4 A1 A2 CP1 CP2 CP5 CP6 Pz P3 P4 T5 T6 PO3 PO4 Oz O1 O2"
_2 = "Fp1 Fp2 Fz F3 F4 F7 F8 FC1 FC2 FC5 FC6 Cz C3 C4 T7 T8 CP1 CP2 CP5 CP6 Pz P3 P4 P7 P8 PO3 PO4 Oz O1 O2 HEOR HEOL"
GROUP_1, GROUP_2 = _1.split(), _2.split()
CLIP_S, PAUSE_S, FIRST_S = 2.0, 0.6, 4.0
SECONDS = 80


def bdf(file: Path, labels: list[str], counts: np.ndarray, *, unit="uV", rate=250, scale=375000, record_s="1") -> None:
    """A plain BDF file of (channel, sample) counts."""
    many = len(labels)
    records = counts.shape[1] // rate
    columns = [
        (labels, 16), ([""] * many, 80), ([unit] * many, 8), ([f"-{scale}"] * many, 8), ([str(scale)] * many, 8),
        (["-8388608"] * many, 8), (["8388607"] * many, 8), (["HP: DC, LP: 62"] * many, 80), ([str(rate)] * many, 8),
        ([""] * many, 32),
    ]  # fmt: skip
    main = [("", 80), ("", 80), ("01.01.20", 8), ("10.00.00", 8), (str(256 * (many + 1)), 8), ("24BIT", 44)]
    main += [(str(records), 8), (record_s, 8), (str(many), 4)]
    text = "".join(text.ljust(width) for text, width in main)
    text += "".join(text.ljust(width) for texts, width in columns for text in texts)
    wide = counts.reshape(many, records, rate).transpose(1, 0, 2).astype("<i4")
    packed = wide.ravel().view(np.uint8).reshape(-1, 4)[:, :3]
    file.write_bytes(b"\xffBIOSEMI" + text.encode("latin1") + packed.tobytes())


def evt(file: Path, marks: list[tuple[float, str]], label: str = "BDF Annotations") -> None:
    """Markers, four in each record of 300 bytes, as if records were a second."""
    parts = [marks[at : at + 4] for at in range(0, len(marks), 4)]
    records = [
        f"+{number}\x14\x14\0" + "".join(f"+{onset:.3f}\x14{text}\x14\0" for onset, text in part)
        for number, part in enumerate(parts)
    ]
    columns = [
        (["Empty Event Data", label], 16), (["", ""], 80), (["", ""], 8), (["-1", "-1"], 8), (["1", "1"], 8),
        (["-8388608"] * 2, 8), (["8388607"] * 2, 8), (["", ""], 80), (["1", "100"], 8), (["", ""], 32),
    ]  # fmt: skip
    main = [("", 80), ("", 80), ("01.01.20", 8), ("10.00.00", 8), ("768", 8), ("BDF+C", 44), (str(len(parts)), 8)]
    main += [("1", 8), ("2", 4)]
    text = "".join(text.ljust(width) for text, width in main)
    text += "".join(text.ljust(width) for texts, width in columns for text in texts)
    body = b"".join(b"\0\0\0" + record.encode().ljust(300, b"\0") for record in records)
    file.write_bytes(b"\xffBIOSEMI" + text.encode("latin1") + body)


def order(seed: int, folder: Path) -> list[int]:
    """The clips in the order that After_remarks.mat says."""
    vendor_files.faced_remarks(folder / "After_remarks.mat", seed=seed)
    rows = loadmat(folder / "After_remarks.mat")["After_remark"].ravel()
    return [int(row["vid"].item()) for row in rows]


def marks(videos: list[int], long: int | None = None) -> list[tuple[float, str]]:
    found, at = [(1.0 + 0.5 * place, "100") for place in range(5)], FIRST_S
    for video in videos:
        length = CLIP_S + (8.116 if video == long else 0)
        found += [(at, str(video)), (at + 0.1, "101"), (at + 0.1 + length, "102")]
        at += 0.1 + length + PAUSE_S
    return found


def recording(root: Path, subject: int, labels: list[str], *, rate=250, unit="uV", seconds=SECONDS) -> np.ndarray:
    folder = root / "Data" / f"sub{subject:03d}"
    videos = order(subject, folder)
    random = np.random.default_rng(subject)
    counts = np.round(random.normal(0, 300, (32, seconds * rate)) + random.normal(0, 2e5, (32, 1))).astype(np.int32)
    bdf(folder / "data.bdf", labels, counts, rate=rate, unit=unit)
    evt(folder / "evt.bdf", marks(videos, long=22 if subject == 40 else None))
    (folder / "recordInformation.json").write_text("{}")
    return counts


PEOPLE = {23: (GROUP_1, 250, "?V"), 40: (GROUP_1, 250, "uV"), 61: (GROUP_2, 1000, "uV")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, dict[int, np.ndarray]]:
    """Three people: (tree, counts in the file's order)."""
    root = tmp_path_factory.mktemp("whole")
    vendor_files.mark(root, subjects=3, people=list(PEOPLE), trials=28, trial_s=[CLIP_S] * 28)
    (root / "Recording_info.csv").write_text("sub,Gender,Age,Cohort \nsub061,F,29,2\n", encoding="utf-8")
    return root, {
        subject: recording(root, subject, labels, rate=rate, unit=unit, seconds=90 if subject == 40 else SECONDS)
        for subject, (labels, rate, unit) in PEOPLE.items()
    }


@pytest.fixture
def person(whole, tmp_path) -> Path:
    """A copy of 23 alone."""
    shutil.copytree(whole[0] / "Data" / "sub023", tmp_path / "Data" / "sub023")
    vendor_files.mark(tmp_path, subjects=1, people=[23], trials=28, trial_s=[CLIP_S] * 28)
    return tmp_path


def test_whole_recordings_by_name(whole):
    root, counts = whole
    assert [one.name for one in datasets.recognise(root)] == ["faced", "raw"]
    today = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8", "HEOR": "A2", "HEOL": "A1"}
    for index, (subject, (labels, rate, _)) in enumerate(PEOPLE.items()):
        made = read(root, index, RAW)
        assert made.id.subject == f"{subject:03d}"
        assert made.raw.info["sfreq"] == rate
        assert made.raw.ch_names == [today.get(label, label) for label in GROUP_2]
        assert made.raw.get_channel_types() == ["eeg"] * 30 + ["misc"] * 2
        gain = 750000 / (2**24 - 1)
        for label, row in zip(labels, counts[subject], strict=True):
            expected = (row * gain + (-375000 + gain * 2**23)).astype(np.float32)
            np.testing.assert_array_equal(
                (made.raw.get_data(today.get(label, label))[0] * 1e6).astype(np.float32), expected
            )
    assert (made.sex, made.age) == ("F", 29)
    assert "HEOR" in made.notes[0]
    assert "'?V'" in read(root, 0, RAW).notes[0]
    assert read(root, 1, RAW).notes == ()


def test_clips_of_whole_recordings(whole, tmp_path):
    root, _ = whole
    for index, subject in enumerate(PEOPLE):
        made = read(root, index, RAW)
        videos = order(subject, tmp_path / str(subject))
        scores = vendor_files.faced_remarks(tmp_path / "again" / "After_remarks.mat", seed=subject)
        assert [event.stimulus for event in made.stimuli] == [f"faced/{video:02d}" for video in videos]
        assert [event.trial for event in made.stimuli] == list(range(1, 29))
        assert not made.boundaries
        at = FIRST_S + 0.1
        for event, video in zip(made.stimuli, videos, strict=True):
            longer = 8.116 if (video, subject) == (22, 40) else 0.0
            assert event.onset_s == pytest.approx(at, abs=1e-3)
            assert event.duration_s == pytest.approx(CLIP_S + longer, abs=1e-6)
            assert event.stimulus_offset_s == -longer
            assert list(event.ratings.values()) == scores[video].ravel().tolist()
            assert event.affect.valence == pytest.approx((scores[video][0, 9] - 3.5) * 8 / 7)
            assert event.label == read_label(video)
            at += event.duration_s + PAUSE_S + 0.1


def read_label(video: int) -> str:
    groups = ["anger", "disgust", "fear", "sadness", "neutral", "amusement", "inspiration", "joy", "tenderness"]
    return groups[(video - 1) // 3] if video <= 12 else "neutral" if video <= 16 else groups[(video - 2) // 3]


def test_other_layouts_of_whole_recordings(whole, person):
    root, _ = whole
    assert len(RAW.discover(root / "Data").entries) == 3
    doubled = person / "Data" / "Data"
    doubled.mkdir()
    (person / "Data" / "sub023").rename(doubled / "sub023")
    found = RAW.discover(person)
    assert found.entries[0].files[0] == "Data/Data/sub023/data.bdf"
    assert (found.problems, found.notes) == ([], [])
    # Beside Processed_data both forms are there, and either can be asked for.
    vendor_files.numpy1_pickle(person / "sub023.pkl", np.zeros(1))
    assert faced.DATASET.recognise(person) is PROCESSED
    assert len(RAW.discover(person).entries) == 1


def test_missing_and_additional_files_of_whole_recordings(person):
    folder = person / "Data" / "sub023"
    (folder / "After_remarks.mat").unlink()
    (folder / "recordInformation.json").unlink()
    (folder / "notes.txt").touch()
    (person / "Data" / "sub123").mkdir()
    found = RAW.discover(person)
    assert [problem.found for problem in found.problems] == ["also sub123", "no After_remarks.mat for sub023"]
    assert [note.split(";")[0] for note in found.notes] == [
        "No recordInformation.json in sub023",
        "Not read: Data/sub023/notes.txt.",
    ]
    assert {event.affect.source for event in read(person, variant=RAW).stimuli} == {AffectSource.WORD_NORM}
    (folder / "evt.bdf").unlink()
    (folder / "evt.bdf").mkdir()
    found = RAW.discover(person)
    assert found.entries == []
    assert "no evt.bdf in sub023" in [problem.found for problem in found.problems]
    (person / "eegpipe-simulated.json").unlink()
    assert "no sub000, sub001" in RAW.discover(person).problems[0].found


def test_the_length_of_a_persons_recording_is_known(person):
    (person / "eegpipe-simulated.json").unlink()
    problem = refusal(person, RAW)
    assert problem.where == "Data/sub023/data.bdf: duration"
    assert (problem.found, problem.expected) == ("80 s", "5777 s for subject 023")


def changed_signal(folder: Path, **changes) -> None:
    wanted = {"labels": GROUP_1, "rate": 250, "unit": "uV", "seconds": SECONDS} | changes
    random = np.random.default_rng(0)
    counts = random.normal(0, 300, (len(wanted["labels"]), wanted["seconds"] * wanted["rate"])).astype(np.int32)
    others = {name: wanted[name] for name in ("rate", "unit", "scale", "record_s") if name in wanted}
    bdf(folder / "data.bdf", wanted["labels"], counts, **others)


@pytest.mark.parametrize(
    ("changes", "where", "told"),
    [
        ({"rate": 1000}, "header", "24 bit, records of 1 s, 1000 Hz"),
        ({"record_s": "2"}, "header", "records of 2 s, 125 Hz"),
        ({"unit": "mV"}, "unit", "'mV'"),
        ({"unit": ""}, "unit", "''"),
        ({"scale": 262144}, "scale", "0.031250"),
        ({"labels": [*GROUP_1[:16], "A2", "A1", *GROUP_1[18:]]}, "channels", "in another order (channel 17 is A2)"),
        ({"labels": GROUP_2}, "channels", "with 'T7'"),
        ({"labels": [*GROUP_1, "Status"]}, "channels", "33 channels, with 'Status'"),
        ({"labels": GROUP_1[:-1]}, "channels", "31 channels, without O2"),
    ],
)
def test_wrong_recordings_are_refused(person, changes, where, told):
    changed_signal(person / "Data" / "sub023", **changes)
    problem = refusal(person, RAW)
    assert problem.where == f"Data/sub023/data.bdf: {where}"
    assert told in problem.found


def test_damaged_recordings_are_refused(person):
    file = person / "Data" / "sub023" / "data.bdf"
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    assert "by the file's own header" in refusal(person, RAW).expected
    file.write_bytes(b"0       " + content[8:])
    assert refusal(person, RAW).where.startswith("Data/sub023/data.bdf")
    counts = np.zeros((32, SECONDS * 250), np.int32)
    bdf(file, GROUP_1, counts)
    assert "the same value" in refusal(person, RAW).found
    file.write_text("/annex/objects/SHA256E-s112--0.bdf\n")
    assert refusal(person, RAW).found == "a pointer of git-annex"


def without(video: int) -> list[tuple[float, str]]:
    return [mark for place, mark in enumerate(marks(list(range(1, 29)))) if place - 5 != 3 * (video - 1)]


def late(video: int, seconds: float) -> list[tuple[float, str]]:
    found = marks(list(range(1, 29)))
    onset, text = found[5 + 3 * (video - 1) + 1]
    found[5 + 3 * (video - 1) + 1] = (onset + seconds, text)
    return found


@pytest.mark.parametrize(
    ("made", "where", "told"),
    [
        (without(7), "", "no clip 7"),
        (marks([*range(1, 28), 27]), "", "no clip 28 and more than one clip 27"),
        (marks(list(range(1, 28))), "", "no clip 28"),
        ([(1.0, "100")], "", "no clip 1, 2, 3"),
        (late(3, 0.7), ": clip 3", "a length of 1.3 s"),
        (marks(list(range(1, 29)), long=22), ": clip 22", "a length of 10.116 s"),  # the version of 036-060
        ([*marks(list(range(1, 29)))[:-2], (79.0, "101"), (81.0, "102")], ": clip 28", "79 to 81 s"),
        (marks(list(range(28, 0, -1))), ": order of the clips", "at place 1"),
        ([(1.0 + place, str(240 + place % 4)) for place in range(60)], ": markers of another release", "240, 241"),
    ],
)
def test_wrong_markers_are_refused(person, made, where, told):
    evt(person / "Data" / "sub023" / "evt.bdf", made)
    problem = refusal(person, RAW)
    assert problem.where == f"Data/sub023/evt.bdf{where}"
    assert told in problem.found


def test_a_marker_file_of_another_kind_is_refused(person):
    file = person / "Data" / "sub023" / "evt.bdf"
    content = file.read_bytes()
    for wrong in (content.replace(b"BDF Annotations", b"Events         "), b"0       " + content[8:], b"", b"x"):
        file.write_bytes(wrong)
        problem = refusal(person, RAW)
        assert (problem.where, problem.expected[:10]) == ("Data/sub023/evt.bdf", "a BDF file")
    with file.open("wb") as large:
        large.truncate(2**25)
    assert "33554432 bytes" in refusal(person, RAW).found


def test_markers_do_not_depend_on_the_header_of_their_file(person):
    """Its number of data records and their length are not known."""
    file = person / "Data" / "sub023" / "evt.bdf"
    expected = [event.onset_s for event in read(person, variant=RAW).stimuli]
    content = bytearray(file.read_bytes())
    content[236:252] = b"-1      36      "
    file.write_bytes(content)
    assert [event.onset_s for event in read(person, variant=RAW).stimuli] == expected
    file.write_bytes(content[: len(content) // 2])
    assert refusal(person, RAW).found.startswith("no clip ")


# --- the re-host ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hosted(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("hosted")
    settings = SimulateSettings(variant="rehost", subjects=1, trial_s=6, traps=True, seed=1)
    simulate("faced", root / "raw", settings, truth=root / "truth")
    return root / "raw"


@pytest.fixture
def host(hosted, tmp_path) -> Path:
    shutil.copytree(hosted, tmp_path / "nm000112")
    return tmp_path / "nm000112"


def events_file(root: Path) -> Path:
    return root / "sub-000" / "eeg" / "sub-000_task-watchingVideoClips_events.tsv"


def change_cells(file: Path, column: str, video: int | None, new: str) -> None:
    header, *rows = [line.split("\t") for line in file.read_text("utf-8").splitlines()]
    for row in rows:
        if video is None or row[header.index("video_index")] == str(video):
            row[header.index(column)] = new
    file.write_text("\n".join("\t".join(row) for row in [header, *rows]) + "\n", "utf-8")


def test_the_rehost_is_told_from_other_bids_folders(host, tmp_path):
    assert [one.name for one in datasets.recognise(host)] == ["faced", "rehost"]
    assert [one.name for one in datasets.recognise(tmp_path)] == ["faced", "rehost"]
    found = REHOST.discover(host)
    assert (found.problems, found.notes, len(found.entries)) == ([], [], 1)
    outcomes = convert(faced.DATASET, host, tmp_path / "bids", workers=1)
    assert [outcome.status for outcome in outcomes] == ["done"]
    assert not REHOST.recognise(tmp_path / "bids")
    assert not RAW.recognise(tmp_path / "bids")


def test_a_clone_without_content(host):
    for file in (host / "sub-000" / "eeg").iterdir():
        file.unlink()
        if file.suffix in (".bdf", ".tsv"):
            file.symlink_to("../../.git/annex/objects/0")
    assert REHOST.recognise(host)
    found = REHOST.discover(host)
    assert found.entries == []
    assert "no content of *_eeg.bdf for sub-000" in [problem.found for problem in found.problems]
    assert "git annex get" in found.problems[0].cure


@pytest.mark.parametrize(
    ("column", "video", "new", "where", "told"),
    [
        ("video_index", 5, "n/a", "_events.tsv", "no clip 5"),
        ("video_index", 5, "8", ": emotion_label", "'disgust' for video 8"),
        ("video_index", 5, "29", "line", "video_index 29"),
        ("video_index", 5, "x", ": video_index", "'x'"),
        ("emotion_label", 5, "Joy", ": emotion_label", "'joy' for video 5"),
        ("onset", 5, "-3", ": onset", "'-3'"),
        ("duration", 5, "300", ": clip 5", "a length of 300 s"),
        ("sample", 5, "12", "line", "sample 12 at"),
        ("Arousal", 5, "7.2", "line", "arousal 7.2"),
        ("Arousal", 5, "n/a", ": Arousal", "'n/a'"),
    ],
)
def test_wrong_events_tables_are_refused(host, column, video, new, where, told):
    change_cells(events_file(host), column, video, new)
    problem = refusal(host, REHOST)
    assert where in problem.where
    assert told in problem.found


def test_columns_of_the_events_table(host):
    file = events_file(host)
    text = file.read_text("utf-8")
    file.write_text(text.replace("video_index", "video", 1), "utf-8")
    assert refusal(host, REHOST).found == "no column video_index"
    file.write_text(text.replace("Liking", "Like", 1), "utf-8")
    assert refusal(host, REHOST).found == "no column liking"
    header, *rows = [line.split("\t") for line in text.splitlines()]
    file.write_text("\n".join("\t".join(row[:8]) for row in [header, *rows]), "utf-8")
    made = read(host, variant=REHOST)
    assert {event.affect.source for event in made.stimuli} == {AffectSource.WORD_NORM}
    assert "no ratings" in made.notes[-1]
    file.write_text("")
    assert refusal(host, REHOST).found.startswith("no column onset")


def test_the_channels_table_must_be_of_the_recording(host):
    file = events_file(host).with_name("sub-000_task-watchingVideoClips_channels.tsv")
    text = file.read_text("utf-8")
    file.write_text(text.replace("A1\t", "A2\t", 1), "utf-8")
    assert refusal(host, REHOST).where.endswith("channels.tsv: name")
    file.write_text(text.replace("\tµV\t", "\tmV\t"), "utf-8")
    assert refusal(host, REHOST).found == "'mV'"
    file.unlink()
    assert "are read without it" in REHOST.discover(host).problems[0].expected
    assert len(read(host, variant=REHOST).stimuli) == 28


def test_the_marker_of_a_simulated_tree_may_shrink_only(host):
    marker = host / "eegpipe-simulated.json"
    content = json.loads(marker.read_text())
    content["facts"]["rate_hz"] = 500
    marker.write_text(json.dumps(content))
    with pytest.raises(DataProblem, match="how the tree was shrunk"):
        REHOST.discover(host)

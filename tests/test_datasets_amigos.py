"""AMIGOS: a cell for every video, arousal before valence, 5 s of baseline inside; two variants of the same people."""

from __future__ import annotations

import random
import re

import numpy as np
import openpyxl
import pytest
from scipy.io import savemat

from eegpipe import datasets
from eegpipe.datasets import amigos
from eegpipe.datasets.amigos import layout, original
from eegpipe.errors import DataProblem
from eegpipe.recording import Recording

import vendor_files

PREPROCESSED, ORIGINAL = amigos.DATASET.variants
SHORT = "4 5 9 10 13 18 19 20 23 30 31 34 36 58 80 138".split()  # noqa: SIM905
VIDEOS = [*SHORT, "N1", "P1", "B1", "U1"]
EPOC = vendor_files.EPOC
RATED = ["arousal", "valence", "dominance", "liking", "familiarity"]
TICKED = ["neutral", "disgust", "happiness", "surprise", "anger", "fear", "sadness"]
SECONDS = {"short": 6, "long": 8}  # 5 s of baseline included


def row(values) -> np.ndarray:
    cells = np.empty((1, len(values)), dtype=object)
    for place, value in enumerate(values):
        cells[0, place] = value
    return cells


def seconds_of(video: str) -> int:
    return SECONDS["short" if video in SHORT else "long"]


def ratings_of(subject: int, video: str) -> np.ndarray:
    draw = np.random.default_rng([subject, VIDEOS.index(video)])
    return np.concatenate([draw.uniform(1, 9, 5).round(2), draw.integers(0, 2, 7)])[np.newaxis]


def preprocessed_content(subject: int = 1, order=VIDEOS) -> dict:
    """The four variables. Every signal has the number of its video as mean, so that a mix-up shows."""
    tables = []
    for video in order:
        place = VIDEOS.index(video)
        table = vendor_files.noise(128 * seconds_of(video), 17, seed=100 * subject + place) + place
        table[:, 16] += 5e5
        tables.append(table)
    return {
        "VideoIDs": row(list(order)),
        "joined_data": row(tables),
        "labels_ext_annotation": row([np.zeros((3, 3))] * 20),
        "labels_selfassessment": row([ratings_of(subject, video) for video in order]),
    }


def original_content(order=VIDEOS) -> dict:
    tables = []
    for video in order:
        table = np.tile(np.arange(25.0) * 1e4, (128 * seconds_of(video), 1))
        table[:, 3:17] = 4200 + vendor_files.noise(len(table), 14, seed=VIDEOS.index(video)) + VIDEOS.index(video)
        tables.append(table)
    return {
        "EEG_DATA": row(tables),
        "ECG_DATA": row([np.zeros((256, 2))] * 20),
        "GSR_DATA": row([np.zeros((128, 1))] * 20),
        "VideoIDs": row(list(order)),
    }


def mark(root, people=(1, 2), sessions=2) -> None:
    times = [[SECONDS["short"]] * 16, [SECONDS["long"]] * 4][:sessions]
    vendor_files.mark(
        root, subjects=len(people), people=list(people), sessions=sessions, trials=16, sessions_trial_s=times
    )


def write(root, content=None, *, kind="Preprocessed", subject=1, people=None):
    """One person's file; the marker names the people."""
    content = content or (preprocessed_content(subject) if kind == "Preprocessed" else original_content())
    mark(root, people or (subject,))
    folder = root / f"data_{kind.lower()}"
    folder.mkdir(exist_ok=True)
    file = folder / f"Data_{kind}_P{subject:02d}.mat"
    savemat(file, content, do_compression=True)
    return file


def write_ratings(root, header=None, rows=None, people=(1, 2)):
    header = header or ["UserID", "VideoID", *map(str.capitalize, [*RATED, *TICKED])]
    rows = rows or [[n, int(v) if v in SHORT else v, *ratings_of(n, v)[0].tolist()] for n in people for v in VIDEOS]
    book = openpyxl.Workbook()
    for line in (header, *rows):
        book.active.append(line)
    (root / "Metadata").mkdir(parents=True, exist_ok=True)
    book.save(root / "Metadata/SelfAssessment.xlsx")
    return root / "Metadata/SelfAssessment.xlsx"


def read(root, index=0, variant=PREPROCESSED) -> Recording:
    found = variant.discover(root)
    return variant.read(found.root, found.entries[index])


def refusal(root, index=0, variant=PREPROCESSED) -> DataProblem:
    with pytest.raises(DataProblem) as caught:
        read(root, index, variant)
    return caught.value


# --- preprocessed -----------------------------------------------------------------------------------------------------


def test_signal_events_and_ratings(tmp_path):
    write(tmp_path)
    assert [one.name for one in datasets.recognise(tmp_path)] == ["amigos", "preprocessed"]
    found = PREPROCESSED.discover(tmp_path)
    assert [entry.id.stem for entry in found.entries] == [
        "sub-01_ses-short_task-emotion",
        "sub-01_ses-long_task-emotion",
    ]
    assert not found.problems
    content = preprocessed_content()
    for index, (session, videos) in enumerate((("short", SHORT), ("long", VIDEOS[16:]))):
        recording = read(tmp_path, index)
        assert recording.raw.ch_names == [*EPOC, "ECG Right", "ECG Left", "GSR"]
        assert recording.raw.get_channel_types() == ["eeg"] * 14 + ["ecg"] * 2 + ["misc"]
        tables = [content["joined_data"][0, VIDEOS.index(video)] for video in videos]
        expected = np.concatenate(tables).T.astype(np.float32)
        scale = np.array([1e6] * 16 + [1.0])[:, np.newaxis]
        np.testing.assert_array_equal((recording.raw.get_data() * scale).astype(np.float32), expected)
        assert [event.stimulus for event in recording.stimuli] == [f"amigos/{video}" for video in videos]
        assert [event.trial for event in recording.stimuli] == [VIDEOS.index(video) + 1 for video in videos]
        length = SECONDS[session]
        for place, event in enumerate(recording.stimuli):
            assert (event.onset_s, event.duration_s) == (place * length + 5, length - 5)
            given = ratings_of(1, event.stimulus.removeprefix("amigos/"))[0]
            assert dict(event.ratings) == dict(zip([*RATED, *TICKED], given.tolist(), strict=True))
            assert (event.affect.arousal, event.affect.valence) == pytest.approx((given[0] - 5, given[1] - 5))
        baselines = [event for event in recording.events if event.kind == "baseline"]
        assert [(one.onset_s, one.duration_s) for one in baselines] == [(n * length, 5.0) for n in range(len(videos))]
        assert recording.boundaries == [128 * length * n for n in range(1, len(videos))]
        assert recording.notes == ()


@pytest.mark.parametrize(
    "folder",
    [
        "",
        "data_preprocessed",
        "AMIGOS/data_preprocessed/data_preprocessed",
        "Physiological Recordings/Matlab Preprocessed Data",
        "AMIGOS/Physiological_Recordings/Matlab Preprocessed Data",
    ],
)
@pytest.mark.parametrize("own", ["", "{0}", "{0}/{0}"])
def test_every_layout_is_accepted_unchanged(tmp_path, folder, own):
    mark(tmp_path)
    for number in (1, 2):
        name = f"Data_Preprocessed_P{number:02d}"
        (tmp_path / folder / own.format(name)).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / own.format(name) / f"{name}.mat").touch()
    found = PREPROCESSED.discover(tmp_path)
    assert not found.problems
    assert [entry.id.subject for entry in found.entries] == ["01", "01", "02", "02"]
    assert all((tmp_path / entry.files[0]).is_file() for entry in found.entries)
    assert PREPROCESSED.recognise(tmp_path)
    assert not ORIGINAL.recognise(tmp_path)


def test_a_folder_beside_a_file_is_named_and_not_read_twice(tmp_path):
    file = write(tmp_path)
    own = file.with_suffix("")
    own.mkdir()
    (own / file.name).touch()
    found = PREPROCESSED.discover(tmp_path)
    assert len(found.entries) == 2
    assert "Data_Preprocessed_P01/Data_Preprocessed_P01.mat" in " ".join(found.notes)
    assert read(tmp_path).raw.n_times


def test_missing_and_surplus_people_and_stray_files(tmp_path):
    write(tmp_path, subject=2, people=(1, 2))
    (tmp_path / "data_preprocessed/Data_Preprocessed_P41.mat").touch()
    (tmp_path / "data_preprocessed/readings.npz").touch()
    found = PREPROCESSED.discover(tmp_path)
    assert [problem.found for problem in found.problems] == [
        "no Data_Preprocessed_P01.mat",
        "also Data_Preprocessed_P41.mat",
    ]
    assert "readings.npz" in " ".join(found.notes)
    assert {entry.id.subject for entry in found.entries} == {"02"}


def test_the_real_release_has_77_recordings(tmp_path):
    (tmp_path / "data_preprocessed").mkdir()
    for number in range(1, 41):
        (tmp_path / f"data_preprocessed/Data_Preprocessed_P{number:02d}.mat").touch()
    found = PREPROCESSED.discover(tmp_path)
    assert len(found.entries) == 77
    assert not found.problems
    assert found.notes == ["Without long videos, as documented: subject 8, 24, 28."]


def change(name, place, value):
    def apply(content):
        content[name][0, place] = value

    return apply


def drop_column(content):
    content["joined_data"] = row([table[:, :15] for table in content["joined_data"][0]])


@pytest.mark.parametrize(
    ("apply", "where", "told"),
    [
        (lambda content: content.pop("joined_data"), "", "the names"),
        (lambda content: content.update(VideoIDs=row(VIDEOS[:19])), "VideoIDs", "19 videos"),
        (change("VideoIDs", 3, "N1"), "VideoIDs", "20 videos"),
        (change("VideoIDs", 3, "99"), "VideoIDs", "20 videos"),
        (lambda content: content.update(joined_data=row([np.zeros((9, 17))] * 19)), "joined_data", "shape (1, 19)"),
        (lambda content: content.update(joined_data=np.zeros((3, 3))), "joined_data", "a double array"),
        (lambda content: content.update(labels_selfassessment=row([1.0] * 3)), "labels_selfassessment", "3 cells"),
        (drop_column, "joined_data{1}", "shape (768, 15)"),
        (change("joined_data", 2, vendor_files.noise(17, 768)), "joined_data{3}", "shape (17, 768)"),
        (change("joined_data", 2, vendor_files.noise(512, 17)), "joined_data{3}", "4 s (512 samples)"),
        (change("joined_data", 2, vendor_files.noise(768, 17) * 1e-6), "joined_data{3}", "as if in volt"),
        (change("joined_data", 2, np.full((768, 17), np.inf)), "joined_data{3}", "infinite"),
        (change("joined_data", 2, np.zeros((768, 17))), "joined_data{3}", "the same value"),
        (change("joined_data", 2, "a text"), "joined_data{3}", "a text"),
        (change("labels_selfassessment", 0, np.ones((1, 11))), "labels_selfassessment{1}", "shape (1, 11)"),
        (change("labels_selfassessment", 0, np.full((1, 12), 5.0)), "labels_selfassessment{1}", "neutral 5"),
        (change("labels_selfassessment", 0, np.zeros((1, 12))), "labels_selfassessment{1}", "arousal 0"),
        (change("labels_selfassessment", 0, np.full((1, 12), np.nan)), "labels_selfassessment{1}", "arousal nan"),
    ],
)
def test_what_is_refused(tmp_path, apply, where, told):
    content = preprocessed_content()
    apply(content)
    write(tmp_path, content)
    problem = refusal(tmp_path)
    file = "data_preprocessed/Data_Preprocessed_P01.mat"
    assert problem.where == (f"{file}: {where}" if where else file)
    assert told in problem.found
    assert amigos.DATASET.known(problem) is None


def test_durations_of_the_real_release_are_bounded(tmp_path):
    write(tmp_path)
    (tmp_path / "eegpipe-simulated.json").unlink()
    problem = refusal(tmp_path)
    assert problem.found == "6 s (768 samples)"
    assert problem.expected == "25 to 255 s at 128 Hz, baseline included"


def test_truncated_files_and_changed_bytes(tmp_path):
    file = write(tmp_path)
    good, draw = file.read_bytes(), random.Random(1)
    file.write_bytes(good[:50_000])
    assert "cannot be read" in refusal(tmp_path).found
    savemat(file, preprocessed_content())  # not compressed, so that the heads of arrays are found
    good, refused = file.read_bytes(), 0
    heads = [match.start() for match in re.finditer(rb"\x0e\x00\x00\x00", good) if match.start() % 8 == 0]
    for _ in range(20):
        content = bytearray(good)
        for _ in range(4):
            content[draw.choice(heads) + draw.randrange(48)] = draw.randrange(256)
        file.write_bytes(content)
        try:
            read(tmp_path)
        except DataProblem:
            refused += 1
    assert refused > 5


def test_a_cell_that_claims_too_much_is_refused_before_it_is_read(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setattr(layout, "_LARGEST", 100_000)
    assert "at most 100000 are right" in refusal(tmp_path).found


# --- original ---------------------------------------------------------------------------------------------------------


def test_the_original_files_take_their_ratings_from_the_workbook(tmp_path):
    order = [*VIDEOS[16:], *reversed(SHORT)]
    write(tmp_path, original_content(order=order), kind="Original")
    write_ratings(tmp_path)
    assert [one.name for one in datasets.recognise(tmp_path)] == ["amigos", "original"]
    found = ORIGINAL.discover(tmp_path)
    assert not found.problems
    recording = read(tmp_path, variant=ORIGINAL)
    assert recording.raw.ch_names == EPOC
    assert [event.stimulus for event in recording.stimuli] == [f"amigos/{video}" for video in reversed(SHORT)]
    assert [event.trial for event in recording.stimuli] == list(range(5, 21))
    tables = [table[:, 3:17] for table in original_content()["EEG_DATA"][0, :16]]
    expected = np.concatenate(tables[::-1]).T.astype(np.float32)
    np.testing.assert_array_equal((recording.raw.get_data() * 1e6).astype(np.float32), expected)
    for event in recording.stimuli:
        given = ratings_of(1, event.stimulus.removeprefix("amigos/"))[0]
        assert dict(event.ratings) == dict(zip([*RATED, *TICKED], given.tolist(), strict=True))
        assert event.affect.valence == pytest.approx(given[1] - 5)


@pytest.mark.parametrize("named", ["", "data_original", "Physiological Recordings/Matlab Original Data"])
def test_the_workbook_is_found_from_either_end(tmp_path, named):
    folder = tmp_path / (named or "data_original")
    folder.mkdir(parents=True)
    savemat(folder / "Data_Original_P01.mat", original_content(), do_compression=True)
    mark(tmp_path, (1,))
    write_ratings(tmp_path)
    root = tmp_path / named
    if named.count("/"):  # the marker of simulated trees lies in the folder that is named, or directly above
        mark(folder, (1,))
        mark(tmp_path, (1,))
    found = ORIGINAL.discover(root)
    assert not found.problems
    assert [(found.root / file).is_file() for file in found.entries[0].files] == [True, True]
    assert ORIGINAL.read(found.root, found.entries[0]).stimuli[0].ratings


def test_without_the_workbook_valence_and_arousal_are_unknown_and_a_problem_says_so(tmp_path):
    write(tmp_path, kind="Original")
    found = ORIGINAL.discover(tmp_path)
    [problem] = found.problems
    assert problem.where == "SelfAssessment.xlsx"
    recording = read(tmp_path, variant=ORIGINAL)
    assert all(event.affect.source == 0 and not event.ratings for event in recording.stimuli)
    assert "valence and arousal are unknown" in recording.notes[0]


def test_headers_are_matched_by_name_in_any_order_and_case(tmp_path):
    write(tmp_path, kind="Original")
    header = ["VALENCE", "video_id", "ignored", "User ID", "arousal"]
    write_ratings(tmp_path, header, [[2.5, video, "x", "P01", 7] for video in VIDEOS])
    recording = read(tmp_path, variant=ORIGINAL)
    assert all(dict(event.ratings) == {"valence": 2.5, "arousal": 7.0} for event in recording.stimuli)
    [note] = recording.notes
    assert "has no column dominance, liking" in note


def test_a_person_or_video_without_ratings_is_noted(tmp_path):
    write(tmp_path, kind="Original")
    rows = [[1, video, *ratings_of(1, video)[0].tolist()] for video in SHORT[1:]]
    write_ratings(tmp_path, rows=[*rows, [1, "4"]])
    recording = read(tmp_path, variant=ORIGINAL)
    assert recording.notes == ("Not rated, so that valence and arousal are unknown: video 4.",)
    assert [event.affect.source > 0 for event in recording.stimuli] == [False] + [True] * 15


def test_rows_of_something_else_are_noted(tmp_path):
    write(tmp_path, kind="Original")
    rows = [[1, video, *ratings_of(1, video)[0].tolist()] for video in VIDEOS]
    write_ratings(tmp_path, rows=[[1, "before", 3, 4], *rows, ["Mean", None, 5, 5]])
    recording = read(tmp_path, variant=ORIGINAL)
    assert all(len(event.ratings) == 12 for event in recording.stimuli)
    [note] = recording.notes
    assert note.endswith("not read: UserID 1, VideoID BEFORE, UserID Mean, VideoID (empty) (2).")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([[1, "4", "high", 2.0]], "arousal 'high'"),
        ([[1, "4", 12, 2.0]], "arousal 12"),
        ([[1, "4", 1, 2.0], [1, "4", 2, 2.0]], "two rows with different ratings"),
    ],
)
def test_wrong_ratings_are_refused(tmp_path, rows, told):
    write(tmp_path, kind="Original")
    write_ratings(tmp_path, ["UserID", "VideoID", "Arousal", "Valence"], rows)
    original._table.cache_clear()
    problem = refusal(tmp_path, variant=ORIGINAL)
    assert told in problem.found
    assert problem.where.startswith("Metadata/SelfAssessment.xlsx: UserID")


@pytest.mark.parametrize(
    ("apply", "where", "told"),
    [
        (lambda content: content.pop("EEG_DATA"), "", "nearest ECG_DATA"),
        (change("EEG_DATA", 2, vendor_files.noise(768, 14)), "EEG_DATA{3}", "shape (768, 14)"),
        (change("EEG_DATA", 2, vendor_files.noise(512, 25)), "EEG_DATA{3}", "512 samples"),
        (change("EEG_DATA", 2, vendor_files.noise(768, 25) / 1e6), "EEG_DATA{3}", "as if in volt"),
    ],
)
def test_what_is_refused_of_the_original_files(tmp_path, apply, where, told):
    content = original_content()
    apply(content)
    write(tmp_path, content, kind="Original")
    problem = refusal(tmp_path, variant=ORIGINAL)
    file = "data_original/Data_Original_P01.mat"
    assert problem.where == (f"{file}: {where}" if where else file)
    assert told in problem.found


def test_another_number_of_columns_is_noted(tmp_path):
    content = original_content()
    content["EEG_DATA"] = row([table[:, :20] for table in content["EEG_DATA"][0]])
    write(tmp_path, content, kind="Original")
    assert "20 columns instead of 25" in read(tmp_path, variant=ORIGINAL).notes[0]

"""MAHNOB-HCI: sessions found by name, clips cut at the pulses, descriptions that are XML and nothing more."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import mne
import numpy as np
import pytest

from eegpipe import datasets
from eegpipe.datasets.base import Discovery
from eegpipe.datasets.formats.edf import read_header
from eegpipe.datasets.mahnob_hci import DATASET, reader
from eegpipe.errors import DataProblem
from eegpipe.simulate import SimulateSettings, simulate

[VARIANT] = DATASET.variants
_GENEVA = (
    "Fp1 AF3 F3 F7 FC5 FC1 C3 T7 CP5 CP1 P3 P7 PO3 O1 Oz Pz Fp2 AF4 Fz F4 F8 FC6 FC2 Cz C4 T8 CP6 CP2 P4 P8 PO4 O2"
)
GENEVA = _GENEVA.split()


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("mahnob")
    simulate("mahnob_hci", root / "raw", SimulateSettings(subjects=1, trial_s=4, seed=3), truth=root / "truth")
    return root / "raw"


@pytest.fixture
def tree(simulated, tmp_path) -> Path:
    shutil.copytree(simulated, tmp_path / "raw")
    return tmp_path / "raw"


def discover(root: Path) -> Discovery:
    return VARIANT.discover(root)


def refusal(root: Path) -> DataProblem:
    [entry] = discover(root).entries
    with pytest.raises(DataProblem) as caught:
        VARIANT.read(root, entry)
    return caught.value


def edit(root: Path, session: int, pattern: str, new: str) -> None:
    file = root / f"Sessions/{session}/session.xml"
    text, count = re.subn(pattern, new, file.read_text(encoding="utf-8"))
    assert count == 1
    file.write_text(text, encoding="utf-8")


def bdf(root: Path, trial: int) -> Path:
    return root / f"Sessions/{2 * trial}/Part_1_S_Trial{trial}_emotion.bdf"


def overwrite(file: Path, at: int, content: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(content)


def test_the_files_by_mne_and_elementtree(simulated):
    raw = mne.io.read_raw_bdf(bdf(simulated, 1), verbose="error")
    assert raw.info["sfreq"] == 256
    assert raw.ch_names[:32] == GENEVA
    assert raw.ch_names[32:] == [
        *(f"EXG{n}" for n in range(1, 9)),
        *("GSR1", "GSR2", "Erg1", "Erg2", "Resp", "Temp", "Status"),
    ]
    session = ElementTree.parse(simulated / "Sessions/2/session.xml").getroot()
    assert (session.tag, session.attrib["sessionId"], session.attrib["isStim"]) == ("session", "2", "1")
    assert (session[0].tag, session[0].attrib["id"]) == ("subject", "1")
    assert session.attrib["mediaFile"].endswith(".avi")


def test_a_recording(simulated):
    [entry] = discover(simulated).entries
    recording = VARIANT.read(simulated, entry)
    assert recording.id.stem == "sub-01_task-emotion"
    kinds = recording.raw.get_channel_types()
    assert kinds == ["eeg"] * 32 + ["ecg"] * 3 + ["misc"] * 11
    assert recording.raw.ch_names[32:36] == ["EXG1", "EXG2", "EXG3", "EXG4"]
    assert [event.trial for event in recording.stimuli] == list(range(1, 21))
    assert len(recording.boundaries) == 19
    data = recording.raw.get_data()
    for (first, last), event in zip(recording.blocks, recording.stimuli, strict=True):
        trial = event.trial
        vendor = mne.io.read_raw_bdf(bdf(simulated, trial), verbose="error")
        np.testing.assert_allclose(data[:35, first:last], vendor.get_data()[:35], rtol=2e-7, atol=1e-15)
        session = ElementTree.parse(simulated / f"Sessions/{2 * trial}/session.xml").getroot().attrib
        assert event.stimulus == "mahnob_hci/" + session["mediaFile"].removesuffix(".avi")
        assert event.ratings["arousal"] == float(session["feltArsl"])
        assert event.ratings["control"] == float(session["feltCtrl"])
        assert event.affect.valence == float(session["feltVlnc"]) - 5
        assert reader.WORDS[int(session["feltEmo"])] == event.label
        # The clip is what lies between the two pulses that mne finds.
        (words,) = vendor.get_data(picks=["Status"])
        rises = np.flatnonzero(np.diff(words) > 0) + 1
        assert len(rises) == 2
        onset = round(event.onset_s * 256)
        assert (onset - first, onset - first + round(event.duration_s * 256)) == tuple(rises)
    baselines = [event for event in recording.events if event.kind == "baseline"]
    assert [event.onset_s + event.duration_s for event in baselines] == [one.onset_s for one in recording.stimuli]


def test_either_end_of_the_folder_may_be_named(tree, tmp_path):
    (tmp_path / "outer/MAHNOB-HCI").mkdir(parents=True)
    (tree / "Sessions").rename(tmp_path / "outer/MAHNOB-HCI/Sessions")
    (tree / "eegpipe-simulated.json").rename(tmp_path / "outer/MAHNOB-HCI/eegpipe-simulated.json")
    for root in (tmp_path / "outer/MAHNOB-HCI", tmp_path / "outer/MAHNOB-HCI/Sessions"):
        dataset, variant = datasets.recognise(root)
        assert (dataset.name, variant.name) == ("mahnob_hci", "bdf")
        found = discover(root)
        assert not found.problems
        assert found.simulated
    assert VARIANT.recognise(tmp_path / "outer")


def test_numbered_folders_of_others_are_not_claimed(tmp_path):
    for session in "123":
        (tmp_path / session).mkdir()
        (tmp_path / session / "1_20160518.mat").write_bytes(b"")
        (tmp_path / session / "session.xml").write_text("<session/>")
    assert not VARIANT.recognise(tmp_path)


def test_what_is_missing_or_too_much_is_said(tree):
    shutil.rmtree(tree / "Sessions/8")
    (tree / "Sessions/10/session.xml").unlink()
    found = discover(tree)
    assert [problem.where for problem in found.problems] == ["Sessions: subject 1", "Sessions/10/session.xml"]
    assert "19 trials" in found.problems[0].found
    assert len(found.entries[0].files) == 36

    (tree / "Sessions/3000").mkdir()
    shutil.copy(bdf(tree, 1), tree / "Sessions/3000/Part_12_S_Trial1_emotion.bdf")
    (tree / "Sessions/3001").mkdir()
    shutil.copy(bdf(tree, 2), tree / "Sessions/3001")
    found = discover(tree)
    assert [problem.where for problem in found.problems] == ["Sessions: subject 1", "Sessions: subject 12"]
    assert "2 twice" in found.problems[0].found
    assert not found.entries


@pytest.mark.parametrize(
    ("pattern", "new", "where", "told"),
    [
        ('mediaFile=".*?"', 'mediaFile="other.avi"', "mediaFile", "other.avi"),
        ('feltVlnc=".*?"', 'feltVlnc="10"', "feltVlnc", "10"),
        ('feltVlnc=".*?"', 'feltVlnc="5.5"', "feltVlnc", "5.5"),
        ('feltVlnc=".*?"', "", "feltVlnc", "nothing"),
        ('feltEmo=".*?"', 'feltEmo="13"', "feltEmo", "13"),
        ('cutNr=".*?"', 'cutNr="9"', "cutNr", "9"),
        ('subject id=".*?"', 'subject id="2"', "subject", "2"),
        ("<session", "<meeting", "", "mismatched tag"),
        ("(?s)<session.*</session>", "<meeting/>", "", "<meeting>"),
        ("<session", "<!DOCTYPE session [<!ENTITY a 'b'>]><session", "", "a document type"),
        (r"<\?xml.*\?>", "", None, None),
    ],
)
def test_descriptions_that_are_refused(tree, pattern, new, where, told):
    edit(tree, 2, pattern, new)
    if where is None:  # nothing is wrong with a missing declaration
        [entry] = discover(tree).entries
        assert len(VARIANT.read(tree, entry).stimuli) == 20
        return
    problem = refusal(tree)
    assert problem.where == "Sessions/2/session.xml" + (f": {where}" if where else "")
    assert told in problem.found


def test_an_entity_is_never_expanded(tree):
    """A billion laughs, in UTF-16 to hide it from a search for text."""
    laughs = "".join(f"<!ENTITY l{n} '{f'&l{n - 1};' * 10}'>" for n in range(1, 10))
    text = (
        f"<?xml version='1.0' encoding='UTF-16'?><!DOCTYPE session [<!ENTITY l0 'ha'>{laughs}]><session>&l9;</session>"
    )
    (tree / "Sessions/2/session.xml").write_bytes(text.encode("utf-16"))
    assert "a document type" in refusal(tree).found
    (tree / "Sessions/2/session.xml").write_text("<session>" + " " * 2**20 + "</session>")
    assert "1048595 bytes" in refusal(tree).found


def test_every_cut_of_a_description_is_one_refusal(tree):
    file = tree / "Sessions/2/session.xml"
    whole = file.read_bytes()
    for length in range(0, len(whole) - 12, 9):
        file.write_bytes(whole[:length])
        assert refusal(tree).where == "Sessions/2/session.xml"


def test_signals_that_are_refused(tree):
    file = bdf(tree, 3)
    whole = file.read_bytes()
    header = read_header(file, "x")
    n = len(header.labels)
    where = "Sessions/6/Part_1_S_Trial3_emotion.bdf"

    def told(at: int, content: bytes, problem: str) -> None:
        overwrite(file, at, content)
        found = refusal(tree)
        assert found.where.startswith(where)
        assert problem in str(found)
        file.write_bytes(whole)

    told(256 + 16 * 2, b"F33", "missing: F3")
    told(256 + 16 * 2, b"Fp1", "missing: F3")
    told(256 + (16 + 80) * n, b"mV", "Fp1 in 'mV'")
    told(244, b"2       ", "128 Hz")
    file.write_bytes(whole[:-1000])
    assert "bytes by the file's own header" in refusal(tree).expected
    file.write_bytes(whole)
    # Status words without any pulse: the last channel of every record.
    records = np.frombuffer(whole, np.uint8, offset=256 * (n + 1)).reshape(header.records, -1).copy()
    records[:, -256 * 3 :] = 0
    told(256 * (n + 1), records.tobytes(), "0 pulses")
    records[2, -256 * 3] = 1
    told(256 * (n + 1), records.tobytes(), "1 pulses (at 2.00 s)")
    records[3, -256 * 3] = 1
    told(256 * (n + 1), records.tobytes(), "1.00 s between the pulses")
    records[:, : 32 * 256 * 3] = 0
    records[2:, -256 * 3] = 0
    records[2, -256 * 3] = 1
    records[header.records - 2, -256 * 3] = 1
    told(256 * (n + 1), records.tobytes(), "the same value in all samples")


def test_channels_in_another_order_are_taken_by_name(tree):
    file = bdf(tree, 3)
    header = read_header(file, "x")
    content = bytearray(file.read_bytes())
    n, size = len(header.labels), 256 * 3
    before = VARIANT.read(tree, discover(tree).entries[0])
    content[256:272], content[272:288] = content[272:288], content[256:272]
    for record in range(header.records):
        at = 256 * (n + 1) + record * n * size
        content[at : at + size], content[at + size : at + 2 * size] = (
            content[at + size : at + 2 * size],
            content[at : at + size],
        )
    file.write_bytes(content)
    after = VARIANT.read(tree, discover(tree).entries[0])
    np.testing.assert_array_equal(before.raw.get_data(), after.raw.get_data())
    assert any("another order" in note for note in after.notes)


def test_a_keyword_that_is_no_class_gives_no_label(tree):
    edit(tree, 2, 'feltEmo=".*?"', 'feltEmo="10"')
    for felt in ("Arsl", "Vlnc", "Ctrl", "Pred"):
        edit(tree, 4, f'felt{felt}=".*?"', "")
    recording = VARIANT.read(tree, discover(tree).entries[0])
    assert recording.stimuli[0].label is None
    assert recording.stimuli[1].ratings == {}
    assert np.isnan(recording.stimuli[1].affect.valence)
    assert any("'unknown'" in note for note in recording.notes)
    assert "Sessions/4/session.xml holds no ratings." in recording.notes


def test_the_published_counts():
    expected = {number: max(reader.INCOMPLETE.get(number, (20,))) for number in reader.FACTS.numbers}
    assert sum(expected.values()) - 1 == 527  # session 1984 has no clip
    assert sum(reader.CLIPS.values()) == 1611
    assert not {12, 15, 26} & set(reader.FACTS.numbers)

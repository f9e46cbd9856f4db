"""SEED-V's documented irregularities: each catches a naive reading, written out here, and not eegpipe's.

What CNT files have in common is in test_traps_seed.py; here it is tested once more on SEED-V's own files, briefly.
"""

from __future__ import annotations

import json
import pickle
import struct

import mne
import numpy as np
import pytest

from eegpipe import datasets
from eegpipe.bids import convert
from eegpipe.datasets.formats import cnt
from eegpipe.datasets.seed_v import raw as reader
from eegpipe.datasets.seed_v import simulate as simulator
from eegpipe.simulate import SimulateSettings, simulate

DATASET = datasets.get("seed_v")
[RAW] = DATASET.variants


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Three people with one session: 2 and 10 with wrong heads, 7 with the broken file and its repaired copy."""
    root = tmp_path_factory.mktemp("seed_v")
    settings = SimulateSettings(subjects=3, sessions=1, trial_s=4, traps=True, seed=9)
    simulate("seed_v", root / "raw", settings, truth=root / "truth")
    return root / "raw"


@pytest.fixture(scope="module")
def one(tree):
    """The recording of subject 2."""
    return RAW.read(tree, RAW.discover(tree).entries[0])


def file(tree, stem: str):
    return tree / "SEED-V" / "EEG_raw" / f"{stem}.cnt"


def samples(tree) -> int:
    facts = json.loads((tree / "eegpipe-simulated.json").read_text())["facts"]
    return round(1000 * (facts["sessions_start_s"][0][-1] + facts["sessions_trial_s"][0][-1] + 2))


def declared(path) -> int:
    with path.open("rb") as content:
        return struct.unpack_from("<I", content.read(900), 864)[0]


def test_t1c_and_x1_person_10_before_person_2(tree):
    names = [path.name for path in (tree / "SEED-V" / "EEG_raw").glob("*.cnt")]
    assert [int(name.split("_")[0]) for name in sorted(names)] != [2, 7, 7, 10]  # naive: sorted as text
    assert [entry.id.subject for entry in RAW.discover(tree).entries] == ["02", "07", "10"]


@pytest.mark.parametrize(("index", "stem"), [(0, "2_1_20180416"), (2, "10_1_20180507")])
def test_t3a_and_t3c_wrong_heads(tree, index, stem):
    path = file(tree, stem)
    assert declared(path) != samples(tree)  # naive: believe the header
    recording = RAW.read(tree, RAW.discover(tree).entries[index])
    assert recording.raw.n_times == samples(tree)
    assert any("The header declares" in note for note in recording.notes)
    place = struct.unpack_from("<i", path.read_bytes()[:900], 886)[0]
    assert (place < 0) == (index == 2)  # naive: seek there
    assert any("wrong place for the event table" in note for note in recording.notes) == (index == 2)
    assert len(cnt.read_events(path, "x", cnt.read_header(path, "x"))) == 30


def test_t3b_two_bytes_instead_of_four(tree, one):
    header = cnt.read_header(file(tree, "2_1_20180416"), "x")
    content = file(tree, "2_1_20180416").read_bytes()[header.data_start : header.data_start + 264_000]
    naive_uv = np.frombuffer(content, "<i2").reshape(-1, 66) * header.scale_uv
    four_uv = np.frombuffer(content, "<i4").reshape(-1, 66) * header.scale_uv
    mine_uv = one.raw.get_data(stop=1000) * 1e6
    assert np.abs(naive_uv[:1000].T - mine_uv).max() > 100
    np.testing.assert_array_equal(mine_uv.astype(np.float32), four_uv.T.astype(np.float32))


def test_t3d_the_broken_file_and_its_repaired_copy(tree, tmp_path):
    assert len(list((tree / "SEED-V" / "EEG_raw").glob("7_1_*.cnt"))) == 2  # naive: two sessions, or the broken one
    assert declared(file(tree, "7_1_20180411")) != samples(tree) == declared(file(tree, "7_1_20180411_repaired"))
    found = RAW.discover(tree)
    assert not found.problems
    assert len(found.entries) == 3
    assert any("7_1_20180411_repaired.cnt is read" in note for note in found.notes)
    both = RAW.read(tree, found.entries[1])
    assert both.notes == ("The repaired copy of the file was read.",)
    # Most users have the broken file only.
    (tmp_path / "EEG_raw").mkdir()
    (tmp_path / "EEG_raw" / "7_1_20180411.cnt").symlink_to(file(tree, "7_1_20180411"))
    facts = json.loads((tree / "eegpipe-simulated.json").read_text())["facts"] | {"subjects": 1, "people": [7]}
    (tmp_path / "eegpipe-simulated.json").write_text(json.dumps({"facts": facts}))
    found = RAW.discover(tmp_path)
    assert not found.problems
    broken = RAW.read(tmp_path, found.entries[0])
    assert broken.notes == (f"The header declares 7654321 samples; the file holds {samples(tree)}, which were read.",)
    np.testing.assert_array_equal(broken.raw.get_data(), both.raw.get_data())


def test_t4_c1_and_c2_channels_by_name(tree, one):
    source = mne.io.read_raw_cnt(file(tree, "7_1_20180411_repaired"), data_format="int32", eog="auto", verbose="error")
    assert {"M1", "M2"} <= set(source.ch_names[:62])  # naive: the first 62 are the scalp
    assert set(source.get_channel_types()) == {"eeg"}  # naive: eyes and mastoids in the average reference
    kinds = dict(zip(one.raw.ch_names, one.raw.get_channel_types(), strict=True))
    assert [kinds[name] for name in ("M1", "M2", "VEO", "HEO")] == ["misc", "misc", "eog", "eog"]
    assert sum(kind == "eeg" for kind in kinds.values()) == 62
    for name in ("CB1", "CB2"):
        assert np.isfinite(one.raw.info["chs"][one.raw.ch_names.index(name)]["loc"][:3]).all()


def test_t5_the_session_is_not_the_rank_of_the_date(tmp_path):
    days = dict(enumerate(simulator._DAYS, start=1))
    for subject, row in days.items():
        for session, day in enumerate(row, start=1):
            (tmp_path / f"{subject}_{session}_{day}.cnt").touch()
    found = RAW.discover(tmp_path)
    assert not found.problems
    wrong = set()
    for entry in found.entries:
        subject, session = int(entry.id.subject), int(entry.id.session)
        assert entry.files[0] == f"{subject}_{session}_{days[subject][session - 1]}.cnt"
        if sorted(days[subject]).index(days[subject][session - 1]) + 1 != session:  # naive: as in SEED
            wrong.add(subject)
    assert wrong == {1, 5, 8, 9, 11, 12, 13, 15, 16}


def test_t6_codes_mean_other_emotions_elsewhere(tree, one):
    seed_iv = ("neutral", "sad", "fear", "happy")
    path = tree / "SEED-V" / "EEG_DE_features" / "2_123.npz"
    windows = pickle.loads(np.load(path)["label"].item()).values()
    mine = [event.label for event in one.stimuli]
    pairs = [(int(codes[0]), word) for codes, word in zip(windows, mine, strict=True) if len(codes)]
    assert len(pairs) > 5
    assert any(code >= 4 or seed_iv[code] != word for code, word in pairs)  # naive: the codes of SEED-IV
    assert all(reader.LABELS[code] == word for code, word in pairs)
    assert mine[:5] == ["happy", "fear", "neutral", "sad", "disgust"]


def test_t12_features_have_fewer_windows(tree, one):
    path = tree / "SEED-V" / "EEG_DE_features" / "2_123.npz"
    windows = [len(data) for data in pickle.loads(np.load(path)["data"].item()).values()]
    assert windows == [int(event.duration_s // 4) for event in one.stimuli]
    assert any(4 * count != event.duration_s for count, event in zip(windows, one.stimuli, strict=True))  # naive
    assert any("Not read: EEG_DE_features" in note for note in RAW.discover(tree).notes)


def test_c6_no_person_reaches_bids(tree, tmp_path):
    assert b"Test Person" in file(tree, "2_1_20180416").read_bytes()[:900]  # naive: copied by MNE
    outcomes = convert(DATASET, tree, tmp_path, workers=1)
    assert [outcome.status for outcome in outcomes] == ["done"] * 3
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".eeg"]
    assert len(written) > 15
    for path in written:
        assert b"Person" not in path.read_bytes(), path.name
    assert "repaired copy" in (tmp_path / "quality.tsv").read_text(encoding="utf-8")

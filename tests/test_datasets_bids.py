"""BIDS folders with a mapping file: the mapping, the four signal formats, the sidecars, and what is refused."""

from __future__ import annotations

import csv
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import mne
import mne_bids
import numpy as np
import pytest
import xarray
import yaml
from scipy.io import savemat

from eegpipe import affect, channels, datasets
from eegpipe.bids import about, convert, read_recording
from eegpipe.clean.settings import CleanSettings, IcaSettings
from eegpipe.clean.stage import clean_dataset
from eegpipe.datasets.bids import montages
from eegpipe.datasets.bids.mapping import load
from eegpipe.datasets.bids.signals import open_signal
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.fingerprint import digest
from eegpipe.params import load as load_params
from eegpipe.recording import RecordingId
from eegpipe.segment import segment_dataset

from import_graph import ROOT

HZ, SECONDS = 100, 40
NAMES = ["Fp1", "Cz", "Pz", "Oz"]
PLAIN = """\
name: mine
stimuli:
  column: trial_type
  values: [film]
  name: film
label:
  column: emotion
  words: {1: joy, 2: fear, 3: n/a}
ratings:
  valence: pleasant
  arousal: {column: excited, scale: [0, 100]}
scale: [1, 9]
line_hz: 50
"""
EVENTS = """\
onset\tduration\ttrial_type\tfilm\temotion\tpleasant\texcited
2\t10\tfilm\tsea.mp4\t1\t8\t25
12\t2\trating\tn/a\tn/a\tn/a\tn/a
15\t10\tfilm\tstorm.mp4\t2\t3\t100
25\t2\trating\tn/a\tn/a\tn/a\tn/a
28\t10\tfilm\twall.mp4\t3\tn/a\t50
38\t2\trating\tn/a\tn/a\tn/a\tn/a
"""


def noise(rows: int = 4, samples: int = HZ * SECONDS, seed: int = 0) -> np.ndarray:
    return (20 * np.random.default_rng(seed).standard_normal((rows, samples))).astype("<f4")


def brainvision(stem: Path, uv: np.ndarray, names=NAMES, *, hz: float = HZ, kind="IEEE_FLOAT_32", gain="1", unit="µV",
                order="MULTIPLEXED", markers=(), data: str | None = None) -> None:  # fmt: skip
    """A BrainVision file as a recording program writes it; ``uv`` (channel, sample)."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    stored = {"IEEE_FLOAT_32": "<f4", "INT_16": "<i2", "INT_32": "<i4"}[kind]
    values = (uv / float(gain or 1)).round() if kind != "IEEE_FLOAT_32" else uv
    (values.T if order == "MULTIPLEXED" else values).astype(stored).tofile(stem.with_suffix(".eeg"))
    infos = "".join(f"Ch{number}={name},,{gain},{unit}\n" for number, name in enumerate(names, start=1))
    stem.with_suffix(".vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={data or stem.name + '.eeg'}\nMarkerFile={stem.name}.vmrk\nDataFormat=BINARY\n"
        f"DataOrientation={order}\nNumberOfChannels={len(names)}\nSamplingInterval={1e6 / hz:g}\n\n"
        f"[Binary Infos]\nBinaryFormat={kind}\n\n[Channel Infos]\n{infos}",
        encoding="utf-8",
    )
    lines = "".join(f"Mk{number}={text}\n" for number, text in enumerate(markers, start=1))
    stem.with_suffix(".vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Common Infos]\n"
        f"DataFile={stem.name}.eeg\n\n[Marker Infos]\n{lines}",
        encoding="utf-8",
    )


def edf(stem: Path, counts: np.ndarray, names=NAMES, *, unit="uV", suffix=".edf") -> None:
    """EDF (2 bytes) or BDF (3 bytes) with a gain of 0.1; ``counts`` (channel, sample)."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    wide = suffix == ".bdf"
    least, most = (-999_999, 999_999) if wide else (-32768, 32767)
    n, records = len(names), counts.shape[1] // HZ

    def column(values, width: int) -> bytes:
        return b"".join(str(value).encode("latin1").ljust(width) for value in values)

    head = (b"\xffBIOSEMI" if wide else b"0".ljust(8)) + b" " * 160 + b"01.01.2000.00.00".ljust(16)
    head += str(256 * (n + 1)).encode().ljust(8) + (b"24BIT" if wide else b"").ljust(44)
    head += str(records).encode().ljust(8) + b"1".ljust(8) + str(n).encode().ljust(4)
    head += column(names, 16) + column([""] * n, 80) + column([unit] * n, 8)
    head += column([least / 10] * n, 8) + column([most / 10] * n, 8) + column([least] * n, 8) + column([most] * n, 8)
    head += column([""] * n, 80) + column([HZ] * n, 8) + column([""] * n, 32)
    blocks = counts.reshape(n, records, HZ).transpose(1, 0, 2).astype("<i4")
    raw = np.ascontiguousarray(blocks).view(np.uint8).reshape(-1, 4)[:, : 3 if wide else 2]
    stem.with_suffix(suffix).write_bytes(head + raw.tobytes())


def eeglab(stem: Path, uv: np.ndarray, names=NAMES, *, inside=False, apart=False, hz=HZ, events=(), **changes) -> None:
    """An EEGLAB file; ``inside``: with the numbers in it; ``apart``: fields as variables of their own."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    places = np.array([[(name,) for name in names]], dtype=[("labels", object)])
    found = np.array([[(kind, latency) for kind, latency in events]], dtype=[("type", object), ("latency", object)])
    fields = {
        "nbchan": len(names),
        "trials": 1,
        "pnts": uv.shape[1],
        "srate": float(hz),
        "data": uv if inside else f"{stem.name}.fdt",
        "chanlocs": places,
        "event": found if events else np.empty((0, 0)),
    } | changes
    savemat(stem.with_suffix(".set"), fields if apart else {"EEG": fields})
    if not inside:
        uv.T.astype("<f4").tofile(stem.with_suffix(".fdt"))


@pytest.fixture
def folder(tmp_path) -> Path:
    """One subject whose recording and tables are right."""
    root = tmp_path / "mine"
    brainvision(root / "sub-01/eeg/sub-01_task-film_eeg", noise())
    (root / "sub-01/eeg/sub-01_task-film_events.tsv").write_text(EVENTS, encoding="utf-8")
    (root / "participants.tsv").write_text("participant_id\tage\tsex\nsub-01\t26.0\tfemale\n", encoding="utf-8")
    (root / "eegpipe.yaml").write_text(PLAIN, encoding="utf-8")
    return root


def change(root: Path, name: str, old: str, new: str) -> None:
    file = next(root.rglob(name))
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def read_one(root: Path, key: int = 0):
    dataset = datasets.at("mine", root)
    [variant] = dataset.variants
    found = variant.discover(root)
    assert not found.problems
    return variant.read(found.root, found.entries[key])


def refusal(root: Path) -> str:
    with pytest.raises(DataProblem) as caught:
        read_one(root)
    return str(caught.value)


# --- the mapping file -------------------------------------------------------------------------------------------------


def test_what_the_mapping_says_is_what_is_read(folder):
    dataset = datasets.at("mine", folder)
    assert (dataset.name, dataset.labels) == ("mine", ("joy", "fear"))
    assert dataset.ratings == {"valence": (1, 9), "arousal": (0, 100)}
    recording = read_one(folder)
    assert [event.stimulus for event in recording.events] == ["mine/sea.mp4", "mine/storm.mp4", "mine/wall.mp4"]
    assert [event.label for event in recording.events] == ["joy", "fear", None]
    assert [event.trial for event in recording.events] == [1, 2, 3]
    first, second, third = recording.events
    assert (first.onset_s, first.duration_s, first.ratings) == (2, 10, {"valence": 8, "arousal": 25})
    assert (first.affect.valence, first.affect.arousal) == (3, -2)
    assert second.affect.source is affect.AffectSource.SELF_REPORT
    assert (third.affect, third.ratings) == (affect.UNKNOWN, {"arousal": 50})
    assert (recording.sex, recording.age, recording.line_hz) == ("F", 26, 50)
    np.testing.assert_array_equal((recording.raw.get_data() * 1e6).astype("<f4"), noise())
    assert recording.notes == ("1 of 3 stimuli have no class.", "1 of 3 stimuli lack a rating.")


@pytest.mark.parametrize("name", ["dens", "eegmmidb", "own"])
def test_the_examples_of_the_documentation_are_right(name, tmp_path):
    shutil.copyfile(ROOT / f"docs/mappings/{name}.yaml", tmp_path / "eegpipe.yaml")
    assert load(tmp_path).name == name
    text = (ROOT / "docs/mapping-a-bids-dataset.md").read_text(encoding="utf-8")
    assert f"mappings/{name}.yaml" in text


def test_the_documentation_names_every_key():
    from eegpipe.datasets.bids.mapping import _KEYS

    text = (ROOT / "docs/mapping-a-bids-dataset.md").read_text(encoding="utf-8")
    missing = [f"{path}.{key}" for path, keys in _KEYS.items() for key in keys if f"`{key}`" not in text]
    assert not missing


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: mine", "nam: mine", r"line 1: unknown key 'nam'\. Did you mean 'name'\?"),
        ("name: mine\n", "", r"the key 'name' is missing"),
        ("name: mine", "name: Mine!", r"line 1: name: found 'Mine!', expected small letters"),
        ("name: mine", "name: seed", r"name: found 'seed', expected a name of your own"),
        ("name: mine", "name: [a, b]", r"name: found a list, expected a text"),
        ("name: mine", "name: mine\nname: other", r"line 2: name: found the key a second time"),
        ("values: [film]", "value: [film]", r"line 4: unknown key 'stimuli.value'\. Did you mean 'values'\?"),
        ("  values: [film]\n", "", r"found both or neither of 'values' and 'pattern'"),
        ("values: [film]", "pattern: film(", r"stimuli.pattern: found 'film\(' .*expected a regular expression"),
        ("  name: film", "  onset_unit: msec", r"found 'msec', expected s or ms\. Did you mean 'ms'"),
        ("  name: film", "  duration_s: -3", r"stimuli.duration_s: found '-3', expected a number above 0"),
        ("  words: {1: joy, 2: fear, 3: n/a}", "", r"the key 'label.words' is missing"),
        ("scale: [1, 9]", "scale: [9, 1]", r"scale: found \[9, 1\], expected the lowest mark first"),
        ("scale: [1, 9]\n", "", r"ratings.valence: found no scale"),
        ("line_hz: 50", "line_hz: 55", r"line_hz: found '55', expected 50 or 60"),
        ("line_hz: 50", "beh: {join: trial}", r"beh: found join: trial without 'column'"),
        ("line_hz: 50", "channels: {types: {EyeUp: eye}}", r"found 'eye', expected eeg or eog"),
        ("line_hz: 50", "channels: {montage: egi}", r"found 'egi', expected egi128\. Did you mean 'egi128'"),
        ("line_hz: 50", "expect: {subjects: many}", r"expect.subjects: found 'many', expected a whole number"),
        ("line_hz: 50", "line_hz: {", r"not valid YAML"),
        (PLAIN, "", r"eegpipe.yaml: empty"),
        (PLAIN, "just words", r"the whole file: found 'just words', expected keys with values"),
    ],
)
def test_a_wrong_mapping_is_named_with_line_and_key(folder, old, new, message):
    change(folder, "eegpipe.yaml", old, new)
    with pytest.raises(UsageProblem, match=message):
        datasets.at("mine", folder)


def test_bytes_that_are_no_mapping_are_refused(folder):
    for content in (b"\xff\xfe\x00", b"a: &x [*x]", b"x" * 300_000, b"[" * 1000, b"name: mine\n\ttab: 1"):
        (folder / "eegpipe.yaml").write_bytes(content)
        with pytest.raises(UsageProblem, match=r"eegpipe\.yaml"):
            datasets.at("mine", folder)


def test_cells_are_texts_whatever_yaml_makes_of_them(folder):
    """``no`` is false to YAML and ``1.0`` a number; here they are what stands in the table."""
    change(folder, "*_events.tsv", "10\tfilm\t", "10\tno\t")
    change(folder, "*_events.tsv", "sea.mp4\t1\t", "sea.mp4\t1.0\t")
    change(folder, "eegpipe.yaml", "values: [film]", "values: [no]")
    assert [event.label for event in read_one(folder).events] == ["joy", "fear", None]


def test_the_mapping_survives_other_processes_and_counts_in_the_fingerprint(folder):
    [variant] = datasets.at("mine", folder).variants
    again = pickle.loads(pickle.dumps(variant))
    assert digest(*again.read.args) == digest(*variant.read.args)
    change(folder, "eegpipe.yaml", "2: fear", "2: anger")
    assert digest(*datasets.at("mine", folder).variants[0].read.args) != digest(*variant.read.args)


def test_the_mapping_may_lie_beside_a_read_only_download(folder, tmp_path):
    """Only ``folder`` differs: nothing is converted again, since the place of a file is no part of a result."""
    outcomes = convert(datasets.at("mine", folder), folder, tmp_path / "out", workers=1)
    assert [outcome.status for outcome in outcomes] == ["done"]
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "eegpipe.yaml").write_text(f"folder: ../mine\n{PLAIN}", encoding="utf-8")
    (folder / "eegpipe.yaml").unlink()
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    found = datasets.at("mine", beside).variants[0].discover(beside)
    assert found.root.resolve() == folder.resolve()
    outcomes = convert(datasets.at("mine", beside), beside, tmp_path / "out", workers=1)
    assert [outcome.status for outcome in outcomes] == ["kept"]
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before
    (beside / "eegpipe.yaml").write_text(f"folder: ../nothing\n{PLAIN}", encoding="utf-8")
    [problem] = datasets.at("mine", beside).variants[0].discover(beside).problems
    assert "no folder like sub-01" in str(problem)


# --- the signal files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["edf", "bdf", "vhdr-float", "vhdr-int16", "vhdr-vectorized", "set", "set-inside",
                                  "set-apart"])  # fmt: skip
def test_every_format_gives_the_numbers_of_the_file(kind, tmp_path):
    """Against the counts that were written, and against MNE's reading."""
    counts = np.random.default_rng(3).integers(-3000, 3000, (4, HZ * 3)).astype(np.int32)
    uv, stem = (counts * 0.1).astype("<f4"), tmp_path / "sub-01_task-x_eeg"
    if kind in ("edf", "bdf"):
        edf(stem, counts, suffix=f".{kind}")
        read = {"edf": mne.io.read_raw_edf, "bdf": mne.io.read_raw_bdf}[kind]
    elif kind.startswith("vhdr"):
        options = {"vhdr-float": {}, "vhdr-int16": {"kind": "INT_16", "gain": "0.1"}}
        order = {"kind": "INT_32", "gain": "0.1", "order": "VECTORIZED"}
        brainvision(stem, uv, **options.get(kind, order))
        read = mne.io.read_raw_brainvision
    else:
        eeglab(stem, uv, inside=kind == "set-inside", apart=kind == "set-apart")
        read = mne.io.read_raw_eeglab
    file = stem.with_suffix("." + kind.split("-")[0])
    signal = open_signal(file, file.name)
    values = signal.read([2, 0])
    np.testing.assert_allclose(values, uv[[2, 0]], atol=2e-5)
    if kind != "set-apart":  # MNE reads no variables of their own
        np.testing.assert_allclose(read(file, verbose="error").get_data([2, 0]) * 1e6, values, atol=2e-5)
    assert (signal.names, set(signal.rates_hz), set(signal.samples)) == (tuple(NAMES), {float(HZ)}, {3 * HZ})
    assert {unit.lower().replace("u", "µ") for unit in signal.units} == {"µv"}


def test_a_recording_is_found_whatever_its_format(folder):
    stem = folder / "sub-01/eeg/sub-01_task-film_eeg"
    expected = (read_one(folder).raw.get_data() * 1e6).astype("<f4")
    for suffix in (".vhdr", ".vmrk", ".eeg"):
        stem.with_suffix(suffix).unlink()
    eeglab(stem, noise())
    np.testing.assert_array_equal((read_one(folder).raw.get_data() * 1e6).astype("<f4"), expected)


def test_numbers_under_an_old_name_are_read_and_said(folder):
    change(folder, "*.vhdr", "DataFile=sub-01_task-film_eeg.eeg", "DataFile=recording_7.eeg")
    assert "names 'recording_7.eeg', which is not there" in read_one(folder).notes[0]


def test_pauses_and_runs_become_boundaries(folder):
    eeg = folder / "sub-01/eeg"
    brainvision(eeg / "sub-01_task-film_eeg", noise(), markers=["New Segment,,1,1,0", "New Segment,,2651,1,0"])
    for kind in (".vhdr", ".vmrk", ".eeg", ".tsv"):
        for file in eeg.glob(f"*{kind}"):
            file.rename(file.with_name(file.name.replace("task-film_", "task-film_run-2_")))
    change(folder, "*run-2_eeg.vhdr", "task-film_eeg.", "task-film_run-2_eeg.")
    eeglab(eeg / "sub-01_task-film_run-10_eeg", noise(seed=1), events=[("film", 201), ("boundary", 2650.5)])
    shutil.copyfile(eeg / "sub-01_task-film_run-2_events.tsv", eeg / "sub-01_task-film_run-10_events.tsv")
    recording = read_one(folder)
    assert recording.boundaries == [2650, 4000, 6650]
    assert [event.onset_s for event in recording.stimuli] == [2, 15, 28, 42, 55, 68]
    assert [event.trial for event in recording.stimuli] == [1, 2, 3, 4, 5, 6]
    both = np.concatenate([noise(), noise(seed=1)], axis=1)  # run 2 before run 10
    np.testing.assert_array_equal((recording.raw.get_data() * 1e6).astype("<f4"), both)
    change(folder, "*run-2_eeg.vhdr", "Ch1=Fp1", "Ch1=Fp2")
    assert "the 4 channels of" in refusal(folder)


def test_channels_get_names_types_and_units(folder):
    eeg = folder / "sub-01/eeg"
    names = ["EEG T3-REF", "Pz", "Left", "M1", "VEOG", "Belt", "Status", "Spare", "Heart"]
    uv = noise(9)
    brainvision(eeg / "sub-01_task-film_eeg", uv, names, unit="mV")
    (eeg / "sub-01_task-film_channels.tsv").write_text(
        "name\ttype\tunits\tstatus\nPz\tEEG\tmV\tbad\nHeart\tECG\tmV\tgood\nBelt\tRESP\tn/a\tgood\n", encoding="utf-8"
    )
    change(folder, "*.vhdr", "Ch6=Belt,,1,mV", "Ch6=Belt,,1,ARU")
    with (folder / "eegpipe.yaml").open("a", encoding="utf-8") as lines:
        lines.write("channels: {strip: [-REF], rename: {Left: C3}, leave_out: [Spare]}\nunit: uV\n")
    raw = read_one(folder).raw
    assert raw.ch_names == ["T7", "Pz", "C3", "M1", "VEOG", "Belt", "Heart"]
    assert raw.get_channel_types() == ["eeg", "eeg", "eeg", "misc", "eog", "misc", "ecg"]
    assert raw.info["bads"] == ["Pz"]
    # The mapping's unit for what is recorded as a voltage, the file's for the reference, none for the belt.
    np.testing.assert_array_equal((raw.get_data([0, 1, 2]) * 1e6).astype("<f4"), uv[:3])
    np.testing.assert_allclose(raw.get_data([3]) * 1e3, uv[[3]], rtol=1e-6)
    np.testing.assert_allclose(raw.get_data([5]), uv[[5]], rtol=1e-6)
    assert raw.info["chs"][3]["unit"] == mne.io.constants.FIFF.FIFF_UNIT_V


def test_the_cap_of_128_numbers_is_matched_by_place():
    """Against pairs that EGI publishes, where its list and the geometry of the templates agree."""
    table = montages.egi128()
    assert len(set(table.values())) == len(table) == 43
    published = {"E22": "Fp1", "E9": "Fp2", "E24": "F3", "E124": "F4", "E36": "C3", "E104": "C4", "E70": "O1",
                 "E83": "O2", "E75": "Oz", "E6": "FCz", "E72": "POz", "E55": "CPz", "Cz": "Cz"}  # fmt: skip
    assert {name: table.get(name) for name in published} == published
    assert not channels.REFERENCES & set(table.values())
    # The net is the same on both sides; the head of the schema's template nearly so.
    mirrored = {name[:-1] + str(int(name[-1]) + 1) for name in table.values() if name[-1] in "13579"}
    assert len(mirrored ^ {name for name in table.values() if name[-1] in "2468"}) <= 1


def test_a_cap_of_numbers_is_read_by_its_montage(folder):
    names = ["E22", "E24", "E1", "E36"]
    brainvision(folder / "sub-01/eeg/sub-01_task-film_eeg", noise(), names)
    assert "the schema of channels does not have: E22, E24, E1, E36" in refusal(folder)
    text = (folder / "eegpipe.yaml").read_text(encoding="utf-8")
    (folder / "eegpipe.yaml").write_text(f"{text}channels: {{montage: egi128}}\n", encoding="utf-8")
    assert read_one(folder).raw.ch_names == ["Fp1", "F3", "C3"]
    (folder / "eegpipe.yaml").write_text(f"{text}channels: {{montage: egi128, rename: {{E1: F3}}}}\n", encoding="utf-8")
    assert read_one(folder).raw.ch_names == ["Fp1", "F3", "C3"]  # E1 now, and E24 without a name
    np.testing.assert_array_equal((read_one(folder).raw.get_data([1]) * 1e6).astype("<f4")[0], noise()[2])
    change(folder, "*.vhdr", "Ch3=E1", "Ch3=X1")
    assert "does not have: X1" in refusal(folder)


# --- what is refused --------------------------------------------------------------------------------------------------

BAD_EVENTS = [
    ("28\t10\tfilm", "38\t10\tfilm", "a stimulus from 38 to 48 s, expected stimuli within the 40 s"),
    ("15\t10\tfilm", "11\t10\tfilm", "a stimulus while the one of onset 2 is still going on"),
    ("15\t10\tfilm", "15\t0\tfilm", "duration: found none for the stimulus at 15 s"),
    ("15\t10\tfilm", "n/a\t10\tfilm", "onset: found 'n/a', expected a number from 0 on"),
    ("15\t10\tfilm", "-1\t10\tfilm", "onset: found '-1'"),
    ("trial_type", "type", "column 'trial_type': found the columns 'onset', 'duration', 'type'"),
    ("\tfilm\t", "\tclip\t", "stimuli: found the values 'clip', 'rating', expected 'film' in column 'trial_type'"),
    ("storm.mp4\t2", "storm.mp4\t9", "found '9', expected one of '1', '2', '3'"),
    ("storm.mp4\t2\t3", "storm.mp4\t2\t0.5", "events.pleasant: found '0.5', expected a number from 1 to 9"),
    ("storm.mp4\t2\t3", "storm.mp4\t2\thigh", "found 'high', expected a number from 1 to 9"),
    ("storm.mp4\t", "n/a\t", "nothing in column events.film"),
    ("12\t2\trating\t", "12\t2\trating\tx\t", "line 3: found 8 cells, expected 7 columns"),
]


@pytest.mark.parametrize(("old", "new", "message"), BAD_EVENTS)
def test_events_that_cannot_be_right_are_refused(folder, old, new, message):
    change(folder, "*_events.tsv", old, new)
    assert message in refusal(folder)


def test_expectations_are_asserted(folder):
    text = (folder / "eegpipe.yaml").read_text(encoding="utf-8")
    for line, message in (
        ("stimuli: 4", "3 stimuli, expected 4"),
        ("different_stimuli: 2", "3 different stimuli, expected 2"),
        ("rate_hz: [250, 500]", "100 Hz, expected 250 or 500 Hz"),
        ("eeg_channels: 32", "4 EEG channels, expected 32"),
    ):
        (folder / "eegpipe.yaml").write_text(f"{text}expect: {{{line}}}\n", encoding="utf-8")
        assert message in refusal(folder)
    (folder / "eegpipe.yaml").write_text(f"{text}expect: {{subjects: 2}}\n", encoding="utf-8")
    [problem] = datasets.at("mine", folder).variants[0].discover(folder).problems
    assert "expect.subjects: found 1 subjects, expected 2" in str(problem)


def test_the_sidecars_say_rate_and_mains(folder):
    change(folder, "eegpipe.yaml", "line_hz: 50\n", "")
    assert "Say it in eegpipe.yaml: 'line_hz: 50'" in refusal(folder)
    text = {"PowerLineFrequency": 60, "SamplingFrequency": 200, "EEGReference": "Cz"}
    (folder / "task-film_eeg.json").write_text(json.dumps(text), encoding="utf-8")
    assert "100 Hz in the file, expected 200 Hz, as its _eeg.json says" in refusal(folder)
    # The nearer file counts more.
    near = folder / "sub-01/eeg/sub-01_task-film_eeg.json"
    near.write_text('{"SamplingFrequency": 100}', encoding="utf-8")
    recording = read_one(folder)
    assert (recording.line_hz, recording.reference) == (60, "Cz")
    near.write_text("{", encoding="utf-8")
    assert "no readable JSON" in refusal(folder)


def vhdr(root: Path, old: str, new: str) -> None:
    change(root, "*.vhdr", old, new)


BAD_SIGNALS = [
    (lambda root: vhdr(root, "µV", "furlong"), "unit: found 'furlong'"),
    (lambda root: vhdr(root, "Ch2=Cz", "Ch2=Qz"), "that the schema of channels does not have: Qz"),
    (lambda root: vhdr(root, "Ch2=Cz", "Ch2=Fp1"), "found Fp1 more than once"),
    (lambda root: vhdr(root, "NumberOfChannels=4", "NumberOfChannels=3"), "expected a multiple of 12 bytes"),
    (lambda root: vhdr(root, "NumberOfChannels=4", "NumberOfChannels=99999999"), "a BrainVision header"),
    (lambda root: vhdr(root, "BINARY", "ASCII"), "Export it again as continuous binary data"),
    (lambda root: vhdr(root, "IEEE_FLOAT_32", "UINT_16"), "INT_16, INT_32, IEEE_FLOAT_32"),
    (lambda root: vhdr(root, "SamplingInterval=10000", "SamplingInterval=nan"), "a positive number"),
    (lambda root: next(root.rglob("*.eeg")).unlink(), "no file 'sub-01_task-film_eeg.eeg' beside it"),
    (lambda root: next(root.rglob("*.eeg")).write_bytes(b"abc"), "3 bytes, expected a multiple of 16"),
    (lambda root: next(root.rglob("*.vhdr")).write_bytes(b"\0" * 400), "another first line"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "message"), BAD_SIGNALS)
def test_a_wrong_signal_file_is_refused(folder, damage, message):
    damage(folder)
    assert message in refusal(folder)


def test_another_unit_than_the_header_says_is_refused(folder):
    vhdr(folder, "µV", "mV")
    assert "expected microvolt, a spread of" in refusal(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pnts": HZ * SECONDS + 1}, "expected 64016 bytes for 4 channels x 4001 samples"),
        ({"nbchan": 5}, "4 channels, expected 5, as nbchan says"),
        ({"trials": 80}, "80 epochs, expected a continuous recording"),
        ({"srate": np.nan}, "srate: found numbers of shape (1, 1), expected one number"),
        ({"data": "old.dat"}, "a .dat file of old EEGLAB"),
        ({"chanlocs": np.empty((0, 0))}, "expected a struct"),
    ],
)
def test_a_wrong_eeglab_file_is_refused(folder, changes, message):
    for file in list((folder / "sub-01/eeg").glob("*_eeg.*")):
        file.unlink()
    eeglab(folder / "sub-01/eeg/sub-01_task-film_eeg", noise(), **changes)
    assert message in refusal(folder)


def test_a_clone_without_content_is_told_from_a_recording(folder):
    """OpenNeuro's repositories hold links into git-annex instead of files, or texts where links are not possible."""
    file = folder / "sub-01/eeg/sub-01_task-film_eeg.vhdr"
    file.unlink()
    file.symlink_to("../../.git/annex/objects/xx/yy/MD5E-s1.vhdr")
    assert "a link to nothing" in refusal(folder)
    file.unlink()
    file.write_text("/annex/objects/MD5E-s1.vhdr\n", encoding="utf-8")
    assert "not downloaded" in refusal(folder)


def test_no_change_of_a_byte_ends_in_anything_but_a_refusal(tmp_path):
    """Header, marker and structure files with bytes changed, taken away and added at random."""
    random = np.random.default_rng(11)
    uv = noise(2, 300)
    files = []
    for suffix in (".vhdr", ".set", ".edf"):
        stem = tmp_path / f"sub-01_task-{suffix[1:]}_eeg"
        if suffix == ".vhdr":
            brainvision(stem, uv, NAMES[:2], markers=["New Segment,,1,1,0"])
        elif suffix == ".set":
            eeglab(stem, uv, NAMES[:2], events=[("boundary", 100.5)])
        else:
            edf(stem, uv.astype(int), NAMES[:2])
        files.append(stem.with_suffix(suffix))
    read = refused = 0
    for file in files:
        content = file.read_bytes()
        for _ in range(150):
            broken = bytearray(content)
            for at in random.integers(0, min(len(broken), 1200), int(random.integers(1, 4))):
                broken[at] = random.integers(256)
            cut = int(random.integers(len(broken)))
            broken = broken[:cut] if random.random() < 0.2 else broken
            file.write_bytes(broken)
            try:
                signal = open_signal(file, file.name)
                values = signal.read([0])
                assert values.shape == (1, signal.samples[0])
                read += 1
            except DataProblem:
                refused += 1
        file.write_bytes(content)
    assert read > 20
    assert refused > 200


# --- folders ----------------------------------------------------------------------------------------------------------


def test_folders_are_discovered_by_their_names(folder):
    eeg = folder / "sub-01/eeg"
    for label in ("10", "2"):
        for file in eeg.iterdir():
            target = folder / f"sub-{label}/eeg" / file.name.replace("sub-01", f"sub-{label}")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    (folder / "sub-3/eeg").mkdir(parents=True)
    (folder / "derivatives/sub-09/eeg").mkdir(parents=True)
    shutil.copyfile(eeg / "sub-01_task-film_events.tsv", eeg / "sub-01_task-rest_events.tsv")
    found = datasets.at("mine", folder).variants[0].discover(folder)
    assert [entry.id.stem for entry in found.entries] == [f"sub-{label}_task-film" for label in ("01", "2", "10")]
    assert [str(problem) for problem in found.problems if "sub-3: found no recording" in str(problem)]
    assert any("sub-01_task-rest_events.tsv" in note for note in found.notes)
    change(folder, "eegpipe.yaml", "name: mine", "name: mine\nfiles: {subject: [2, sub-10]}")
    found = datasets.at("mine", folder).variants[0].discover(folder)
    assert [entry.id.subject for entry in found.entries] == ["2", "10"]
    assert not found.problems


def test_two_files_for_one_recording_are_a_problem(folder):
    eeglab(folder / "sub-01/eeg/sub-01_task-film_eeg", noise())
    [problem] = datasets.at("mine", folder).variants[0].discover(folder).problems
    assert "2 files" in str(problem)
    shutil.rmtree(folder / "sub-01")
    for name in ("a", "b"):
        brainvision(folder / f"sub-01/eeg/sub-01_task-film_acq-{name}_eeg", noise())
    (folder / "task-film_events.tsv").write_text(EVENTS, encoding="utf-8")
    [problem] = datasets.at("mine", folder).variants[0].discover(folder).problems
    assert "acquisitions a, b" in str(problem)
    change(folder, "eegpipe.yaml", "name: mine", "name: mine\nfiles: {acquisition: b}")
    assert len(read_one(folder).stimuli) == 3


def test_a_folder_with_a_mapping_is_recognised_and_others_are_not(folder, tmp_path):
    dataset, variant = datasets.recognise(folder)
    assert (dataset.name, variant.name) == ("mine", "bids")
    out = tmp_path / "out"
    convert(dataset, folder, out, workers=1)
    assert datasets.recognise(out) is None
    (folder / "eegpipe.yaml").unlink()
    assert datasets.recognise(folder) is None


# --- ratings in beh.tsv -----------------------------------------------------------------------------------------------


def with_beh(folder: Path, table: str, beh: str) -> Path:
    (folder / "sub-01/beh").mkdir(exist_ok=True)
    (folder / "sub-01/beh/sub-01_task-film_beh.tsv").write_text(table, encoding="utf-8")
    text = PLAIN.replace("valence: pleasant", "valence: beh.v").replace("{column: excited, scale: [0, 100]}", "beh.a")
    (folder / "eegpipe.yaml").write_text(f"{text}beh: {beh}\n", encoding="utf-8")
    return folder


def valences(folder: Path) -> list[float]:
    return [event.ratings.get("valence", -1) for event in read_one(folder).stimuli]


def test_ratings_are_joined_by_name_number_or_order(folder):
    by_name = "clip\tv\ta\nwall.mp4\t3\t1\nsea.mp4\t1\t1\nstorm.mp4\t2\t1\n"
    assert valences(with_beh(folder, by_name, "{join: stimulus, column: clip}")) == [1, 2, 3]
    by_number = "nr\tv\ta\n3.0\t3\t1\n1.0\t1\t1\n2.0\t2\t1\n"
    assert valences(with_beh(folder, by_number, "{join: trial, column: nr}")) == [1, 2, 3]
    assert valences(with_beh(folder, "v\ta\n1\t1\n2\t1\n3\t1\n", "{join: order}")) == [1, 2, 3]


@pytest.mark.parametrize(
    ("table", "beh", "message"),
    [
        ("v\ta\n1\t1\n2\t1\n", "{join: order}", "2 rows, expected 3, one for each stimulus"),
        # Counted from 0, or one lost: which row belongs to which stimulus would be a guess.
        ("nr\tv\ta\n0\t1\t1\n1\t2\t1\n2\t3\t1\n", "{join: trial, column: nr}", "found 0, 1, 2, expected 1 to 3"),
        ("nr\tv\ta\n1\t1\t1\n2\t2\t1\n", "{join: trial, column: nr}", "expected 1 to 3"),
        ("clip\tv\ta\nsea.mp4\t1\t1\nsea.mp4\t2\t1\n", "{join: stimulus, column: clip}", "2 rows for 'sea.mp4'"),
        ("clip\tv\ta\nsea\t1\t1\n", "{join: stimulus, column: clip}", "found 'sea', expected such as 'sea.mp4'"),
        ("clip\tv\ta\nsea.mp4\t1\t1\n", "{join: stimulus, column: clp}", "Perhaps 'clip' is meant"),
    ],
)
def test_a_join_that_would_be_a_guess_is_refused(folder, table, beh, message):
    assert message in refusal(with_beh(folder, table, beh))


def test_a_lost_rating_is_said(folder):
    with_beh(folder, "clip\tv\ta\nsea.mp4\t1\t1\nwall.mp4\t3\t1\n", "{join: stimulus, column: clip}")
    assert valences(folder) == [1, -1, 3]
    recording = read_one(folder)
    assert any("has no row for 'storm.mp4'" in note for note in recording.notes)
    # The norm of the word stands in, and says so.
    assert recording.events[1].affect == affect.from_word("fear")


def test_runs_that_share_a_table_are_told_apart_or_refused(folder):
    eeg = folder / "sub-01/eeg"
    for file in list(eeg.glob("*_eeg.*")):
        file.unlink()
    for run in (1, 2):
        brainvision(eeg / f"sub-01_task-film_run-{run}_eeg", noise(seed=run))
    assert "one table for 2 runs" in refusal(folder)
    for run in (1, 2):
        text = EVENTS.replace("trial_type", "trial_type\tnr", 1)
        for place, clip in enumerate(("sea", "storm", "wall"), start=1):
            text = text.replace(f"film\t{clip}", f"film\t{place}\t{clip}")
        text = text.replace("rating\t", "rating\tn/a\t")
        (eeg / f"sub-01_task-film_run-{run}_events.tsv").write_text(text, encoding="utf-8")
    (eeg / "sub-01_task-film_events.tsv").unlink()
    with_beh(folder, "nr\tv\ta\n1\t1\t1\n2\t2\t1\n3\t3\t1\n", "{join: trial, column: nr}")
    change(folder, "eegpipe.yaml", "  name: film", "  name: film\n  trial: nr")
    assert "trial 1, 2, 3 more than once, expected each number once" in refusal(folder)
    for run in (1, 2):
        beh = f"nr\tv\ta\n1\t{run}\t1\n2\t2\t1\n3\t3\t1\n"
        (folder / f"sub-01/beh/sub-01_task-film_run-{run}_beh.tsv").write_text(beh, encoding="utf-8")
    assert valences(folder) == [1, 2, 3, 2, 2, 3]
    assert [event.trial for event in read_one(folder).stimuli] == [1, 2, 3, 4, 5, 6]


def test_no_change_of_a_table_ends_in_anything_but_a_refusal(folder):
    """Bytes of tables, sidecars and the mapping changed, taken away and added at random."""
    with_beh(folder, "clip\tv\ta\nsea.mp4\t1\t1\nstorm.mp4\t2\t1\nwall.mp4\t3\t1\n", "{join: stimulus, column: clip}")
    (folder / "task-film_eeg.json").write_text('{"SamplingFrequency": 100, "PowerLineFrequency": 50}', "utf-8")
    (folder / "sub-01/eeg/sub-01_task-film_channels.tsv").write_text("name\ttype\nCz\tEEG\n", encoding="utf-8")
    random = np.random.default_rng(5)
    pieces = [b"\t", b"\n", b"-", b"1e308", b"nan", b"inf", b'"', b"\xff", b": ", b"{", b"0" * 30]
    files = [file for file in folder.rglob("*") if file.suffix in (".tsv", ".json", ".yaml")]
    read = refused = 0
    for _ in range(200):
        file = files[random.integers(len(files))]
        content = bytearray(file.read_bytes())
        whole = bytes(content)
        for at in random.integers(0, len(whole), 3):
            content[at : at + int(random.integers(0, 5))] = pieces[random.integers(len(pieces))]
        file.write_bytes(content)
        try:
            [variant] = datasets.at("mine", folder).variants
            found = variant.discover(folder)
            for entry in found.entries:
                variant.read(found.root, entry)
            read += not found.problems
        except (DataProblem, UsageProblem):
            refused += 1
        file.write_bytes(whole)
    assert read > 20
    assert refused > 60


# --- real recordings --------------------------------------------------------------------------------------------------


def test_real_edf_files_come_back_through_plain_mne_bids(realdata, tmp_path):
    """Two runs of PhysioNet's movement data as a BIDS folder, with the mapping of the documentation."""
    source = realdata / "physionet_eegmmidb"
    if not source.is_dir():
        pytest.skip("no physionet_eegmmidb among the real recordings")
    root = tmp_path / "raw"
    eeg = root / "sub-001/eeg"
    eeg.mkdir(parents=True)
    shutil.copyfile(ROOT / "docs/mappings/eegmmidb.yaml", root / "eegpipe.yaml")
    raws = []
    for run, number in enumerate(("03", "07"), start=1):
        stem = f"sub-001_task-fists_run-{run}"
        (eeg / f"{stem}_eeg.edf").symlink_to(source / f"S001R{number}.edf")
        raw = mne.io.read_raw_edf(source / f"S001R{number}.edf", verbose="ERROR")
        rows = [f"{one['onset']:g}\t{one['duration']:g}\t{one['description']}" for one in raw.annotations]
        (eeg / f"{stem}_events.tsv").write_text("\n".join(["onset\tduration\ttrial_type", *rows]), encoding="utf-8")
        raws.append(raw)
    outcomes = convert(datasets.at("eegmmidb", root), root, tmp_path / "bids", workers=1)
    assert [outcome.problem for outcome in outcomes] == [""]
    path = mne_bids.BIDSPath(
        root=tmp_path / "bids", subject="001", task="fists", datatype="eeg", suffix="eeg", extension=".vhdr"
    )
    read = mne_bids.read_raw_bids(path, verbose="ERROR")
    left_out = {"Afz.", "T9..", "T10.", "Iz.."}
    kept = [name for name in raws[0].ch_names if name not in left_out]
    assert read.ch_names == [channels.canonical(name) for name in kept]
    vendor = np.concatenate([raw.get_data(kept) for raw in raws], axis=1)
    np.testing.assert_array_equal((read.get_data() * 1e6).astype("<f4"), (vendor * 1e6).astype("<f4"))
    shown = [one for one in read.annotations if one["description"] == "stimulus"]
    planted = [
        (place * raws[0].n_times + round(one["onset"] * 160), one["description"])
        for place, raw in enumerate(raws)
        for one in raw.annotations
        if one["description"] != "T0"
    ]
    assert [(round(one["onset"] * 160), one["extras"]["stimulus"]) for one in shown] == [
        (sample, f"eegmmidb/{kind}") for sample, kind in planted
    ]
    words = {"T1": "left fist", "T2": "right fist"}
    assert [one["extras"]["label"] for one in shown] == [words[kind] for _, kind in planted]
    [joint] = [one for one in read.annotations if one["description"] == "EDGE boundary"]
    assert joint["onset"] == pytest.approx(raws[0].n_times / 160)
    assert about(tmp_path / "bids").labels == ("left fist", "right fist")


def test_a_real_eeglab_file_is_read_as_mne_reads_it(realdata, tmp_path):
    source = realdata / "eeglab_sample"
    if not source.is_dir():
        pytest.skip("no eeglab_sample among the real recordings")
    eeg = tmp_path / "sub-01/eeg"
    eeg.mkdir(parents=True)
    for suffix in (".set", ".fdt"):
        shutil.copyfile(source / f"eeglab_data{suffix}", eeg / f"sub-01_task-squares_eeg{suffix}")
    raw = mne.io.read_raw_eeglab(source / "eeglab_data.set", verbose="ERROR")
    rows = [f"{one['onset']:.6f}\t0\t{one['description']}" for one in raw.annotations]
    table = "\n".join(["onset\tduration\ttrial_type", *rows])
    (eeg / "sub-01_task-squares_events.tsv").write_text(table, encoding="utf-8")
    (tmp_path / "eegpipe.yaml").write_text(
        "name: squares\nline_hz: 60\nstimuli: {column: trial_type, values: [square], duration_s: 0.5}\n"
        "channels: {types: {EOG1: eog, EOG2: eog}}\n",
        encoding="utf-8",
    )
    [variant] = datasets.at("squares", tmp_path).variants
    found = variant.discover(tmp_path)
    assert not found.problems
    recording = variant.read(found.root, found.entries[0])
    assert recording.raw.ch_names == [channels.canonical(name) or name for name in raw.ch_names]
    assert [recording.raw.ch_names[row] for row in mne.pick_types(recording.raw.info, eog=True)] == ["EOG1", "EOG2"]
    np.testing.assert_array_equal((recording.raw.get_data() * 1e6).astype("<f4"), (raw.get_data() * 1e6).astype("<f4"))
    squares = [round(one["onset"] * 128) for one in raw.annotations if one["description"] == "square"]
    assert [round(event.onset_s * 128) for event in recording.stimuli] == squares
    assert any("check 'stimuli.name'" in note for note in recording.notes)  # 80 squares of one name
    epochs = eeg / "sub-01_task-squares_eeg.set"
    shutil.copyfile(source / "eeglab_data_epochs_ica.set", epochs)
    with pytest.raises(DataProblem, match="80 epochs, expected a continuous recording"):
        variant.read(found.root, found.entries[0])


def test_real_sidecars_of_an_open_data_set_are_understood(realdata, tmp_path):
    """EmoEEG-MC's own tables: CRLF, unsorted, duration 0, a channels.tsv without names, tables above the eeg folder."""
    source = realdata / "openneuro_ds005540_sidecars"
    if not source.is_dir():
        pytest.skip("no openneuro_ds005540_sidecars among the real recordings")
    subject = tmp_path / "sub-07"
    (subject / "beh").mkdir(parents=True)
    shutil.copyfile(source / "participants.tsv", tmp_path / "participants.tsv")
    shutil.copyfile(source / "sub-07/sub-07_channels.tsv", subject / "sub-07_channels.tsv")
    shutil.copyfile(source / "sub-07/sub-07_events.FIRST17ROWS.tsv", subject / "sub-07_events.tsv")
    beh = source / "sub-07/beh/sub-07_task-emotion_beh.FIRST10ROWS.tsv"
    shutil.copyfile(beh, subject / "beh/sub-07_task-emotion_beh.tsv")
    shutil.copyfile(source / "sub-03/eeg/sub-03_task-emotion_eeg.json", tmp_path / "task-emotion_eeg.json")
    samples = 1030 * HZ
    edf(subject / "eeg/sub-07_task-emotion_eeg", (10 * noise(4, samples)).astype(int))
    text = (
        "name: emoeeg\nexpect: {rate_hz: 100}\nscale: [0, 7]\n"
        "stimuli:\n  column: trial_type\n  values: [vid]\n  end: {column: trial_type, values: [rating]}\n"
        "ratings: {arousal: beh.score_7, valence: beh.score_8}\n"
    )
    (tmp_path / "eegpipe.yaml").write_text(text + "beh: {join: trial, column: trial_number}\n", encoding="utf-8")
    [variant] = datasets.at("emoeeg", tmp_path).variants
    found = variant.discover(tmp_path)
    assert not found.problems
    with pytest.raises(DataProblem, match="expected 1 to 3, as many as there are stimuli"):
        variant.read(found.root, found.entries[0])  # ten ratings, three of the videos in the first rows
    (tmp_path / "eegpipe.yaml").write_text(text.replace("arousal: beh.score_7, ", ""), encoding="utf-8")
    table = (subject / "beh/sub-07_task-emotion_beh.tsv").read_bytes().splitlines(keepends=True)
    (subject / "beh/sub-07_task-emotion_beh.tsv").write_bytes(b"".join(table[:4]))
    [variant] = datasets.at("emoeeg", tmp_path).variants
    recording = variant.read(found.root, found.entries[0])
    with (source / "sub-07/sub-07_events.FIRST17ROWS.tsv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    times = {
        kind: sorted(float(row["onset"]) for row in rows if row["trial_type"] == kind) for kind in ("vid", "rating")
    }
    assert [event.onset_s for event in recording.stimuli] == pytest.approx(times["vid"], abs=0.5 / HZ)
    ends = [next(end for end in times["rating"] if end > onset) for onset in times["vid"]]
    assert [event.onset_s + event.duration_s for event in recording.stimuli] == pytest.approx(ends, abs=1 / HZ)
    assert [event.ratings["valence"] for event in recording.stimuli] == pytest.approx([2.45, 5.74, 0.0])
    assert (recording.line_hz, recording.reference) == (50, "common")
    said = " ".join(recording.notes)
    for part in ("no column 'name'", "3 stimuli of sub-07/sub-07_events.tsv have no duration"):
        assert part in said


# --- the pipeline -----------------------------------------------------------------------------------------------------


def test_one_line_of_settings_takes_it_through_the_stages(folder, tmp_path):
    """``raw: {mine: folder}`` in params.yaml, the stage script, and what the later stages make of the result."""
    for label in ("02", "03"):
        for file in (folder / "sub-01/eeg").iterdir():
            target = folder / f"sub-{label}/eeg" / file.name.replace("sub-01", f"sub-{label}")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        brainvision(folder / f"sub-{label}/eeg/sub-{label}_task-film_eeg", noise(seed=int(label)))
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["raw"]["mine"] = str(folder)
    params["sources"] = ["seed", "mine"]
    project = tmp_path / "project"
    project.mkdir()
    (project / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    assert load_params(project / "params.yaml").raw["mine"] == str(folder)
    environment = {**os.environ, "EEGPIPE_WORKERS": "1"}
    command = [sys.executable, ROOT / "pipeline/bids.py", "mine", folder, "bids"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    settings = CleanSettings(ica=IcaSettings(enabled=False))
    outcomes = clean_dataset(project / "bids", project / "clean", settings, workers=1)
    assert [outcome.status for outcome in outcomes] == ["done"] * 3
    windowing = load_params(project / "params.yaml").windowing["mdjpt"]["demo"]
    segment_dataset(project / "clean", project / "mine.zarr", windowing="mdjpt", settings=windowing)
    assert about(project / "bids").name == "mine"
    recording = read_recording(project / "clean", RecordingId("02", task="film"), description="clean")
    assert [event.stimulus for event in recording.stimuli] == ["mine/sea.mp4", "mine/storm.mp4", "mine/wall.mp4"]
    store = xarray.open_zarr(project / "mine.zarr")
    assert (store.attrs["dataset"], store.attrs["labels"]) == ("mine", ["joy", "fear"])
    assert sorted(store.attrs["stimulus_names"]) == ["mine/sea.mp4", "mine/storm.mp4", "mine/wall.mp4"]

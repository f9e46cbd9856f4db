"""What holds for every data set: registry, facts, the marker, checks of a signal block."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from eegpipe import affect, channels, datasets
from eegpipe.bids.hum import check_line_frequency
from eegpipe.datasets.base import Facts, Irregularity
from eegpipe.datasets.folders import find_folder, natural_key
from eegpipe.datasets.signal import Channel, check_block, eeg_channels, join
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.recording import Recording, RecordingId

import vendor_files

ALL = [datasets.get(name) for name in datasets.NAMES]


def test_an_unknown_name_is_met_with_the_nearest():
    with pytest.raises(UsageProblem, match="Did you mean 'dreamer'"):
        datasets.get("dremer")


VARIANTS = [(dataset, variant) for dataset in ALL for variant in dataset.variants]
VARIANT_NAMES = [f"{dataset.name}-{variant.name}" for dataset, variant in VARIANTS]


@pytest.mark.parametrize("dataset", ALL, ids=lambda dataset: dataset.name)
def test_a_data_set_says_what_users_ask(dataset):
    for text in (dataset.title, dataset.access, dataset.size, dataset.licence, dataset.task_description, dataset.url):
        assert text
    if dataset.name != datasets.GENERIC:
        assert "doi:10." in dataset.citation
        assert len(dataset.authors) > 1
    names = [variant.name for variant in dataset.variants]
    assert len(set(names)) == len(names) > 0
    for one in dataset.irregularities:
        assert one.text.endswith(".")
        re.compile(one.where)
    for word in dataset.labels if dataset.name not in ("eegmat", "mdme") else ():
        assert abs(affect.from_word(word).valence) <= 4


@pytest.mark.parametrize(("dataset", "variant"), VARIANTS, ids=VARIANT_NAMES)
def test_facts_are_consistent(dataset, variant):  # noqa: ARG001 - one parametrization for several tests
    facts = variant.facts
    assert variant.files
    assert variant.tree
    assert variant.memory_gb > 0
    for order in (facts.channels, *facts.other_channels):
        names = [name for name in order if name]  # some of DEAP's status channels have a blank label
        assert len(set(names)) == len(names)
    assert facts.trial_s is None or len(facts.trial_s) == facts.trials
    assert len(facts.numbers) == facts.subjects
    assert facts.line_hz in (50, 60)
    for times in (facts.sessions_trial_s, facts.sessions_start_s):
        assert not times or len(times) == facts.sessions


# What the papers and the vendors' pages say: subjects, sessions, trials per session, scalp channels.
PUBLISHED = {
    "seed": (15, 3, 15, 62),
    "seed_iv": (15, 3, 24, 62),
    "seed_v": (16, 3, 15, 62),
    "seed_vii": (20, 4, 20, 62),
    "faced": (123, 1, 28, 30),
    "deap": (32, 1, 40, 32),
    "dreamer": (23, 1, 18, 14),
    "amigos": (40, 2, None, 14),
    "mahnob_hci": (27, 1, 20, 32),
    "mped": (23, 1, 28, 62),
    "mdme": (73, 1, 32, 18),
    "emoeeg_mc": (None, 1, 42, 64),
    "eegmat": (36, 1, 2, 19),
}


@pytest.mark.parametrize(
    ("dataset", "variant"), [pair for pair in VARIANTS if pair[0].name in PUBLISHED], ids=lambda one: one.name
)
def test_facts_of_the_papers(dataset, variant):
    subjects, sessions, trials, scalp = PUBLISHED[dataset.name]
    facts = variant.facts
    assert facts.subjects == subjects or subjects is None
    assert (facts.sessions, facts.trials) == (sessions, trials or facts.trials)
    for order in (facts.channels, *facts.other_channels):
        names = [channels.canonical(name) for name in order]
        assert len([name for name in names if name and name not in channels.REFERENCES]) == scalp


def test_every_data_set_of_the_papers_is_known():
    assert set(datasets.NAMES) == {*PUBLISHED, datasets.GENERIC}


@pytest.mark.parametrize(("dataset", "variant"), VARIANTS, ids=VARIANT_NAMES)
def test_an_absent_or_empty_folder_is_one_problem(dataset, variant, tmp_path):
    if dataset.at:
        return
    for folder in (tmp_path, tmp_path / "absent"):
        assert datasets.recognise(folder) is None
        found = variant.discover(folder)
        assert len(found.problems) == 1
        assert not found.entries


def test_a_refusal_says_whether_it_is_known():
    irregular = Irregularity("X1", r"s03\.txt", "It is so in the vendor's release.")
    dataset = replace(ALL[0], irregularities=(irregular, Irregularity("X2", "", "It is read rightly.")))
    assert dataset.known(DataProblem("data/s03.txt: labels", "x", "y", "z.")) is irregular
    assert dataset.known(DataProblem("data/s04.txt", "x", "y", "z.")) is None


def test_importing_the_readers_imports_nothing_heavy():
    code = "import sys; from eegpipe import datasets; [datasets.get(n) for n in datasets.NAMES]; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"mne", "scipy", "pandas", "torch"} & set(loaded)


def test_marker_shrinks_counts_only(tmp_path):
    facts = Facts(subjects=9, sessions=1, trials=3, rate_hz=100, channels=("Cz",), trial_s=(5.0, 6.0, 7.0))
    assert facts.expected(tmp_path) is facts
    vendor_files.mark(tmp_path, subjects=2, trials=2)
    (tmp_path / "inner").mkdir()
    for root in (tmp_path, tmp_path / "inner"):
        shrunk = facts.expected(root)
        assert (shrunk.subjects, shrunk.trials, shrunk.trial_s, shrunk.rate_hz) == (2, 2, (5.0, 6.0), 100)
    vendor_files.mark(tmp_path, trial_s=[2])
    assert facts.expected(tmp_path).trial_s == (2.0, 2.0, 2.0)
    for wrong in ({"rate_hz": 50}, {"subjects": 0}, {"subjects": "2"}, {"trial_s": [1, 2]}, {"trial_s": ["x"]}):
        vendor_files.mark(tmp_path, **wrong)
        with pytest.raises(DataProblem, match="Simulate the data set again"):
            facts.expected(tmp_path)
    for text in ("", "[]", json.dumps({"facts": 3})):
        (tmp_path / "eegpipe-simulated.json").write_text(text)
        with pytest.raises(DataProblem):
            facts.expected(tmp_path)


def test_a_problem_survives_the_trip_between_processes():
    problem = DataProblem("a.mat", "x", "y", "z.")
    assert str(pickle.loads(pickle.dumps(problem))) == "a.mat: found x, expected y. z."


def test_numbers_sort_as_numbers():
    names = ["s10", "s9", "a_eeg10", "a_eeg2", "10_2", "2_10", "s09"]
    assert sorted(names, key=natural_key) == ["2_10", "10_2", "a_eeg2", "a_eeg10", "s9", "s09", "s10"]


def test_only_known_folders_are_entered(tmp_path):
    import re

    (tmp_path / "backup" / "data").mkdir(parents=True)
    (tmp_path / "backup" / "data" / "s01.dat").touch()
    pattern = re.compile(r"s[0-9]+\.dat")
    assert find_folder(tmp_path, pattern, ("data",)) is None
    (tmp_path / "Data" / "DATA").mkdir(parents=True)
    (tmp_path / "Data" / "DATA" / "s01.dat").touch()
    assert find_folder(tmp_path, pattern, ("data",)) == tmp_path / "Data" / "DATA"


def test_microvolts_survive_exactly():
    block = vendor_files.noise(2, 1000).astype(np.float32) * np.float32(1.234567)
    raw = join([("x", block)], [1000], [Channel("Cz"), Channel("GSR", "misc", volts=False)], 100.0, 50.0)
    np.testing.assert_array_equal((raw.get_data()[0] * 1e6).astype(np.float32), block[0])
    np.testing.assert_array_equal(raw.get_data()[1].astype(np.float32), block[1])


def test_a_slow_offset_does_not_hide_the_unit():
    layout = eeg_channels(["Cz", "T3", "A1"])
    assert [(channel.name, channel.kind) for channel in layout] == [("Cz", "eeg"), ("T7", "eeg"), ("A1", "misc")]
    block = vendor_files.noise(3, 1000) * 1e-6 + 4200
    with pytest.raises(DataProblem, match="as if in volt"):
        check_block(block, layout, "x")
    check_block(vendor_files.noise(3, 1000) + 4200, layout, "x")


@pytest.mark.parametrize(("spread_uv", "right"), [(0.05, False), (0.2, True), (900, True), (2000, False)])
def test_the_range_of_spreads(spread_uv, right):
    block = vendor_files.noise(2, 20_000) / 10 * spread_uv
    if right:
        check_block(block, eeg_channels(["Cz", "Pz"]), "x")
    else:
        with pytest.raises(DataProblem, match="a typical spread"):
            check_block(block, eeg_channels(["Cz", "Pz"]), "x")


def humming(hz: float, line_hz: float, rate_hz: float = 200.0) -> Recording:
    time_s = np.arange(round(30 * rate_hz)) / rate_hz
    block = vendor_files.noise(2, len(time_s)) + 20 * np.sin(2 * np.pi * hz * time_s)
    raw = join([("x", block)], [len(time_s)], eeg_channels(["Cz", "Pz"]), rate_hz, line_hz)
    return Recording(RecordingId("01"), raw, [], "x", line_hz)


def test_hum_at_the_other_mains_frequency_is_refused():
    check_line_frequency(humming(50, 50))
    check_line_frequency(humming(60, 60))
    check_line_frequency(humming(33, 50))  # a monitor or a pump: no mains
    check_line_frequency(humming(50, 60, rate_hz=100))  # sampled too slowly to tell
    with pytest.raises(DataProblem, match="hum at 60 Hz"):
        check_line_frequency(humming(60, 50))
    # 240 Hz declared as 200 Hz: hum of 60 Hz seems to be at 50 Hz.
    with pytest.raises(DataProblem, match="hum at 50 Hz"):
        check_line_frequency(humming(60 * 200 / 240, 60))

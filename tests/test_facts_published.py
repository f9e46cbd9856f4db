"""The facts and label sequences of the readers, against a collection of published facts that was made without them.

The collection is a file outside this repository (``EEGPIPE_FACTS``, or ``../shared/datasets/facts.yaml``); the tests
are skipped where it is absent. What simulated files hold is compared too: reader and simulator may share a mistake.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from eegpipe import channels, datasets

NAMES = {
    "seed": "SEED", "seed_iv": "SEED-IV", "seed_v": "SEED-V", "seed_vii": "SEED-VII", "faced": "FACED", "deap": "DEAP",
    "dreamer": "DREAMER", "amigos": "AMIGOS", "mahnob_hci": "MAHNOB-HCI", "mped": "MPED", "mdme": "MDME",
    "emoeeg_mc": "EmoEEG-MC",
}  # fmt: skip
# Channel lists whose scalp channels the files of a variant hold, in order.
ORDERS = {
    ("seed", "preprocessed"): ["seed_62"],
    ("seed", "raw"): ["neuroscan_raw_66"],
    ("seed_iv", None): ["seed_62"],
    ("seed_v", None): ["neuroscan_raw_66"],
    ("seed_vii", "preprocessed"): ["seed_62"],
    ("faced", "processed"): ["faced_processed_32"],
    ("faced", "raw"): ["faced_cohort1_raw_32", "faced_cohort2_raw_32"],
    ("deap", "python"): ["deap_preprocessed_40"],
    ("deap", "matlab"): ["deap_preprocessed_40"],
    ("deap", "original"): ["deap_twente_32", "deap_geneva_32"],
    ("dreamer", None): ["epoc_14"],
    ("amigos", "preprocessed"): ["amigos_17"],
    ("mahnob_hci", None): ["mahnob_47"],
    ("mped", None): ["mped_raw_first_64_rows"],
    ("mdme", None): ["mdme_dsi24_18"],
    ("emoeeg_mc", "raw"): ["emoeeg_mc_64"],
}
RATES = {
    ("seed", "preprocessed"): {200}, ("seed", "raw"): {1000}, ("seed_iv", None): {200}, ("seed_v", None): {1000},
    ("seed_vii", "preprocessed"): {200}, ("seed_vii", "raw"): {1000}, ("faced", "processed"): {250},
    ("faced", "raw"): {250, 1000}, ("deap", "python"): {128}, ("deap", "matlab"): {128}, ("deap", "original"): {512},
    ("dreamer", None): {128}, ("amigos", "preprocessed"): {128}, ("mahnob_hci", None): {256}, ("mped", None): {1000},
    ("mdme", None): {300}, ("emoeeg_mc", "raw"): {600, 1200},
}  # fmt: skip


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    beside = Path(__file__).resolve().parents[2] / "shared" / "datasets" / "facts.yaml"
    file = Path(os.environ.get("EEGPIPE_FACTS", beside))
    if not file.is_file():
        pytest.skip("no published facts: set EEGPIPE_FACTS to a facts.yaml")
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def variant_of(name: str, variant: str | None):
    dataset = datasets.get(name)
    return dataset.variant(variant) if variant else dataset.variants[0]


def scalp(names) -> list[str]:
    found = [channels.canonical(name) for name in names]
    return [name for name in found if name and name not in channels.REFERENCES]


@pytest.mark.parametrize(("name", "variant"), ORDERS)
def test_channels_in_file_order(name, variant, published):
    facts = variant_of(name, variant).facts
    ours = [scalp(order) for order in (facts.channels, *facts.other_channels)]
    theirs = [scalp(published["channel_lists"][order]) for order in ORDERS[name, variant]]
    assert set(map(tuple, ours)) == set(map(tuple, theirs))


@pytest.mark.parametrize(("name", "variant"), RATES)
def test_sampling_rates(name, variant):
    facts = variant_of(name, variant).facts
    assert {facts.rate_hz, *facts.other_rates_hz} == RATES[name, variant]


def test_subjects_and_sessions(published):
    for name, theirs in NAMES.items():
        facts, known = datasets.get(name).facts, published["datasets"][theirs]
        counts = [known.get(key) for key in ("subjects", "subjects_released", "subjects_with_emotion_data")]
        raw = known.get("subjects_with_raw_edf")
        assert facts.subjects in [count for count in (*counts, raw) if count], name
        if name != "amigos":
            assert facts.sessions == known.get("sessions", 1), name


def labels_of(name: str, variant: str | None = None) -> list[list[str | None]]:
    """What the simulated files' clips are labelled, per session, in file order."""
    design = variant_of(name, variant).simulator.design
    return [[clip.label for clip in clips] for clips in design.sessions_clips or (design.clips,)]


def seconds_of(name: str, variant: str | None = None) -> list[list[int]]:
    design = variant_of(name, variant).simulator.design
    return [[clip.stimulus_s for clip in clips] for clips in design.sessions_clips or (design.clips,)]


def words(codes: list[int], names: dict[int, str]) -> list[str]:
    return [names[code].lower() for code in codes]


@pytest.mark.parametrize("variant", ["preprocessed", "raw"])
def test_seed(variant, published):
    known = published["datasets"]["SEED"]
    assert labels_of("seed", variant) == [words(known["label_sequence_all_sessions"], known["labels"])]
    assert seconds_of("seed", variant) == [known["trial_duration_s"]]
    facts = variant_of("seed", variant).facts
    assert list(facts.durations(2)) == known["trial_duration_s"]
    if variant == "raw":
        assert list(facts.starts(3)) == known["trial_start_s"]


def test_seed_iv(published):
    known = published["datasets"]["SEED-IV"]
    sequences = [words(known["label_sequence"][session], known["labels"]) for session in (1, 2, 3)]
    assert labels_of("seed_iv") == sequences
    windows = [known["n_4s_windows_per_trial"][session] for session in (1, 2, 3)]
    assert [[seconds // 4 for seconds in session] for session in seconds_of("seed_iv")] == windows


def test_seed_v(published):
    known = published["datasets"]["SEED-V"]
    assert labels_of("seed_v") == [words(known["label_sequence"][session], known["labels"]) for session in (1, 2, 3)]
    facts = datasets.get("seed_v").facts
    for session in (1, 2, 3):
        assert list(facts.durations(session)) == known["trial_duration_s"][session]
        assert list(facts.starts(session)) == known["trial_start_s"][session]


@pytest.mark.parametrize("variant", ["preprocessed", "raw"])
def test_seed_vii(variant, published):
    known = published["datasets"]["SEED-VII"]
    sequences = [[word.lower() for word in known["emotion_sequence"][session]] for session in (1, 2, 3, 4)]
    assert labels_of("seed_vii", variant) == sequences
    lengths = [seconds for session in seconds_of("seed_vii", variant) for seconds in session]
    assert all(120 <= seconds <= 300 for seconds in lengths)
    assert sum(lengths) == pytest.approx(known["total_stimulus_s"], rel=0.02)


def test_faced(published):
    known = published["datasets"]["FACED"]
    dataset = datasets.get("faced")
    assert labels_of("faced") == [words(known["label_by_video_1_28"], known["labels"])]
    assert [name.lower() for name in known["rating_items_order"]] == list(dataset.ratings)
    assert set(dataset.ratings.values()) == {tuple(known["rating_scale"])}
    assert list(dataset.labels) == [known["labels"][code] for code in range(9)]


def test_dreamer(published):
    known = published["datasets"]["DREAMER"]
    assert labels_of("dreamer") == [[word.lower() for word in known["video_target_emotion"]]]


def test_amigos(published):
    known = published["datasets"]["AMIGOS"]
    ratings = [name.lower() for name in known["selfassessment_columns"]]
    assert set(ratings) == set(datasets.get("amigos").ratings)


def test_mahnob(published):
    known = published["datasets"]["MAHNOB-HCI"]
    facts = datasets.get("mahnob_hci").facts
    assert set(range(1, 31)) - set(facts.numbers) == set(known["subjects_without_trials"])
    [seconds] = seconds_of("mahnob_hci")
    assert sorted(seconds) == sorted(known["stimulus_seconds"].values())


def test_mped(published):
    known = published["datasets"]["MPED"]
    used = [known["labels"][known["labels_34"][trial - 1]].lower() for trial in known["used_trials_one_based"]]
    [labels] = labels_of("mped")
    assert [{"angry": "anger"}.get(str(label), label) for label in labels] == used


def test_mdme(published):
    known = published["datasets"]["MDME"]
    assert seconds_of("mdme") == [known["video_seconds"]]


def test_emoeeg_mc(published):
    known = published["datasets"]["EmoEEG-MC"]
    facts = variant_of("emoeeg_mc", "raw").facts
    assert facts.numbers == tuple(
        number for number in range(1, 61) if number not in {int(str(n)[-2:]) for n in known["no_raw_edf"]}
    )


def test_word_norms(published):
    from eegpipe.affect import WORD_NORMS

    notes = published["affect"]
    suggested = notes["suggested_minus4_plus4"]
    places = {word: suggested[place] for word, place in notes["word_to_suggested"].items()} | suggested
    common = set(WORD_NORMS) & set(places)
    assert len(common) > 10
    for word in common:
        assert WORD_NORMS[word] == pytest.approx(places[word], abs=0.011), word

"""A classifier that learned from other data sets: what is joined, what is kept apart, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from eegpipe import across
from eegpipe.affect import AffectSource
from eegpipe.cli import app
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.evaluate import EvaluateSettings, evaluate_target
from eegpipe.loader import Segments, load
from eegpipe.models.baselines import MlpSettings
from eegpipe.models.emod_settings import EmodConfig, EmodTraining
from eegpipe.protocols import NotApplicable, SplitSettings
from eegpipe.results import content_hash
from eegpipe.splits import LeakError, Split, make, write_all
from eegpipe.train import pretrain
from eegpipe.verify import confirmed, verify

from planted_segments import planted, write_segments

SETTINGS = EvaluateSettings(mlp=MlpSettings(least_steps=80, hidden=(16, 8), learning_rate=3e-3), resamples=50)
EMOD = EmodConfig(hidden=8, heads=2, norm_groups=2, depth=1, ffn=8, projection=8, tokens_per_s=2, per_region=1)
NAMES = ("home", "near", "far")
METHODS = ("de_across", "de_linear_across", "emod_across")


def dataset(name: str, effect="class", *, channels: int = 4, seed: int = 0, moved: int = 0) -> Segments:
    """Three classes, of unpleasant, neutral and pleasant valence. The same class has the same rhythms in every one."""
    one = planted(effect, dataset=name, subjects=4, clips=9, per_trial=2, channels=channels, seed=3)
    noise = np.random.default_rng(seed).normal(size=one.eeg.shape).astype(np.float32) * 3
    valence = (one.label - 1).astype(np.float32) * 2
    keys = {key + moved: clip for key, clip in one.stimulus_names.items()}
    return replace(
        one,
        eeg=one.eeg + noise,
        stimulus=one.stimulus + moved,
        stimulus_names=keys,
        valence=valence,
        arousal=np.zeros_like(valence),
        affect_source=np.full(len(one), AffectSource.WORD_NORM, dtype=np.int8),
        digest=name,
    )


@pytest.fixture(scope="module")
def parts() -> tuple[Segments, list[Segments]]:
    """The target and two others, one of which has more channels."""
    return dataset("home"), [dataset("near", channels=6, seed=1, moved=100), dataset("far", seed=2, moved=200)]


@pytest.fixture(scope="module")
def project(tmp_path_factory, parts) -> Path:
    """As the pipeline writes it: stores, splits, an encoder that has seen the others, a row for each method."""
    root = tmp_path_factory.mktemp("across")
    target, others = parts
    for one in (target, *others):
        write_segments(store(root, one.dataset), one)
    pretrain(others, root / "models/emod/home", config=EMOD, settings=EmodTraining(epochs=0), seed=0, threads=1)
    for method in METHODS:
        evaluated(root, method)
    return root


def store(root: Path, name: str) -> Path:
    return root / "data/segments/test" / f"{name}.zarr"


def evaluated(root: Path, method: str, **changed) -> dict:
    own = method.removesuffix("_across")
    splits = root / "data/splits" / across.folder("home", method)
    others = [store(root, name) for name in NAMES[1:]]
    across.write_split(load(store(root, "home")), [load(path) for path in others], splits)
    options = {"model": root / "models/emod/home" if own == "emod" else None, "others": others, "settings": SETTINGS}
    places = (root / f"metrics/home/{method}.json", root / f"plots/home/{method}")
    return evaluate_target(method, store(root, "home"), splits, *places, **options | changed)


# -- what is joined ----------------------------------------------------------------------------------------------------


def test_the_target_comes_first_and_keeps_its_names(parts):
    target, others = parts
    joint = across.joined(target, others)
    assert len(joint) == sum(map(len, (target, *others)))
    assert joint.dataset == "home"
    assert joint.digest == target.digest
    assert np.array_equal(joint.subject[: len(target)], target.subject)
    assert np.array_equal(joint.stimulus[: len(target)], target.stimulus)
    assert joint.subject_names == (
        "01",
        "02",
        "03",
        "04",
        *(f"{name}/{n:02d}" for name in ("far", "near") for n in (1, 2, 3, 4)),
    )
    far = others[1]
    rows = slice(len(target), len(target) + len(far))
    assert np.array_equal(joint.valence[rows], far.valence)
    assert {joint.subject_names[index] for index in joint.subject[rows]} == {f"far/{n:02d}" for n in (1, 2, 3, 4)}
    assert not (joint.label >= 0).any()


def test_the_order_of_the_others_does_not_matter(parts):
    target, others = parts
    assert across.split_across(target, others) == across.split_across(target, others[::-1])


def test_what_cannot_be_joined(parts):
    target, others = parts
    with pytest.raises(UsageProblem, match="each once"):
        across.joined(target, [])
    with pytest.raises(UsageProblem, match="each once"):
        across.joined(target, [others[0], others[0]])
    with pytest.raises(UsageProblem, match="near has the windowing 'long'"):
        across.joined(target, [replace(others[0], windowing="long")])
    with pytest.raises(DataProblem, match="stimulus 1000"):
        across.joined(target, [replace(others[0], stimulus_names=dict.fromkeys(target.stimulus_names, "near/01"))])


# -- the split ---------------------------------------------------------------------------------------------------------


def test_everybody_else_trains_and_the_target_is_tested(parts):
    target, others = parts
    split = across.split_across(target, others)
    (fold,) = split.folds
    assert fold.test.subjects == target.subject_names
    assert set(fold.train.subjects) == {f"{name}/{n:02d}" for name in ("near", "far") for n in (1, 2, 3, 4)}
    assert all(clip.startswith(("near/", "far/")) for clip in fold.train.stimuli)
    assert split.leak_free
    assert all(split.disjoint.values())
    assert split.classes["names"] == ["low valence", "high valence"]
    assert split.classes["trials_left_out"] == 3 * 4 * 3  # the neutral clips
    assert "far, near train" in split.notes[0]
    watched = across.split_across(target, others, SplitSettings(validation="subject")).folds[0]
    assert watched.validation is not None
    assert len(watched.validation.subjects) == 1
    assert watched.validation.subjects[0] not in (*watched.train.subjects, *watched.test.subjects)


def test_a_data_set_alone_has_no_such_protocol(parts):
    with pytest.raises(NotApplicable, match="--from"):
        make(across.PROTOCOL, parts[0])


@pytest.mark.parametrize("also_tested", [True, False])
def test_a_target_subject_among_those_who_train_is_refused(parts, tmp_path, also_tested):
    """Even where nobody is on both sides: it would be another protocol, under this one's name."""
    target, others = parts
    split = across.split_across(target, others)
    (fold,) = split.folds
    known, rest = fold.test.stimuli[:3], fold.test.stimuli[3:]
    train = replace(fold.train, subjects=("01", *fold.train.subjects), stimuli=fold.train.stimuli + known)
    test = fold.test if also_tested else replace(fold.test, subjects=fold.test.subjects[1:], stimuli=rest)
    forged = replace(split, folds=(replace(fold, train=train, test=test),))
    forged.save(tmp_path / "forged.json")
    for one in (target, *others):
        write_segments(store(tmp_path, one.dataset), one)
    splits = tmp_path / "splits"
    splits.mkdir()
    (tmp_path / "forged.json").rename(splits / f"{across.PROTOCOL}.json")
    with pytest.raises(LeakError, match="01 of the target among those who train"):
        evaluate_target(
            "de_across",
            store(tmp_path, "home"),
            splits,
            tmp_path / "m.json",
            tmp_path / "p",
            others=[store(tmp_path, name) for name in NAMES[1:]],
            settings=SETTINGS,
        )
    assert not (tmp_path / "m.json").exists()


# -- the row -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_row_is_confirmed(project, method):
    content = json.loads((project / f"metrics/home/{method}.json").read_text())
    entry = content["protocols"][across.PROTOCOL]
    assert entry["leak_free"]
    assert entry["n_subjects"] == 4
    assert set(content["learned_from"]) == {"near", "far"}
    assert [str(check) for check in verify(project / f"metrics/home/{method}.json") if not check.ok] == []


@pytest.mark.parametrize("method", METHODS[:2])
def test_what_is_common_to_data_sets_is_found(project, method):
    content = json.loads((project / f"metrics/home/{method}.json").read_text())
    assert content["protocols"][across.PROTOCOL]["balanced_accuracy"]["interval"]["low"] > 0.7


def test_nothing_is_found_where_nothing_is_common(tmp_path):
    """In each data set the class shows, but in other rhythms."""
    for number, name in enumerate(NAMES):
        one = planted("class", dataset=name, subjects=4, clips=9, per_trial=2, channels=4, seed=10 + number)
        mine = dataset(name, moved=100 * number)
        write_segments(store(tmp_path, name), replace(mine, eeg=one.eeg))
    found = [
        evaluated(tmp_path, method)["protocols"][across.PROTOCOL]["balanced_accuracy"]["value"]
        for method in METHODS[:2]
    ]
    assert max(found) < 0.7


def test_labels_of_the_target_change_no_answer(project, tmp_path):
    """Who is unpleasant and who is pleasant in the target is asked for by the score alone."""
    home = load(store(project, "home"))
    swapped = replace(home, valence=-home.valence)
    for name in NAMES:
        write_segments(store(tmp_path, name), swapped if name == "home" else load(store(project, name)))
    evaluated(tmp_path, "de_across")
    answers = []
    for root in (project, tmp_path):
        with np.load(root / "plots/home/de_across/predictions.npz") as stored:
            answers.append(stored[f"{across.PROTOCOL}/probabilities"])
    assert np.array_equal(*answers)


def test_workers_change_nothing(project, tmp_path):
    for name in NAMES:
        write_segments(store(tmp_path, name), load(store(project, name)))
    evaluated(tmp_path, "de_across", workers=2)
    written = Path("metrics/home/de_across.json")
    assert (tmp_path / written).read_bytes() == (project / written).read_bytes()


def test_an_encoder_that_has_seen_the_target_is_refused(project, tmp_path):
    """Under its own name, and as another data set with the same store."""
    home = load(store(project, "home"))
    for name in ("home", "renamed"):
        folder = tmp_path / name
        pretrain([replace(home, dataset=name)], folder, config=EMOD, settings=EmodTraining(epochs=0), seed=0, threads=1)
        with pytest.raises(LeakError, match="pre-trained on 4 subject"):
            evaluated(project, "emod_across", model=folder)


@pytest.mark.parametrize("spoilt", ["another store", "no store", "not recorded", "another split"])
def test_verify_names_what_is_wrong(project, tmp_path, spoilt):
    import shutil

    copy = Path(shutil.copytree(project, tmp_path / "copy"))
    path = copy / "metrics/home/de_across.json"
    if spoilt == "another store":
        shutil.rmtree(store(copy, "near"))
        write_segments(store(copy, "near"), dataset("near", channels=6, seed=9, moved=100))
    elif spoilt == "no store":
        shutil.rmtree(store(copy, "near"))
    elif spoilt == "not recorded":
        content = json.loads(path.read_text())
        del content["learned_from"]
        content["hash"] = content_hash(content)
        path.write_text(json.dumps(content, indent=2))
    else:
        manifest = copy / "data/splits/home_across/de/cross_dataset.json"
        replace(Split.load(manifest), notes=("none",)).save(manifest)
    checks = verify(path)
    assert not confirmed(checks)
    words = {
        "another store": "near.zarr",
        "no store": "near.zarr",
        "not recorded": "learned_from",
        "another split": "cross_dataset.json",
    }
    assert any(words[spoilt] in str(check) for check in checks if check.ok is False)


# -- by hand -----------------------------------------------------------------------------------------------------------


def run(*arguments) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    return result.exit_code, result.output


def test_by_hand(project, tmp_path):
    others = [word for name in NAMES[1:] for word in ("--from", store(project, name))]
    code, said = run("split", store(project, "home"), tmp_path / "splits", *others)
    assert code == 0, said
    code, said = run("evaluate", "de_across", store(project, "home"), tmp_path / "splits", tmp_path / "out", *others)
    assert code == 0, said
    assert "cross_dataset" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["evaluate", "de_across", "{home}", "{splits}", "{out}"],
            "'de_across' and 0 other data sets to learn from (--from)",
        ),
        (["evaluate", "de", "{home}", "{splits}", "{out}", "--from", "{near}"], "all others take none"),
        (["evaluate", "de_across", "{home}", "{splits}", "{out}", "--from", "{home}"], "each once"),
        (["evaluate", "de_lstm_across", "{home}", "{splits}", "{out}", "--from", "{near}"], "No method"),
        (["split", "{home}", "{out}", "--from", "{near}", "--protocol", "loso"], "leave --protocol and --seed out"),
        (["split", "{home}", "{out}", "--from", "{home}x"], "a segment store"),
    ],
)
def test_a_wrong_call_is_one_line(project, tmp_path, arguments, said):
    places = {"home": store(project, "home"), "near": store(project, "near"), "out": tmp_path / "out"}
    places["splits"] = project / "data/splits/home_across/de"
    code, text = run(*(word.format(**places) for word in arguments))
    assert code != 0
    assert said in " ".join(text.split())
    assert "Traceback" not in text


def test_another_folder_of_splits_is_left_with_one_manifest(project, tmp_path):
    others = [word for name in NAMES[1:] for word in ("--from", store(project, name))]
    write_all(load(store(project, "home")), tmp_path, settings=SplitSettings())
    assert run("split", store(project, "home"), tmp_path, *others)[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["cross_dataset.json"]


def test_the_usual_splits_are_not_for_it_and_its_split_not_for_others(project, tmp_path):
    home = store(project, "home")
    write_all(load(home), tmp_path / "usual", settings=SplitSettings())
    others = [word for name in NAMES[1:] for word in ("--from", store(project, name))]
    code, said = run("evaluate", "de_across", home, tmp_path / "usual", tmp_path / "out", *others)
    assert code != 0
    assert "cross_dataset is for methods *_across" in " ".join(said.split())
    code, said = run("evaluate", "de", home, project / "data/splits/home_across/de", tmp_path / "out")
    assert code != 0
    assert "cross_dataset is for methods *_across" in " ".join(said.split())
    assert not (tmp_path / "out/metrics.json").exists()


def test_a_data_set_without_both_classes_is_named_before_anything_is_written(parts, project, tmp_path):
    pleasant = replace(parts[1][0], valence=np.abs(parts[1][0].valence))
    write_segments(store(tmp_path, "near"), pleasant)
    code, said = run("split", store(project, "home"), tmp_path / "splits", "--from", store(tmp_path, "near"))
    assert code != 0
    assert "segments of near: valence" in " ".join(said.split())
    assert "--from" in said
    assert not (tmp_path / "splits").exists()


def test_stores_elsewhere_are_named_with_an_option(project, tmp_path):
    import shutil

    copy = Path(shutil.copytree(project, tmp_path / "copy"))
    store(copy, "near").rename(tmp_path / "near.zarr")
    path = copy / "metrics/home/de_across.json"
    assert not confirmed(verify(path))
    assert confirmed(verify(path, others=[tmp_path / "near.zarr"]))
    assert run("verify", path, "--from", tmp_path / "near.zarr")[0] == 0


def test_ratings_are_predicted_only_where_those_who_train_have_given_some(parts, tmp_path):
    target, (near, far) = parts
    rated = np.full(len(target), AffectSource.SELF_REPORT, dtype=np.int8)
    for one in (replace(target, affect_source=rated), near, far):
        write_segments(store(tmp_path, one.dataset), one)
    assert "ratings" not in evaluated(tmp_path, "de_across")["protocols"][across.PROTOCOL]
    assert confirmed(verify(tmp_path / "metrics/home/de_across.json"))
    write_segments(store(tmp_path, "far"), replace(far, affect_source=np.full_like(far.affect_source, 1)))
    assert "ratings" in evaluated(tmp_path, "de_across")["protocols"][across.PROTOCOL]
    assert confirmed(verify(tmp_path / "metrics/home/de_across.json"))


def test_no_channel_in_common(parts):
    target, others = parts
    strange = replace(others[0], channels=tuple(f"X{number}" for number in range(6)))
    joint = across.joined(target, [strange])
    with pytest.raises(UsageProblem, match="home, near share no channel"):
        across.JoinedFeatures(joint, target, [strange], None, SETTINGS)

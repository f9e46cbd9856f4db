"""`eegpipe verify`: a row that is as its inputs make it is confirmed, any other is not, and the culprit is named."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from eegpipe.arrays import arrays_digest
from eegpipe.cli import app
from eegpipe.errors import UsageProblem
from eegpipe.evaluate import EvaluateSettings, evaluate, evaluate_target
from eegpipe.loader import load
from eegpipe.models.baseline_settings import BaselineSettings, LstmSettings
from eegpipe.models.baselines import MlpSettings
from eegpipe.models.emod_settings import EmodConfig, EmodFineTuning, EmodTraining
from eegpipe.models.settings import MdjptConfig, MdjptTraining
from eegpipe.protocols import SplitSettings
from eegpipe.results import content_hash
from eegpipe.splits import Split, write_all
from eegpipe.train import pretrain
from eegpipe.verify import Check, confirmed, verify

from planted_segments import condition, planted, write_segments

SETTINGS = EvaluateSettings(mlp=MlpSettings(least_steps=10, hidden=(8, 4)), resamples=50)
# Shared subjects, shared clips, shared trials, nothing shared; nearest neighbours; published terms.
PROTOCOLS = ("fewshot_subject_stimulus", "fewshot_subject", "zeroshot_subject", "mdjpt_fewshot", "art_within")
EMOD = EmodConfig(hidden=8, heads=2, norm_groups=2, depth=1, ffn=8, projection=8, tokens_per_s=2, per_region=1)
MDJPT = MdjptConfig(
    hidden=8,
    heads=2,
    depth=1,
    ffn=16,
    features=4,
    latent_channels=6,
    filters=2,
    dilations=(1, 2),
    patch_stride=12,
    attention_patches=3,
    pool_patches=3,
)
METHODS = ("prior", "de", "de_lstm", "emod", "emod_finetuned", "mdjpt")
FOLDS = "data/splits/demo"
STORE = "data/segments/test/demo.zarr"


def write_models(root: Path) -> None:
    """Random weights: what an encoder is worth does not matter here."""
    source = planted("class", dataset="other", subjects=3, clips=6, per_trial=3, seed=1)
    valence = np.linspace(-3, 3, len(source), dtype=np.float32)
    source = replace(source, valence=valence, arousal=np.zeros_like(valence))
    pretrain([source], root / "models/emod/demo", config=EMOD, settings=EmodTraining(epochs=0), seed=0, threads=1)
    pretrain([source], root / "models/mdjpt/demo", config=MDJPT, settings=MdjptTraining(epochs=0), seed=0, threads=1)


@pytest.fixture(scope="module", name="original")
def make_original(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("original")
    write_segments(root / STORE, planted("class", subjects=4, clips=9, per_trial=2))
    write_all(load(root / STORE), root / FOLDS, settings=SplitSettings(protocols=PROTOCOLS, groups=2))
    write_models(root)
    for method in METHODS:
        pretrained = method.split("_")[0] in ("emod", "mdjpt")
        evaluate_target(
            method,
            root / STORE,
            root / FOLDS,
            root / f"metrics/demo/{method}.json",
            root / f"plots/demo/{method}",
            model=root / "models" / method.split("_")[0] / "demo" if pretrained else None,
            settings=SETTINGS,
            finetune=EmodFineTuning(epochs=1) if method == "emod_finetuned" else None,
            baseline=BaselineSettings(lstm=LstmSettings(least_steps=5)),
            seed=3,
        )
    return root


@pytest.fixture(name="project")
def copy_project(original, tmp_path) -> Path:
    """A project that a test may spoil."""
    return Path(shutil.copytree(original, tmp_path / "project"))


def metrics_of(project: Path, method: str = "emod") -> Path:
    return project / f"metrics/demo/{method}.json"


def wrong(project: Path, method: str = "emod") -> list[Check]:
    """Failed checks; at least one, and each says what to do."""
    checks = verify(metrics_of(project, method))
    failed = [check for check in checks if check.ok is False]
    assert failed
    assert not confirmed(checks)
    assert all(check.cure and check.expected != check.found for check in failed)
    return failed


def edit(path: Path, change, *, keep_hash: bool = False) -> None:
    """Change a metrics file; ``keep_hash`` False: as a careful forger, with a hash that fits again."""
    content = json.loads(path.read_text())
    change(content)
    if not keep_hash:
        content["hash"] = content_hash(content)
    path.write_text(json.dumps(content, indent=2) + "\n")


def plots(method: str = "emod") -> str:
    return f"plots/demo/{method}"


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as archive:
        return dict(archive)


# -- confirmed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_row_as_it_was_evaluated_is_confirmed(method, original):
    checks = verify(metrics_of(original, method))
    assert [str(check) for check in checks if not check.ok] == []
    content = json.loads(metrics_of(original, method).read_text())
    named = " ".join(check.file + check.expected for check in checks)
    for digest in (
        content["hashes"]["store"],
        content["files"]["predictions"],
        content["files"]["training_curve"],
        *(content["files"]["model"] or {}).values(),
        *(entry["split"] for entry in content["protocols"].values()),
    ):
        assert digest in named
    assert {check.what for check in checks} >= {f"{protocol}: values" for protocol in content["protocols"]}


def leaves(value) -> int:
    return sum(map(leaves, value.values())) if isinstance(value, dict) and value else 1


def test_nothing_recorded_is_left_out_of_the_comparison(original):
    entries = json.loads(metrics_of(original, "de").read_text())["protocols"]
    compared = {check.what: check.expected for check in verify(metrics_of(original, "de"))}
    for protocol, entry in entries.items():
        assert compared[f"{protocol}: values"] == f"{leaves(entry)} fields"
        assert leaves(entry) > 100


def test_the_same_project_elsewhere_is_confirmed_and_so_are_files_apart(project, tmp_path):
    assert confirmed(verify(metrics_of(project)))
    apart = tmp_path / "apart"
    for number, name in enumerate(("data/splits/demo", STORE, "models/emod/demo", plots())):
        shutil.move(project / name, apart / str(number))
    shutil.move(metrics_of(project), apart / "m.json")
    assert not confirmed(verify(apart / "m.json"))
    places = {"splits": apart / "0", "store": apart / "1", "model": apart / "2", "plots": apart / "3"}
    assert confirmed(verify(apart / "m.json", **places))


def test_the_folder_that_the_command_evaluate_writes_is_confirmed(project):
    content = json.loads(metrics_of(project, "de").read_text())
    out = project / "alone"
    shutil.copytree(project / plots("de"), out)
    (out / "metrics.json").write_text(json.dumps(content))
    assert confirmed(verify(out / "metrics.json", splits=project / FOLDS, store=project / STORE))


def test_a_condition_without_clips_is_confirmed(tmp_path):
    segments = condition(subjects=4)
    store, folds = tmp_path / "data/segments/test/eegmat.zarr", tmp_path / "data/splits/eegmat"
    write_segments(store, segments)
    write_all(load(store), folds, settings=SplitSettings(groups=2))
    out = tmp_path / "metrics/eegmat/de.json"
    content = evaluate_target("de", store, folds, out, tmp_path / "plots/eegmat/de", settings=SETTINGS)
    assert "fewshot_subject_stimulus" in content["not_applicable"]
    assert confirmed(verify(out))


# -- rejected: predictions ---------------------------------------------------------------------------------------------


def test_one_altered_prediction(project):
    path = project / plots() / "predictions.npz"
    arrays = arrays_of(path)
    probabilities = arrays["fewshot_subject/probabilities"]
    row = int(np.flatnonzero(probabilities.argmax(axis=1) != arrays["fewshot_subject/truth"])[0])
    probabilities[row] = np.eye(3)[arrays["fewshot_subject/truth"][row]]
    np.savez_compressed(path, **arrays)
    failed = wrong(project)
    assert (failed[0].file, failed[0].what) == (f"{plots()}/predictions.npz", "digest of the arrays")
    assert any(check.what.startswith("fewshot_subject.accuracy") for check in failed)
    assert any(check.file == f"{plots()}/per_subject.csv" for check in failed)
    # The other protocols are as they were.
    assert not any(check.what.startswith("zeroshot_subject") for check in failed)


def test_predictions_of_other_segments_with_digests_that_fit(project):
    """Somebody renumbers the segments and signs everything again."""
    path = project / plots() / "predictions.npz"
    arrays = arrays_of(path)
    arrays["art_within/row"] = np.roll(arrays["art_within/row"], 1)
    np.savez_compressed(path, **arrays)
    edit(metrics_of(project), lambda content: content["files"].update(predictions=arrays_digest(arrays)))
    found = {check.what: check.found for check in wrong(project)}
    assert "row" in found["art_within: segments, classes, subjects and trials"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-500]),
        lambda path: path.write_bytes(path.read_bytes()[:200]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes().replace(b"PK\x03\x04", b"PK\x03\x05", 1)),
        lambda path: np.save(path.open("wb"), np.zeros(3)),
    ],
)
def test_predictions_that_cannot_be_read(spoil, project):
    path = project / plots() / "predictions.npz"
    spoil(path)
    failed = wrong(project)
    assert (failed[0].file, failed[0].what) == (f"{plots()}/predictions.npz", "content")
    skipped = [check.what for check in verify(metrics_of(project)) if check.ok is None]
    assert "fewshot_subject: values" in skipped


class Planted:
    """Leaves a trace if it is ever unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


def test_a_pickle_among_the_predictions_is_never_loaded(project, tmp_path):
    trace = tmp_path / "unpickled"
    path = project / plots() / "predictions.npz"
    hostile = np.array([Planted(trace)], dtype=object)
    np.savez_compressed(path, **(arrays_of(path) | {"classes": hostile}))
    assert "content" in {check.what for check in wrong(project)}
    path.write_bytes(pickle.dumps(Planted(trace)))
    assert "content" in {check.what for check in wrong(project)}
    assert not trace.exists()
    np.load(path, allow_pickle=True)  # that the trap works
    assert trace.exists()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("zeroshot_subject/row", None),
        ("zeroshot_subject/truth", lambda values: values + 7),
        ("zeroshot_subject/group", lambda values: values[:-1]),
        ("zeroshot_subject/probabilities", lambda values: values * np.nan),
        ("zeroshot_subject/probabilities", lambda values: values[:, :2]),
        ("zeroshot_subject/subject", lambda values: -1 - values),
        ("subject_names", None),
    ],
)
def test_predictions_of_another_form(name, change, project):
    path = project / plots() / "predictions.npz"
    arrays = arrays_of(path)
    values = arrays.pop(name)
    np.savez_compressed(path, **(arrays if change is None else arrays | {name: change(values)}))
    problem = next(check for check in wrong(project) if check.what == "arrays")
    assert name.split("/")[0] in problem.found


# -- rejected: splits, model, store ------------------------------------------------------------------------------------


def test_an_edited_split(project):
    path = project / FOLDS / "fewshot_subject.json"
    text = path.read_text()
    path.write_text(text.replace('"leak_free": false', '"leak_free": true'))
    failed = wrong(project)
    assert [(check.file, check.what) for check in failed] == [(f"{FOLDS}/fewshot_subject.json", "hash")]
    path.write_text(text[:300])
    assert [(check.file, check.what) for check in wrong(project)] == [(f"{FOLDS}/fewshot_subject.json", "content")]
    path.unlink()
    (failed,) = wrong(project)
    assert failed.found == "no such file or folder"
    assert json.loads(text)["hash"] == failed.expected


def test_another_split_with_a_hash_that_fits(project):
    path = project / FOLDS / "fewshot_subject.json"
    split = Split.load(path)
    replace(split, folds=split.folds[::-1]).save(path)
    (failed,) = wrong(project)
    assert (failed.file, failed.what, failed.expected) == (f"{FOLDS}/fewshot_subject.json", "hash", split.hash)


@pytest.mark.parametrize("method", ["emod", "emod_finetuned"])
def test_a_changed_weight(method, project):
    path = project / "models/emod/demo/weights.safetensors"
    weights = load_file(path)
    first = next(name for name, values in weights.items() if values.ndim)
    weights[first].flat[0] += 1e-3
    save_file(weights, path)
    failed = wrong(project, method)
    assert [(check.file, check.what) for check in failed] == [("models/emod/demo/weights.safetensors", "digest")]
    # Whether the model has seen what is tested cannot be said of another model.
    assert "assertions against leaks" in " ".join(c.what for c in verify(metrics_of(project, method)) if c.ok is None)
    assert confirmed(verify(metrics_of(project, "mdjpt")))


@pytest.mark.parametrize("file", ["manifest.json", "config.json", "weights.safetensors"])
def test_another_or_a_missing_file_of_the_model(file, project):
    path = project / "models/mdjpt/demo" / file
    path.write_bytes(path.read_bytes() + b"\n")
    assert [check.file for check in wrong(project, "mdjpt")] == [f"models/mdjpt/demo/{file}"]
    path.unlink()
    (failed,) = wrong(project, "mdjpt")
    assert failed.found == "no such file or folder"


def test_another_store(project):
    shutil.rmtree(project / STORE)
    write_segments(project / STORE, planted("class", subjects=4, clips=9, per_trial=2, seed=9))
    for method in METHODS:
        (failed,) = wrong(project, method)
        assert (failed.file, failed.what) == (STORE, "digest")
    shutil.rmtree(project / STORE)
    (failed,) = wrong(project)
    assert failed.found == "no such file or folder"
    assert "--store" in failed.cure


def test_a_store_with_one_changed_byte(project):
    shard = next(path for path in sorted((project / STORE / "eeg").rglob("*")) if path.is_file() and path.suffix == "")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    (failed,) = wrong(project)
    assert (failed.file, failed.what) == (STORE, "digest")
    shard.write_bytes(content[:-10])
    assert [check.file for check in wrong(project)] == [STORE]


# -- rejected: the metrics themselves ----------------------------------------------------------------------------------


def at(content: dict, place: str):
    """The mapping and the key of ``a.b.c``."""
    *above, last = place.split(".")
    for name in above:
        content = content[name]
    return content, last


PLACES = (
    "accuracy.value",
    "balanced_accuracy.interval.high",
    "kappa.groups.std",
    "auroc.value",
    "auprc.groups.lowest",
    "trial_level.macro_f1.value",
    "trial_level.accuracy.interval.low",
    "chance.majority",
    "chance.dealt",
    "n_trials",
)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("keep_hash", [True, False])
def test_an_edited_value(place, keep_hash, project):
    def raise_it(content):
        holder, name = at(content["protocols"]["fewshot_subject_stimulus"], place)
        holder[name] = round(holder[name] + 1, 6) if isinstance(holder[name], int) else round(holder[name] + 1e-5, 6)

    edit(metrics_of(project), raise_it, keep_hash=keep_hash)
    failed = wrong(project)
    assert [check.what for check in failed] == [
        *(["hash of the content"] if keep_hash else []),
        f"fewshot_subject_stimulus.{place}",
    ]
    assert failed[-1].file == "metrics/demo/emod.json"


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        ("leak_free", True, "fewshot_subject.leak_free"),
        ("leaks", [], "fewshot_subject.leaks"),
        ("transductive", {}, "fewshot_subject.transductive"),
        ("test_selects", True, "fewshot_subject.test_selects"),
        ("disjoint.stimulus", True, "fewshot_subject.disjoint.stimulus"),
        ("split", "0" * 64, "hash"),
    ],
)
def test_a_row_that_claims_to_be_cleaner_than_it_is(place, value, named, project):
    def claim(content):
        holder, name = at(content["protocols"]["fewshot_subject"], place)
        holder[name] = value

    edit(metrics_of(project), claim)
    assert named in {check.what for check in wrong(project)}


def test_smoothing_that_a_row_does_not_declare(project):
    """The settings say that features were smoothed within test trials; the row says that it is leak free."""
    edit(metrics_of(project, "de"), lambda content: content["settings"].update(smoothing="lds"))
    failed = {check.what: check for check in wrong(project, "de")}
    assert "lds_smoothing" in failed["fewshot_subject_stimulus.transductive"].expected
    assert "lds_smoothing" not in failed["fewshot_subject_stimulus.transductive"].found


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda content: content.pop("hash"), "hash of the content"),
        (lambda content: content.pop("files"), "digest of the arrays"),
        (lambda content: content.pop("files"), "files.model"),
        (lambda content: content["hashes"].update(model="1" * 64), "hashes.model"),
        (lambda content: content["hashes"].update(store=None), "digest"),
        (lambda content: content.update(seed=4), "hash of the content"),
        (lambda content: content["settings"]["mlp"].update(epochs=9), "hash of the content"),
        (lambda content: content.pop("protocols"), "content"),
        (lambda content: content.update(method="mdjtp"), "content"),
    ],
)
def test_metrics_that_lack_something_or_say_something_else(change, named, project):
    edit(metrics_of(project), change, keep_hash=True)
    assert named in {check.what for check in wrong(project)}


def test_a_baseline_with_a_model(project):
    edit(metrics_of(project, "de"), lambda content: content["hashes"].update(model="1" * 64))
    assert [check.what for check in wrong(project, "de")] == ["model"]


@pytest.mark.parametrize("table", ["confusion.csv", "per_subject.csv", "training_curve.csv"])
def test_an_altered_or_missing_table(table, project):
    path = project / plots() / table
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], lines[-1] + "1"]) + "\n")
    assert [check.file for check in wrong(project)] == [f"{plots()}/{table}"]
    path.unlink()
    (failed,) = wrong(project)
    assert failed.found == "no such file or folder"


@pytest.mark.parametrize("text", ["", "{", "[]", '"de"', '{"method": "de"}'])
def test_no_metrics_file(text, tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(text)
    (check,) = verify(path)
    assert (check.what, check.ok) == ("content", False)
    with pytest.raises(UsageProblem, match="does not exist"):
        verify(tmp_path / "none.json")


def test_an_encoder_that_was_never_in_a_file_cannot_be_confirmed(tmp_path):
    class Powers:
        across = False
        manifest = {"datasets": {"other": {"store": "x", "subjects": ["01"], "stimuli": ["other/01"]}}}  # noqa: RUF012

        def features(self, segments):
            return np.log(segments.eeg.var(axis=2))

    segments = planted("class", subjects=4, clips=9, per_trial=2)
    write_segments(tmp_path / STORE, segments)
    write_all(load(tmp_path / STORE), tmp_path / FOLDS, protocols=["fewshot_subject"])
    split = Split.load(tmp_path / FOLDS / "fewshot_subject.json")
    out = tmp_path / "metrics/demo/emod.json"
    evaluate("emod", load(tmp_path / STORE), split, out, tmp_path / plots(), encoder=Powers(), settings=SETTINGS)
    (failed,) = wrong(tmp_path)
    assert failed.what == "files.model"
    assert "eegpipe evaluate --model" in failed.cure


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_says_yes_and_no(project):
    good = CliRunner().invoke(app, ["verify", str(metrics_of(project, "de")), str(metrics_of(project, "mdjpt"))])
    assert good.exit_code == 0, good.output
    assert good.stdout.count("all good") == 2
    assert "plots/demo/mdjpt/predictions.npz" in good.stdout
    edit(
        metrics_of(project, "de"),
        lambda content: content["protocols"]["fewshot_subject"]["accuracy"].update(value=0.99),
        keep_hash=True,
    )
    bad = CliRunner().invoke(app, ["verify", str(project / "metrics")])
    assert bad.exit_code == 1
    assert bad.stdout.count("all good") == len(METHODS) - 1
    (line,) = [line for line in bad.stderr.splitlines() if "accuracy.value" in line]
    assert line.startswith("MISMATCH metrics/demo/de.json: fewshot_subject.accuracy.value: expected 0.")
    assert "found 0.99" in line
    content = json.loads(CliRunner().invoke(app, ["verify", str(project / "metrics"), "--json"]).stdout)
    assert content["ok"] is False
    assert sum(not check["ok"] for checks in content["files"].values() for check in checks) == 2


def test_wrong_usage(project, tmp_path):
    for arguments, text in (
        ([tmp_path / "none.json"], "does not exist"),
        ([project / "metrics", "--store", project / STORE], "is of one metrics file"),
        ([project / "plots"], "no metrics found"),
    ):
        result = CliRunner().invoke(app, ["verify", *map(str, arguments)])
        assert result.exit_code == 2
        assert text in result.stderr

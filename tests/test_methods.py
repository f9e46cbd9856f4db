"""Every method through the one loop and the one form of a folder: learning rates, resuming, loading, refusing."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from test_train import CONFIG as SMALL_MDJPT

from eegpipe import methods, train
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.inspect import inspect
from eegpipe.loader import Segments
from eegpipe.methods import METHODS
from eegpipe.models.art_settings import ArtConfig, ArtTraining
from eegpipe.models.emod_settings import EmodConfig, EmodTraining
from eegpipe.models.settings import MdjptTraining, PretrainSettings
from eegpipe.splits import LeakError, assert_unseen, make
from eegpipe.train import fit, load_pretrained

from stimulus_locked import segments

pretrain = partial(train.pretrain, threads=1)

CONFIGS = {
    "mdjpt": SMALL_MDJPT,
    # With dropout, which must not disturb resuming.
    "emod": EmodConfig(
        hidden=8, heads=2, norm_groups=2, depth=1, ffn=8, projection=8, tokens_per_s=2, per_region=1, dropout=0.1
    ),
    "art": ArtConfig(
        conv_widths=(4, 4, 8), kernels=(15, 5, 5), norm_groups=2, width=8, heads=2, depth=1, ffn=8, batch_items=16
    ),
}
TRAINING = {
    "mdjpt": MdjptTraining(epochs=3, steps_per_epoch=3, learning_rate=3e-3),
    "emod": EmodTraining(epochs=3, steps_per_epoch=3, learning_rate=3e-3, windows_at_once=4),
    "art": ArtTraining(epochs=3, steps_per_epoch=3, learning_rate=3e-3),
}
FILES = {"weights.safetensors", "config.json", "log.csv", "manifest.json", "README.md"}


def rated(data: Segments) -> Segments:
    """The same with valence and arousal for all segments but the first."""
    valence = np.linspace(-3, 3, len(data), dtype=np.float32)
    valence[0] = np.nan
    return replace(data, valence=valence, arousal=-valence)


def sources_of(name: str) -> list[Segments]:
    """Two data sets; of different rates where the method can."""
    second = {"dataset": "alpha", "stimuli": 5, "channels": ("Fp1", "Cz", "Pz", "O2", "A1")}
    if not METHODS[name].one_windowing:
        second |= {"rate_hz": 200.0, "samples": 400}
    scalp = {} if name == "mdjpt" else {"channels": ("Fp1", "Fp2", "F3", "Cz")}
    if name == "emod":
        second["channels"] = ("Fp1", "Cz", "Pz", "O2")
    return [rated(segments("beta", **scalp)), rated(segments(**second))]


@pytest.fixture(scope="module", params=sorted(METHODS))
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def trained(name, tmp_path_factory):
    out = tmp_path_factory.mktemp(name) / "target"
    pretrain(sources_of(name), out, config=CONFIGS[name], settings=TRAINING[name], seed=5)
    return out


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


class Killed(BaseException):
    """Stands for a kill: nothing in the library may catch it."""


def test_every_method_is_tested_here():
    assert set(CONFIGS) == set(TRAINING) == set(METHODS)
    for name, method in METHODS.items():
        assert methods.of_config(CONFIGS[name]) is method is methods.get(name)


def test_folder_and_manifest(trained, name):
    assert set(contents(trained)) == FILES
    manifest = json.loads((trained / "manifest.json").read_text())
    assert manifest["method"] == name
    assert list(manifest["datasets"]) == ["alpha", "beta"]
    alpha = manifest["datasets"]["alpha"]
    assert alpha["rate_hz"] == (125.0 if name == "mdjpt" else 200.0)
    assert alpha["window_samples"] == (625 if name == "mdjpt" else 400)
    assert alpha["subjects"] == ["01", "02", "03"]
    assert alpha.get("left_out") == (1 if name == "emod" else None)
    assert manifest["settings"]["optimiser"] == ("adam" if name == "mdjpt" else "adamw")
    assert ("cda_lambda" in manifest) == (name == "mdjpt")
    assert None not in json.loads((trained / "config.json").read_text()).values()


def test_the_card_says_whether_labels_were_used(trained, name):
    card = (trained / "README.md").read_text()
    assert card.startswith(f"# {METHODS[name].title} encoder (described)")
    assert ("Labels were not used." in card) == (name != "emod")
    assert ("**Valence and arousal of the data sets below were used.**" in card) == (name == "emod")
    assert ("1 of alpha, 1 of beta" in card) == (name == "emod")
    assert ("arXiv 2510.22197" in card) == (name == "mdjpt")


def test_same_bytes_again_and_in_any_order(trained, name, tmp_path):
    pretrain(sources_of(name)[::-1], tmp_path / "again", config=CONFIGS[name], settings=TRAINING[name], seed=5)
    assert contents(tmp_path / "again") == contents(trained)


@pytest.mark.parametrize("at", [4, 6])
def test_killed_and_started_again(trained, name, tmp_path, monkeypatch, at):
    """Killed within an epoch and just after one, with the method's own schedule: the bytes of an undisturbed run."""
    steps = []
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[TRAINING[name].optimiser]
    step = kind.step

    def mortal(self, *args, **options):
        if len(steps) == at:
            raise Killed
        steps.append(at)
        return step(self, *args, **options)

    arguments = {"config": CONFIGS[name], "settings": TRAINING[name], "seed": 5}
    monkeypatch.setattr(kind, "step", mortal)
    with pytest.raises(Killed):
        pretrain(sources_of(name), tmp_path / "model", **arguments)
    assert (tmp_path / ".model.checkpoint").is_file()
    monkeypatch.setattr(kind, "step", lambda self, *args: steps.append(at) or step(self, *args))
    steps.clear()
    pretrain(sources_of(name), tmp_path / "model", **arguments)
    assert len(steps) == 9 - at // 3 * 3  # epochs that were complete are not repeated
    assert contents(tmp_path / "model") == contents(trained)


def test_features_after_loading(trained, name):
    encoder = load_pretrained(trained)
    for data in sources_of(name)[:1] if name == "mdjpt" else sources_of(name):
        features = encoder.features(data)
        assert features.dtype == np.float32
        assert len(features) == len(data)
        assert np.isfinite(features).all()
        assert features.shape[1] == (encoder.width or 8 * len(set(data.channels) - {"A1"}))
        np.testing.assert_array_equal(features, load_pretrained(trained).features(data))


def test_across_says_whether_other_segments_matter(trained, name):
    """What a row of results says about the use of test data rests on it."""
    encoder, data = load_pretrained(trained), sources_of(name)[0]
    few = np.flatnonzero(data.subject == 0)[:4]
    alone, together = encoder.features(data.select(few)), encoder.features(data)[few]
    assert encoder.across == (not np.allclose(alone, together, atol=1e-5))


def test_training_changed_the_features(trained, name, tmp_path):
    untrained = replace(TRAINING[name], epochs=0)
    pretrain(sources_of(name), tmp_path / "model", config=CONFIGS[name], settings=untrained, seed=5)
    data = sources_of(name)[0]
    before = load_pretrained(tmp_path / "model").features(data)
    assert not np.allclose(before, load_pretrained(trained).features(data), atol=1e-4)
    assert "random weights" in (tmp_path / "model" / "README.md").read_text()


def test_what_was_seen_is_refused_in_evaluation(trained):
    data = segments("beta", subjects=4, stimuli=9)
    split = make("fewshot_subject_stimulus", data, seed=0)
    manifest = load_pretrained(trained).manifest
    fold = next(fold for fold in split.folds if "01" in fold.test.subjects)
    with pytest.raises(LeakError, match="pre-trained on"):
        assert_unseen(manifest, data, fold, split)


def test_inspection_finds_no_fault(trained, name):
    report = inspect(trained)
    assert report.ok, report.findings
    assert dict(report.facts)["method"] == name


def test_inspection_compares_weights_and_configuration(trained, tmp_path):
    for path in trained.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"ffn": 24}))
    report = inspect(tmp_path)
    assert not report.ok
    assert any("of another shape" in finding.text for finding in report.findings)


class TestRequests:
    def test_network_and_training_of_two_methods(self, tmp_path):
        with pytest.raises(UsageProblem, match="EMOD is trained by EmodTraining, found MdjptTraining"):
            pretrain(sources_of("emod"), tmp_path / "m", config=CONFIGS["emod"], settings=TRAINING["mdjpt"], seed=0)

    def test_steps_that_nobody_knows(self, tmp_path):
        with pytest.raises(UsageProblem, match="mdJPT does not say what an epoch is"):
            pretrain(
                sources_of("mdjpt"),
                tmp_path / "m",
                config=CONFIGS["mdjpt"],
                settings=replace(TRAINING["mdjpt"], steps_per_epoch=None),
                seed=0,
            )

    # EMOD: (35 + 44) / 2 rated segments in 9 a draw. ART: (36 + 45) windows of 4 channels in 16 a draw.
    @pytest.mark.parametrize(("name", "steps"), [("emod", 4), ("art", 20)])
    def test_steps_of_the_papers_epoch(self, name, steps, tmp_path):
        settings = replace(TRAINING[name], steps_per_epoch=None, epochs=0)
        pretrain(sources_of(name), tmp_path / "m", config=CONFIGS[name], settings=settings, seed=0)
        manifest = json.loads((tmp_path / "m" / "manifest.json").read_text())
        assert manifest["settings"]["steps_per_epoch"] == steps

    def test_no_valence(self, tmp_path):
        with pytest.raises(DataProblem, match="no valence and arousal"):
            pretrain([segments()], tmp_path / "m", config=CONFIGS["emod"], settings=TRAINING["emod"], seed=0)

    def test_an_intersection_reads_the_targets_channels(self, tmp_path):
        arguments = {"config": replace(CONFIGS["art"], channel_set="intersection"), "seed": 0}
        arguments["settings"] = replace(TRAINING["art"], epochs=0)
        data = sources_of("art")
        for number, channels_of in enumerate((None, {"target": ("Cz", "Pz")})):
            pretrain(data, tmp_path / str(number), **arguments, channels_of=channels_of)
        known = [json.loads((tmp_path / one / "config.json").read_text())["channels"] for one in ("0", "1")]
        assert known == [["Fp1", "Cz"], ["Cz"]]
        union = replace(CONFIGS["art"], channel_set="union")
        pretrain(data, tmp_path / "2", **arguments | {"config": union}, channels_of={"target": ("Oz",)})
        assert "Oz" not in json.loads((tmp_path / "2" / "config.json").read_text())["channels"]

    def test_a_method_of_tomorrow(self, trained, tmp_path):
        for path in trained.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        manifest = json.loads((tmp_path / "manifest.json").read_text())
        (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"method": "artt"}))
        with pytest.raises(UsageProblem, match=r"No method 'artt'\. Did you mean 'art'"):
            load_pretrained(tmp_path)


class TestRate:
    def test_is_a_function_of_the_epoch(self):
        settings = PretrainSettings(epochs=4, learning_rate=1.0, schedule="cosine", final_learning_rate=0.2)
        assert [settings.rate(epoch) for epoch in range(4)] == pytest.approx(
            [1.0, 0.6 + 0.4 * np.sqrt(0.5), 0.6, 0.6 - 0.4 * np.sqrt(0.5)]
        )
        assert replace(settings, schedule="constant").rate(3) == 1.0

    # Rates 1 and 0.5 from w = 3: Adam's step on a constant gradient is the rate; AdamW first shrinks w by rate x decay.
    @pytest.mark.parametrize(
        ("optimiser", "decay", "expected"),
        [("adam", 0.0, 3 - 1 - 0.5), ("adamw", 0.1, (3 * (1 - 0.1) - 1) * (1 - 0.05) - 0.5)],
    )
    def test_reaches_the_optimiser(self, tmp_path, optimiser, decay, expected):
        objective = Constant()
        settings = PretrainSettings(
            epochs=2, steps_per_epoch=1, optimiser=optimiser, learning_rate=1.0, schedule="cosine", weight_decay=decay
        )
        fit(objective, settings, title="", checkpoint=tmp_path / "c", identity="")
        assert objective.model.weight.item() == pytest.approx(expected)


class Constant:
    """A loss with gradient 1, from w = 3."""

    def __init__(self):
        self.model = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(self.model.weight, 3.0)

    def __call__(self, _):
        return {"loss": self.model.weight.sum()}

"""The training loop and the encoder's folder: learning, resuming, refusing."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from eegpipe import train
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.models.mdjpt import MdjptConfig
from eegpipe.train import MdjptTraining, PretrainSettings, fit, load_pretrained

from stimulus_locked import segments

CONFIG = MdjptConfig(
    hidden=8,
    heads=2,
    depth=1,
    ffn=16,
    features=4,
    latent_channels=6,
    filters=2,
    dilations=(1, 2),
    patch_stride=32,
    attention_patches=3,
    pool_patches=3,
)
SETTINGS = MdjptTraining(epochs=3, steps_per_epoch=3, learning_rate=3e-3)
pretrain = partial(train.pretrain, threads=1)  # two threads of a test only wait for each other where cores are shared


@pytest.fixture(scope="module")
def sources():
    return [segments("beta", stimuli=4), segments("alpha", stimuli=5, channels=("Fp1", "Cz", "Pz", "O2", "A1"))]


@pytest.fixture(scope="module")
def trained(sources, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "mdjpt" / "target"
    pretrain(sources, out, config=CONFIG, settings=SETTINGS, seed=5)
    return out


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


class Killed(BaseException):
    """Stands for a kill: nothing in the library may catch it."""


class TestMemory:
    def test_what_is_freed_is_used_again(self):
        """Page faults of taking and freeing 160 MB: with the C library's own rule, each page is one every time."""
        command = (
            "import resource, torch\n"
            "from eegpipe.allocation import memory_kept\n"
            "def faults():\n"
            "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
            "    kept = [torch.ones(2**23) for _ in range(5)]\n"
            "    del kept\n"
            "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
            "outside = [faults() for _ in range(3)]\n"
            "with memory_kept():\n"
            "    inside = [faults() for _ in range(8)]\n"  # the first ones enlarge the heap
            "print(outside[-1], inside[-1])\n"
        )
        done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
        outside, inside = map(int, done.stdout.split())
        if outside < 1_000:  # huge pages, or another C library
            pytest.skip(f"160 MB cost {outside} page faults here")
        assert inside < outside / 10

    def test_settings_of_torch_come_back(self):
        def now():
            return (torch.utils.deterministic.fill_uninitialized_memory, torch.get_num_threads())

        before = now()
        with train._reproducible(1):
            assert now() == (False, 1)
        assert now() == before


class TestFolder:
    def test_files(self, trained):
        assert set(contents(trained)) == {"weights.safetensors", "config.json", "log.csv", "manifest.json", "README.md"}
        assert list(trained.parent.iterdir()) == [trained]  # neither a checkpoint nor a partial folder stays

    def test_manifest(self, trained, sources):
        manifest = json.loads((trained / "manifest.json").read_text())
        assert (manifest["method"], manifest["variant"], manifest["seed"]) == ("mdjpt", "described", 5)
        assert manifest["cda_lambda"] == 0.02
        assert list(manifest["datasets"]) == ["alpha", "beta"]
        assert manifest["datasets"]["beta"]["store"] == sources[0].digest
        assert manifest["datasets"]["beta"]["subjects"] == ["01", "02", "03"]
        assert manifest["datasets"]["alpha"]["stimuli"] == [f"alpha/0{number}" for number in range(1, 6)]
        assert manifest["settings"]["learning_rate"] == SETTINGS.learning_rate

    def test_manifest_names_what_was_used(self, sources, tmp_path):
        """Segments that were selected away, and their subjects and stimuli, were not seen."""
        data = sources[0]
        part = data.select((data.subject != 1) & (data.stimulus != data.stimulus[0]))
        pretrain([part], tmp_path / "model", config=CONFIG, settings=replace(SETTINGS, epochs=0), seed=0)
        used = json.loads((tmp_path / "model" / "manifest.json").read_text())["datasets"]["beta"]
        assert (used["subjects"], used["stimuli"]) == (["01", "03"], ["beta/02", "beta/03", "beta/04"])

    def test_config_records_every_switch(self, trained):
        config = json.loads((trained / "config.json").read_text())
        assert None not in config.values()
        assert config["cda_covariance"] == "true"

    def test_log(self, trained):
        with (trained / "log.csv").open() as lines:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(lines)]
        assert list(rows[0]) == ["epoch", "loss", "isa", "cda", "isa_alpha", "isa_beta", "isa_chance"]
        assert [row["epoch"] for row in rows] == [1, 2, 3]
        for row in rows:
            assert row["isa"] == pytest.approx(row["isa_alpha"] + row["isa_beta"], rel=1e-4)
            assert row["loss"] == pytest.approx(row["isa"] + 0.02 * row["cda"], rel=1e-4)
            assert row["isa_chance"] == pytest.approx(np.log(7) + np.log(9), rel=1e-4)

    @pytest.mark.parametrize(("isa_weight", "cda_lambda"), [(0.0, 0.02), (0.5, 0.0)])
    def test_either_part_of_the_loss_can_be_switched_off(self, sources, tmp_path, isa_weight, cda_lambda):
        config, settings = replace(CONFIG, isa_weight=isa_weight), replace(SETTINGS, epochs=1)
        pretrain(sources, tmp_path / "model", config=config, settings=settings, cda_lambda=cda_lambda, seed=5)
        with (tmp_path / "model" / "log.csv").open() as lines:
            row = {name: float(value) for name, value in next(csv.DictReader(lines)).items()}
        assert min(row["isa"], row["cda"]) > 0
        assert row["loss"] == pytest.approx(isa_weight * row["isa"] + cda_lambda * row["cda"], rel=1e-4)

    def test_card(self, trained):
        card = (trained / "README.md").read_text()
        assert "| beta | 3 | 4 | 36 | 125 | 5 |" in card
        for section in ("## Data", "## Training", "## Limits", "## Licence"):
            assert section in card

    def test_same_bytes_again_and_in_any_order(self, trained, sources, tmp_path):
        pretrain(sources[::-1], tmp_path / "again", config=CONFIG, settings=SETTINGS, seed=5)
        assert contents(tmp_path / "again") == contents(trained)

    def test_replaces_an_earlier_encoder_only(self, sources, tmp_path):
        untrained = {"config": CONFIG, "settings": replace(SETTINGS, epochs=0)}
        pretrain(sources, tmp_path / "model", **untrained, seed=0)
        first = contents(tmp_path / "model")
        pretrain(sources, tmp_path / "model", **untrained, seed=1)
        assert contents(tmp_path / "model")["weights.safetensors"] != first["weights.safetensors"]
        (tmp_path / "thesis").mkdir()
        (tmp_path / "thesis" / "chapter.tex").write_text("precious")
        with pytest.raises(UsageProblem, match="is no pre-trained encoder"):
            pretrain(sources, tmp_path / "thesis", **untrained, seed=0)


class TestLearning:
    def test_isa_falls_below_chance(self, tmp_path):
        """Shared signal is found and learned; where nothing is shared, embeddings do not beat no information."""
        settings = MdjptTraining(epochs=2, steps_per_epoch=10, learning_rate=1e-2)
        ratio = {}
        for name, shared in (("locked", 3.0), ("noise", 0.0)):
            data = segments(name, stimuli=6, windows=4, shared=shared)
            pretrain([data], tmp_path / name, config=CONFIG, settings=settings, seed=0)
            with (tmp_path / name / "log.csv").open() as lines:
                ratio[name] = [float(row["isa"]) / float(row["isa_chance"]) for row in csv.DictReader(lines)]
        assert ratio["locked"][1] < ratio["locked"][0] < 0.5
        assert ratio["noise"][1] > 0.9

    def test_released_trains(self, sources, tmp_path):
        released = replace(CONFIG, variant="released")
        pretrain(sources, tmp_path / "model", config=released, settings=replace(SETTINGS, epochs=1), seed=0)
        manifest = json.loads((tmp_path / "model" / "manifest.json").read_text())
        assert (manifest["variant"], manifest["cda_lambda"]) == ("released", 0.01)

    def test_two_draws_a_step_average(self, tmp_path):
        """One step on the mean gradient of two draws equals plain descent along that mean."""
        objective = Quadratic()
        settings = PretrainSettings(epochs=1, steps_per_epoch=1, draws_per_step=2, learning_rate=0.1, weight_decay=0)
        seen = []
        objective.model.weight.register_hook(lambda gradient: seen.append(gradient.item()))
        fit(objective, settings, title="", checkpoint=tmp_path / "checkpoint", identity="")
        # Terms are (w - number)^2 / 2: gradients w and w - 1, halved each.
        assert seen == pytest.approx([0.5, 0.0])

    def test_gradient_clip(self, tmp_path):
        objective = Quadratic()
        norms = []
        settings = PretrainSettings(epochs=1, steps_per_epoch=1, gradient_clip=0.25, weight_decay=0)
        step = torch.optim.Adam.step

        def watched(self, *args, **options):
            norms.append(objective.model.weight.grad.norm().item())
            return step(self, *args, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.optim.Adam, "step", watched)
            fit(objective, settings, title="", checkpoint=tmp_path / "checkpoint", identity="")
        assert norms == pytest.approx([0.25], rel=1e-4)


class TestResume:
    @pytest.mark.parametrize("at", [4, 6])
    def test_killed_and_started_again(self, trained, sources, tmp_path, monkeypatch, at):
        """Killed within an epoch and just after one: the bytes are those of a run that was not disturbed."""
        out = tmp_path / "model"
        steps = []
        step = torch.optim.Adam.step

        def mortal(self, *args, **options):
            if len(steps) == at:
                raise Killed
            steps.append(at)
            return step(self, *args, **options)

        arguments = {"config": CONFIG, "settings": SETTINGS, "seed": 5}
        monkeypatch.setattr(torch.optim.Adam, "step", mortal)
        with pytest.raises(Killed):
            pretrain(sources, out, **arguments)
        assert not out.exists()
        assert (tmp_path / ".model.checkpoint").is_file()

        monkeypatch.setattr(torch.optim.Adam, "step", lambda self, *args: steps.append(at) or step(self, *args))
        steps.clear()
        pretrain(sources, out, **arguments)
        assert len(steps) == 9 - at // 3 * 3  # epochs that were complete are not repeated
        assert contents(out) == contents(trained)
        assert list(tmp_path.iterdir()) == [out]

    def test_a_checkpoint_of_something_else_is_ignored(self, trained, sources, tmp_path):
        other = replace(SETTINGS, learning_rate=1e-3)
        checkpoint = tmp_path / ".model.checkpoint"
        stop_after_one_epoch(sources, tmp_path / "model", other)
        assert checkpoint.is_file()
        pretrain(sources, tmp_path / "model", config=CONFIG, settings=SETTINGS, seed=5)
        assert contents(tmp_path / "model") == contents(trained)

    def test_the_transformer_ablation_resumes_and_is_another_network(self, trained, sources, tmp_path):
        """The same bytes after a kill; neither a checkpoint nor weights of one encoder enter the other."""
        softmax = replace(CONFIG, encoder="transformer")
        pretrain(sources, tmp_path / "whole", config=softmax, settings=SETTINGS, seed=5)
        assert "softmax attention" in (tmp_path / "whole" / "README.md").read_text()
        assert "softmax attention" not in (trained / "README.md").read_text()
        stop_after_one_epoch(sources, tmp_path / "model", SETTINGS, softmax)
        pretrain(sources, tmp_path / "model", config=softmax, settings=SETTINGS, seed=5)
        assert contents(tmp_path / "model") == contents(tmp_path / "whole")
        stop_after_one_epoch(sources, tmp_path / "mlla", SETTINGS, softmax)
        pretrain(sources, tmp_path / "mlla", config=CONFIG, settings=SETTINGS, seed=5)
        assert contents(tmp_path / "mlla") == contents(trained)
        (tmp_path / "mlla" / "weights.safetensors").write_bytes(contents(tmp_path / "whole")["weights.safetensors"])
        with pytest.raises(DataProblem, match=r"weights\.safetensors: found other tensors"):
            load_pretrained(tmp_path / "mlla")

    def test_a_damaged_checkpoint_is_ignored(self, trained, sources, tmp_path):
        (tmp_path / ".model.checkpoint").write_bytes(b"not a checkpoint")
        pretrain(sources, tmp_path / "model", config=CONFIG, settings=SETTINGS, seed=5)
        assert contents(tmp_path / "model") == contents(trained)


def stop_after_one_epoch(sources, out, settings, config=CONFIG):
    calls = []
    step = torch.optim.Adam.step

    def mortal(self, *args, **options):
        calls.append(1)
        if len(calls) > settings.steps_per_epoch:
            raise Killed
        return step(self, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", mortal)
        with pytest.raises(Killed):
            pretrain(sources, out, config=config, settings=settings, seed=5)


class TestEncoder:
    def test_features(self, trained, sources):
        encoder = load_pretrained(trained)
        features = encoder.features(sources[1])
        assert features.shape == (len(sources[1]), encoder.width) == (45, 16)
        assert np.isfinite(features).all()
        assert encoder.manifest["method"] == "mdjpt"
        np.testing.assert_array_equal(features, load_pretrained(trained).features(sources[1]))

    def test_training_changed_them(self, trained, sources, tmp_path):
        pretrain(sources, tmp_path / "model", config=CONFIG, settings=replace(SETTINGS, epochs=0), seed=5)
        untrained = load_pretrained(tmp_path / "model").features(sources[0])
        assert not np.allclose(untrained, load_pretrained(trained).features(sources[0]), atol=1e-4)

    def test_rate(self, trained):
        with pytest.raises(DataProblem, match="found 200 Hz, expected 125 Hz"):
            load_pretrained(trained).features(segments(rate_hz=200.0))

    def test_no_encoder(self, tmp_path):
        with pytest.raises(UsageProblem, match="no pre-trained encoder here"):
            load_pretrained(tmp_path)

    def test_other_weights(self, trained, tmp_path):
        for path in trained.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        weights = load_file(tmp_path / "weights.safetensors")
        weights.pop("read_in.bias")
        save_file(weights, tmp_path / "weights.safetensors")
        with pytest.raises(DataProblem, match=r"weights\.safetensors: found other tensors.*read_in\.bias"):
            load_pretrained(tmp_path)


class TestRefusals:
    def attempt(self, sources, tmp_path, **options):
        arguments = {"config": CONFIG, "settings": SETTINGS, "seed": 0} | options
        pretrain(sources, tmp_path / "model", **arguments)

    def test_non_finite_loss(self, sources, tmp_path):
        """The data set is named; nothing is written."""
        with pytest.raises(DataProblem, match=r"epoch 1, step \d+: found .*isa_alpha = nan") as caught:
            self.attempt(sources, tmp_path, settings=replace(SETTINGS, learning_rate=1e30))
        assert "gradient_clip" in str(caught.value)
        assert not (tmp_path / "model").exists()

    def test_non_finite_signal(self, sources, tmp_path):
        broken = replace(sources[0], eeg=sources[0].eeg.copy())
        broken.eeg[20, 3, 100] = np.nan
        with pytest.raises(DataProblem, match="beta: subject 02: found 1 values that are not finite"):
            self.attempt([broken], tmp_path)

    def test_sources_that_do_not_fit(self, sources, tmp_path):
        with pytest.raises(UsageProblem, match="share one rate, found beta 125 Hz, gamma 200 Hz"):
            self.attempt([sources[0], segments("gamma", rate_hz=200.0)], tmp_path)
        with pytest.raises(UsageProblem, match="share one window length"):
            self.attempt([sources[0], segments("gamma", samples=500)], tmp_path)
        with pytest.raises(UsageProblem, match="may stand among the sources once"):
            self.attempt([sources[0], sources[0]], tmp_path)
        with pytest.raises(UsageProblem, match="at least one data set"):
            self.attempt([], tmp_path)

    def test_short_windows(self, tmp_path):
        with pytest.raises(UsageProblem, match="make 7 patches, too few"):
            self.attempt([segments(samples=250)], tmp_path)

    def test_device(self, sources, tmp_path):
        with pytest.raises(UsageProblem, match="Unknown device 'quantum'"):
            self.attempt(sources, tmp_path, device="quantum")
        if not torch.cuda.is_available():
            with pytest.raises(UsageProblem, match="finds no GPU here"):
                self.attempt(sources, tmp_path, device="cuda")


class Quadratic:
    """(w - number)^2 / 2 from w = 1: an objective whose gradients are known."""

    def __init__(self):
        self.model = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.ones_(self.model.weight)

    def __call__(self, number):
        return {"loss": (self.model.weight - number).square().sum() / 2}

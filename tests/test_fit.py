"""The loop with every method: precision, what made a loss not finite, the curve while training runs."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from test_methods import CONFIGS, TRAINING, Killed, sources_of

from eegpipe import losses, losses_affect, progress, train
from eegpipe.errors import DataProblem
from eegpipe.fit import fit
from eegpipe.loader import some
from eegpipe.methods import METHODS, Request
from eegpipe.models.mdjpt import Mdjpt, stratified_norm
from eegpipe.models.settings import PretrainSettings
from eegpipe.precision import autocast, in_float32, without_tf32

from stimulus_locked import segments

pretrain = partial(train.pretrain, threads=1)


@pytest.fixture(params=sorted(METHODS))
def name(request) -> str:
    return request.param


def objective_of(name: str):
    sources = sorted(sources_of(name), key=lambda one: one.dataset)
    return METHODS[name].objective(Request(sources, CONFIGS[name], TRAINING[name], None, {}, 5, "cpu"))


def log_of(text: str) -> list[dict[str, float]]:
    return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(io.StringIO(text))]


class TestPrecision:
    def test_bfloat16_is_near_float32_and_not_the_same(self, name):
        objective = objective_of(name)
        exact = objective(0)
        with autocast("bfloat16", "cpu"):
            rough = objective(0)
        assert rough["loss"].dtype == torch.float32
        assert rough["loss"].item() != exact["loss"].item()
        # Temperatures of 0.07 and 0.1 make the rounding of a similarity (0.004) ten times larger in the loss.
        assert rough["loss"].item() == pytest.approx(exact["loss"].item(), rel=0.05)

    def test_bfloat16_learns(self, name, tmp_path):
        settings = replace(TRAINING[name], epochs=3, steps_per_epoch=8, learning_rate=1e-2, precision="bfloat16")
        pretrain(sources_of(name), tmp_path / "model", config=CONFIGS[name], settings=settings, seed=5)
        log = log_of((tmp_path / "model" / "log.csv").read_text())
        assert log[-1]["loss"] < log[0]["loss"]
        weights = train.load_file(tmp_path / "model" / "weights.safetensors")
        assert {one.dtype for one in weights.values() if one.is_floating_point()} == {torch.float32}

    def test_losses_and_norms_compute_in_float32(self):
        torch.manual_seed(0)
        z = torch.nn.functional.normalize(torch.randn(12, 8), dim=1)
        weight = torch.rand(12, 12).fill_diagonal_(0)
        latents = [torch.randn(4, 2, 3, 9) for _ in range(2)]
        for function in (
            lambda: losses.nt_xent(z, 0.07),
            lambda: losses.cda(latents),
            lambda: losses_affect.weighted_contrast(z, weight, 0.07),
            lambda: stratified_norm(latents[0], 2),
        ):
            exact = function()
            with autocast("bfloat16", "cpu"):
                assert torch.equal(function(), exact)

    def test_mdjpt_rounds_in_its_blocks_only(self):
        """The norms take away what windows share; rounding before them would change what is left."""
        torch.manual_seed(0)
        model, x = Mdjpt(CONFIGS["mdjpt"]), torch.randn(4, 60, 625)
        model.blocks = torch.nn.ModuleList()
        exact = model(x)
        with autocast("bfloat16", "cpu"):
            assert all(torch.equal(*both) for both in zip(model(x), exact, strict=True))

    def test_marked_functions_get_full_tensors(self):
        seen = []
        watched = in_float32(lambda one, many: seen.append((one.dtype, many[0].dtype, (one @ one).dtype)))
        half, double = torch.ones(2, 2, dtype=torch.bfloat16), torch.ones(2, 2, dtype=torch.float64)
        with autocast("bfloat16", "cpu"):
            watched(half, [half])
            watched(double, many=[double])
        watched(half, [half])
        assert seen == [(torch.float32,) * 3, (torch.float64,) * 3, (torch.bfloat16,) * 3]

    def test_tf32_is_off_and_comes_back(self):
        before = torch.backends.cudnn.allow_tf32
        torch.backends.cudnn.allow_tf32 = True
        try:
            with without_tf32():
                assert not torch.backends.cudnn.allow_tf32
                assert not torch.backends.cuda.matmul.allow_tf32
            assert torch.backends.cudnn.allow_tf32
        finally:
            torch.backends.cudnn.allow_tf32 = before


class TestNotFinite:
    def test_the_batch_is_named(self, name, tmp_path):
        """Epoch, step, draw, and what was drawn: the words are those of the objective for that draw."""
        settings = replace(TRAINING[name], learning_rate=1e30, gradient_clip=0.0, draws_per_step=2)
        with pytest.raises(DataProblem, match=r"epoch 1, step 2: found .* in draw 2 ") as caught:
            pretrain(sources_of(name), tmp_path / "model", config=CONFIGS[name], settings=settings, seed=5)
        words = objective_of(name).describe(2)
        assert any(f"{dataset}: {text}" in str(caught.value) for dataset, text in words.items())
        assert not (tmp_path / "model").exists()

    def test_descriptions_are_of_the_draw(self, name):
        objective = objective_of(name)
        texts = [objective.describe(number) for number in range(12)]
        assert len({str(one) for one in texts}) > 1
        assert texts[3] == objective.describe(3)
        assert set().union(*texts) == {"alpha", "beta"}
        for text in texts[0].values():
            assert "subjects 0" in text
            assert "sessions 1" in text
            assert " at " in text

    def test_only_the_data_set_that_is_meant(self, tmp_path):
        class Broken:
            model = torch.nn.Linear(1, 1)

            def __call__(self, number):
                loss = self.model.weight.sum()
                return {"loss": loss, "isa_beta": loss * (np.nan if number == 5 else 1.0)}

            def describe(self, number):
                return {"alpha": f"a{number}", "beta": f"b{number}"}

        settings = PretrainSettings(epochs=2, steps_per_epoch=2, draws_per_step=2)
        with pytest.raises(DataProblem) as caught:
            fit(Broken(), settings, title="", checkpoint=tmp_path / "c", identity="")
        said = str(caught.value)
        assert said.startswith("pre-training, epoch 2, step 1: found isa_beta = nan in draw 5 (beta: b5), expected")

    def test_a_gradient_that_is_not_finite(self, tmp_path):
        """The loss is finite, its gradient is not: the weights stay as they were, this draw is named."""

        class Root:
            def __init__(self):
                self.model = torch.nn.Linear(1, 1, bias=False)

            def __call__(self, number):
                return {"loss": (self.model.weight * (0.0 if number == 1 else 1.0)).abs().sqrt().sum()}

            def describe(self, number):
                return {"alpha": f"a{number}"}

        objective = Root()
        settings = PretrainSettings(epochs=1, steps_per_epoch=3)
        said = r"step 2: found a gradient of norm (nan|inf) in draw 1 \(alpha: a1\), expected"
        with pytest.raises(DataProblem, match=said):
            fit(objective, settings, title="", checkpoint=tmp_path / "c", identity="")
        assert torch.isfinite(objective.model.weight).all()
        said = r"step 1: found .* in draw 0 \(alpha: a0\), draw 1 \(alpha: a1\), expected"
        with pytest.raises(DataProblem, match=said):  # a sum over all draws of the step: any of them can be the one
            fit(Root(), replace(settings, draws_per_step=2), title="", checkpoint=tmp_path / "d", identity="")

    def test_words(self):
        assert some(["a", "b", "c"]) == "a, b, c"
        assert some(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
        data = segments("beta", sessions=2)
        rows = np.flatnonzero((data.subject == 1) & (data.session == 1))
        expected = "subjects 02; sessions 2; beta/01 at 0 s, beta/01 at 2 s, beta/01 at 4 s and 9 more"
        assert data.describe(rows) == expected


class TestEarly:
    """What cannot be trained on is refused before the first step, in each method's words."""

    def attempt(self, name, sources, tmp_path):
        pretrain(sources, tmp_path / "m", config=CONFIGS[name], settings=TRAINING[name], seed=0)

    def test_one_subject(self, tmp_path):
        data = {name: sources_of(name)[0] for name in METHODS}
        one = {name: part.select(part.subject == 0) for name, part in data.items()}
        with pytest.raises(DataProblem, match="found 1 subject, expected at least two subjects"):
            self.attempt("mdjpt", [one["mdjpt"]], tmp_path)
        for name in ("emod", "art"):  # they compare segments, whoever they come from
            settings = replace(TRAINING[name], epochs=1, steps_per_epoch=1)
            pretrain([one[name]], tmp_path / name, config=CONFIGS[name], settings=settings, seed=0)

    def test_no_common_stimuli(self, tmp_path):
        data = sources_of("mdjpt")[0]
        apart = data.select((data.subject == 0) == (data.stimulus == data.stimulus[0]))
        apart = apart.select(apart.subject < 2)
        with pytest.raises(DataProblem, match="at most 0 stimuli that two subjects share"):
            self.attempt("mdjpt", [apart], tmp_path)

    def test_nothing_to_compare(self, tmp_path):
        data = sources_of("emod")[0]
        same = replace(data, valence=np.ones_like(data.valence), arousal=np.ones_like(data.arousal))
        with pytest.raises(DataProblem, match="the same valence and arousal in all"):
            self.attempt("emod", [same], tmp_path)

    def test_one_item(self, tmp_path):
        data = segments(channels=("Cz",)).select(np.array([0]))
        with pytest.raises((DataProblem, train.UsageProblem), match="at least two channels of windows"):
            self.attempt("art", [data], tmp_path)


class TestCurve:
    def test_grows_with_the_epochs_and_ends_as_the_log(self, name, tmp_path):
        curve = tmp_path / "plots" / "curve.csv"
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[TRAINING[name].optimiser]
        step, calls, lengths = kind.step, [], []

        def watched(self, *args, **options):
            lengths.append(len(log_of(curve.read_text())) if curve.exists() else None)
            calls.append(1)
            if len(calls) == 8:
                raise Killed
            return step(self, *args, **options)

        arguments = {"config": CONFIGS[name], "settings": TRAINING[name], "seed": 5, "curve": curve}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kind, "step", watched)
            with pytest.raises(Killed):
                pretrain(sources_of(name), tmp_path / "model", **arguments)
            assert lengths == [None] * 3 + [1] * 3 + [2] * 2
            curve.unlink()  # as DVC does before a stage runs
            lengths.clear()
            pretrain(sources_of(name), tmp_path / "model", **arguments)
        assert lengths == [2] * 3
        assert curve.read_bytes() == (tmp_path / "model" / "log.csv").read_bytes()
        assert list(curve.parent.iterdir()) == [curve]

    def test_without_training(self, tmp_path):
        settings = replace(TRAINING["art"], epochs=0)
        arguments = {"config": CONFIGS["art"], "settings": settings, "seed": 5, "curve": tmp_path / "curve.csv"}
        pretrain(sources_of("art"), tmp_path / "model", **arguments)
        assert (tmp_path / "curve.csv").read_text() == "epoch,loss\n"


def test_time_left_counts_only_what_was_done_now(monkeypatch, capsys):
    """A run that continues at 90 of 100 has done nothing yet."""
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with progress.bar("t", 100, done=90) as advance:
        clock[0] = 40.0
        advance(note="loss 1.000")
    assert capsys.readouterr().err == "t: 91 of 100 done, loss 1.000, about 6 min left\n"
    with progress.bar("t", 100, silent=True) as advance:
        clock[0] = 400.0
        advance()
    assert capsys.readouterr().err == ""

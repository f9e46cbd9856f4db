"""The benchmarks of pre-training: their sources, their steps and their rivals are what they say, in miniature."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from eegpipe.affect_sampler import region_of
from eegpipe.fit import fit
from eegpipe.models.art import AdaptiveTokens, Art
from eegpipe.models.emod import Emod
from eegpipe.models.emod_settings import EmodConfig
from eegpipe.models.mdjpt import Mdjpt
from eegpipe.models.settings import MdjptConfig
from eegpipe.params import load

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
PARAMS = load(BENCHMARKS.parent / "params.yaml")
TINY_MDJPT = MdjptConfig(
    hidden=8,
    heads=2,
    depth=2,
    ffn=8,
    features=2,
    latent_channels=3,
    filters=2,
    dilations=(1, 3),
    patch_stride=30,
    attention_patches=3,
    pool_patches=4,
)
TINY_EMOD = EmodConfig(hidden=16, heads=2, depth=1, ffn=16, projection=16, dropout=0.2, per_region=1)


@pytest.fixture(scope="module")
def modules():
    """The scripts' own modules: they are no package, so that they run from anywhere."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import encoders
        import full_size
        import linear
        import measure
        import plain
        import pretrain
        import steps

        yield {
            "encoders": encoders,
            "full_size": full_size,
            "linear": linear,
            "measure": measure,
            "plain": plain,
            "pretrain": pretrain,
            "steps": steps,
        }
    finally:
        sys.path.remove(str(BENCHMARKS))


def small_job(modules, name: str = "mdjpt", **changes):
    """A step of two stimuli a data set on a tiny network."""
    params = getattr(PARAMS, name)["demo"]
    tiny = {"mdjpt": TINY_MDJPT, "emod": TINY_EMOD}[name]
    windowing = PARAMS.windowing[name]["demo"]
    if name == "emod":
        windowing = replace(windowing, window_s=1.0)
    facts = {"method": name, "params": replace(params, model=tiny), "windowing": windowing}
    return modules["steps"].Job(**facts | {"steps": 2, "part": 20} | changes)


class TestSources:
    def test_a_step_has_the_papers_windows(self, modules):
        """254 windows with SEED-V as target, 288 segments, 512 channels of windows."""
        full_size = modules["full_size"]
        sizes = {name: getattr(PARAMS, name)["paper"] for name in ("mdjpt", "emod", "art")}
        assert {name: full_size.windows_of_step(params) for name, params in sizes.items()} == {
            "mdjpt": 254,
            "emod": 288,
            "art": 512,
        }
        steps = {
            name: full_size.steps_of_budget(params, PARAMS.windowing[name]["paper"]) for name, params in sizes.items()
        }
        assert (steps["mdjpt"], steps["emod"]) == (20 * 1024, 27_400)
        # 62 channels of 1.8-s steps of 45 sessions of 3,394 s, and 32 of 1,280 minutes, less what trials' ends cost.
        most = (62 * 45 * 3394 + 32 * 32 * 40 * 60) / 1.8 / 512 * 100
        assert 0.97 * most < steps["art"] < most

    @pytest.mark.parametrize("name", ["mdjpt", "emod", "art"])
    def test_what_the_samplers_draw(self, modules, name):
        """The windows that a step says it takes are those that the objective draws."""
        full_size = modules["full_size"]
        params, windowing = full_size.part_of(getattr(PARAMS, name)["demo"], 2), PARAMS.windowing[name]["demo"]
        objective = modules["steps"]._objective(
            small_job(modules, params=params, method=name, windowing=windowing),
            full_size.sources(params, windowing, part=2),
        )
        draw = objective._sampler.draw(0)
        if name == "mdjpt":
            drawn = sum(len(batch.first) + len(batch.second) for batch in draw)
        else:
            drawn = draw.size if name == "art" else sum(len(rows) for rows in draw)
        assert params.training.draws_per_step * drawn == full_size.windows_of_step(params, part=2)

    def test_segments(self, modules):
        full_size = modules["full_size"]
        windowing = PARAMS.windowing["emod"]["demo"]
        data = full_size.segments(full_size.Source("deap", 32, 9), windowing)
        assert data.eeg.shape == (36, 32, 1000)
        assert 19 < data.eeg.std() < 21
        assert set(region_of(data.valence, data.arousal)) == set(range(9))


class TestPlain:
    @pytest.mark.parametrize("config", [TINY_MDJPT, replace(TINY_MDJPT, encoder="transformer")])
    def test_mdjpt(self, modules, config):
        """The same numbers and the same gradients, from other layers."""
        torch.manual_seed(0)
        ours, x = Mdjpt(config, channels=4), torch.randn(4, 4, 625)
        rival = modules["plain"].plain(ours)
        assert sum(p.numel() for p in rival.parameters()) == sum(p.numel() for p in ours.parameters())
        inputs, outputs = [x.clone().requires_grad_() for _ in range(2)], []
        for model, one in zip((ours, rival), inputs, strict=True):
            output = model(one)
            (output.z[:, 0].sum() + output.latent.square().mean()).backward()
            outputs.append(output)
        for mine, its in zip(*outputs, strict=True):
            torch.testing.assert_close(its, mine, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(inputs[1].grad, inputs[0].grad, atol=1e-5, rtol=1e-3)
        assert not any(isinstance(layer, type(ours.dilated)) for layer in rival.modules())

    def test_emod(self, modules):
        torch.manual_seed(0)
        model = Emod(TINY_EMOD).eval()
        x, ids = torch.randn(3, 4, 200), torch.arange(4)
        before = model(x, ids, 10)
        assert modules["plain"].plain(model).time_branch.plain
        torch.testing.assert_close(model(x, ids, 10), before, atol=1e-5, rtol=1e-4)

    @pytest.mark.parametrize("time_base", ["seconds", "samples"])
    def test_art(self, modules, time_base):
        torch.manual_seed(0)
        config = replace(PARAMS.art["demo"].model, time_base=time_base, channels=("Fz", "Cz"), dropout=0.0)
        model, x, mixture = Art(config), torch.randn(3, 400), torch.eye(2)[[0, 1, 0]]
        results = []
        for form in ("ours", "plain"):
            network = modules["plain"].plain(model) if form == "plain" else model
            network.zero_grad()
            features = network(x, 200.0, mixture)
            features[:, 0].square().sum().backward()
            results.append([features.detach(), *(one.grad.clone() for one in network.tokens.parameters())])
        for ours, its in zip(*results, strict=True):
            torch.testing.assert_close(its, ours, atol=1e-5, rtol=1e-3)
        assert not any(isinstance(layer, AdaptiveTokens) for layer in model.modules())


class TestSteps:
    @pytest.mark.parametrize(("name", "draws"), [("mdjpt", 1), ("mdjpt", 2), ("emod", 1)])
    def test_are_those_of_the_training_loop(self, modules, name, draws, tmp_path):
        """The same weights after three steps as from :func:`fit`, gradients clipped or not."""
        steps, full_size = modules["steps"], modules["full_size"]
        job = small_job(modules, name)
        sources = full_size.sources(job.params, job.windowing, part=job.part)
        mine, its = steps._objective(job, sources), steps._objective(job, sources)
        settings = replace(job.params.training, epochs=1, steps_per_epoch=3, draws_per_step=draws)
        optimiser = steps.optimiser_of(mine, replace(job.params, training=settings))
        for number in range(3):
            steps.step(mine, optimiser, number, settings)
        fit(its, settings, title="", checkpoint=tmp_path / "checkpoint", identity="")
        weights = zip(mine.model.parameters(), its.model.parameters(), strict=True)
        assert all(torch.equal(*both) for both in weights)

    def test_measured(self, modules):
        """In this process: figures are of the job, and both forms take the same first step."""
        steps, pretrain = modules["steps"], modules["pretrain"]
        threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
        try:
            ours = steps.measured(small_job(modules, profile=True))
            rival = steps.measured(small_job(modules, plain=True))
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(strict)
        assert (len(ours.costs), ours.windows) == (2, 20 * PARAMS.mdjpt["demo"].training.draws_per_step)
        assert ours.parameters == rival.parameters == sum(p.numel() for p in Mdjpt(TINY_MDJPT).parameters())
        assert all(one.cpu_s > 0 for one in ours.costs)
        assert ours.ceiling > 1e8
        assert "aten::bmm" in ours.operations
        pretrain.check_same(ours, rival, "float32")
        for precision, off in (("float32", 1.001), ("bfloat16", 1.02)):
            with pytest.raises(SystemExit, match="The two forms differ: loss"):
                pretrain.check_same(ours, replace(rival, loss=off * rival.loss), precision)
        rows = {row.name: row for row in pretrain._rows(small_job(modules), ours, rival)}
        assert list(rows) == ["mdjpt.time", "mdjpt.peak_memory", "mdjpt.flop_rate"]
        time = rows["mdjpt.time"]
        assert time.ours == pytest.approx(sum(one.cpu_s for one in ours.costs) / 2, rel=1e-3)
        assert time.ratio == pytest.approx(time.rival / time.ours, rel=1e-2)

    def test_counted_operations(self, modules):
        """Products, attention and convolutions, forwards and backwards, against the count by hand."""
        counted = modules["steps"].counted
        a = torch.randn(3, 4, 5, requires_grad=True)
        product, flops = counted(lambda: torch.bmm(a, torch.ones(3, 5, 6)))
        assert flops == 2 * 3 * 4 * 5 * 6
        assert counted(lambda: product.sum().backward())[1] == 2 * 3 * 4 * 5 * 6
        assert counted(lambda: torch.zeros(3, 4, 6).baddbmm_(a.detach(), torch.ones(3, 5, 6)))[1] == 2 * 3 * 4 * 5 * 6
        q = torch.randn(2, 3, 7, 8, requires_grad=True)
        attention = torch.nn.functional.scaled_dot_product_attention
        mixed, flops = counted(lambda: attention(q, q, q))
        assert flops == 2 * (2 * 3 * 7 * 7 * 8) * 2
        # Backwards: the logits once more, and two products for each of the two.
        assert counted(lambda: mixed.sum().backward())[1] == 2 * (2 * 3 * 7 * 7 * 8) * 5
        for groups in (1, 3):
            x, weight = torch.randn(2, 3, 10), torch.randn(6, 3 // groups, 5, requires_grad=True)
            y, flops = counted(partial(torch.nn.functional.conv1d, x, weight, groups=groups))
            assert flops == 2 * (2 * 6 * 6) * (3 // groups * 5)
            assert counted(y.sum().backward)[1] == flops  # of the weight; the input has no gradient


class TestEncoders:
    def test_forms(self, modules):
        encoders = modules["encoders"]
        names = {form: encoders.config_of(form).encoder for form in encoders.FORMS}
        assert list(names.values()) == ["mlla", "transformer", "transformer"]
        assert encoders.Case("MLLA", 80.0, 960.0).windows == 12
        # Written out, the weights of attention exist as a whole: 8 heads of 412 x 412 patches.
        largest = {}
        for form in encoders.FORMS[1:]:
            sizes: list[int] = []
            torch.manual_seed(0)
            model = Mdjpt(encoders.config_of(form), channels=1)
            kept = torch.autograd.graph.saved_tensors_hooks(
                lambda it, to=sizes: to.append(it.numel()) or it, lambda it: it
            )
            with kept, encoders.attention_of(form):
                model.embed(torch.randn(1, 1, 2500))
            largest[form] = max(sizes)
        assert largest["Transformer, written out"] == 8 * 412 * 412
        assert largest["Transformer"] < 412 * 3 * 256

    def test_picture(self, modules):
        encoders, cost = modules["encoders"], modules["measure"].Cost
        seconds = (5.0, 10.0)
        found = {(form, one): cost(one, one, round(one * 1e8)) for form in encoders.FORMS for one in seconds}
        picture = ElementTree.fromstring(encoders.drawn(found, seconds))
        assert picture.tag == "{http://www.w3.org/2000/svg}svg"
        texts = ["".join(node.itertext()) for node in picture.iter("{http://www.w3.org/2000/svg}text")]
        assert {"CPU seconds", "peak memory, GB", "MLLA", "Transformer", "5", "10"} <= set(texts)
        rows = encoders._rows(found, seconds)
        assert [(row.name, row.ratio) for row in rows[:2]] == [
            ("encoder_5s.time", 1.0),
            ("encoder_5s.peak_memory", 1.0),
        ]


def run_script(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / name), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
class TestLinear:
    @pytest.mark.parametrize("name", ["mdjpt", "emod", "art"])
    def test_an_epoch_has_as_many_steps_as_the_method_says(self, modules, monkeypatch, name):
        """Twice the people: twice the steps, where an epoch depends on the data."""
        linear = modules["linear"]
        monkeypatch.setattr(linear, "_STEPS_OF_MDJPT", 1)
        monkeypatch.setattr(linear, "_SUBJECTS", 2)
        counted = []
        monkeypatch.setattr(linear, "step", lambda *arguments: counted.append(arguments[2]))
        once, twice = (linear.run(linear._job(name, PARAMS, larger, 1)) for larger in (1, 2))
        assert twice.windows == 2 * once.windows
        assert twice.steps == (1 if name == "mdjpt" else pytest.approx(2 * once.steps, abs=1))
        assert len(counted) == once.steps + twice.steps + 2

    def test_rows(self, modules):
        epochs = [modules["linear"].Epoch(10, 5, seconds, 0) for seconds in (2.0, 4.0, 10.0)]
        rows = modules["linear"]._rows("art", "data sets", epochs)
        assert [(row.name, row.ours, row.rival, row.ratio) for row in rows] == [
            ("art.data_sets_2_over_1", 2.0, 2, 1.0),
            ("art.data_sets_4_over_1", 5.0, 4, 1.25),
        ]


def test_a_miniature_run_of_both(tmp_path):
    figures, picture = tmp_path / "figures.json", tmp_path / "encoders.svg"
    done = run_script(
        "pretrain.py", *("--size", "demo", "--method", "mdjpt", "--steps", "1", "--part", "20", "--json", str(figures))
    )
    assert done.returncode == 0, done.stderr
    for words in ("cores", "| ours", "| plain", "The whole pre-training: 128 steps of 120 windows"):
        assert words in done.stdout
    sizes = ("--seconds", "5", "--signal-s", "5", "--repeats", "1", "--json", str(figures), "--svg", str(picture))
    done = run_script("encoders.py", *sizes)
    assert done.returncode == 0, done.stderr
    names = [row["name"] for row in json.loads(figures.read_text(encoding="utf-8"))]
    assert names == [
        *("mdjpt.time", "mdjpt.peak_memory", "mdjpt.flop_rate"),
        *("encoder_5s.time", "encoder_5s.peak_memory"),
    ]
    assert picture.read_text(encoding="utf-8").startswith("<svg xmlns=")


@pytest.mark.parametrize(
    ("script", "options", "words"),
    [
        ("pretrain.py", ["--part", "0"], "expected at least 1"),
        ("pretrain.py", ["--method", "nothing"], "mdjpt"),
        ("linear.py", ["--rounds", "0"], "expected at least 1"),
        ("encoders.py", ["--seconds", "0.1"], "holds no patch of 32 samples"),
    ],
)
def test_wrong_options_are_one_line(script, options, words):
    done = run_script(script, *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr

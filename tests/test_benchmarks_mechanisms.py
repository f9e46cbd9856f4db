"""The study of the mechanisms: its interval holds what it says, its rule is the written one, a tiny run can go on."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from eegpipe import fingerprint, params
from eegpipe.models.settings import MdjptConfig, MdjptTraining
from eegpipe.predictions import EvaluateSettings
from eegpipe.protocols import SplitSettings

from import_graph import ROOT
from planted_segments import planted


@pytest.fixture(scope="module")
def modules():
    """The scripts' own modules: they are no package, so that they run from anywhere."""
    folder = str(ROOT / "benchmarks")
    sys.path.insert(0, folder)
    try:
        import mechanism_arms
        import mechanism_figure
        import mechanisms
        import paired

        yield SimpleNamespace(study=mechanisms, arms=mechanism_arms, figure=mechanism_figure, paired=paired)
    finally:
        sys.path.remove(folder)


@pytest.mark.parametrize(
    ("of_seed", "of_person", "rest"), [(1.0, 0.0, 0.1), (0.0, 1.0, 0.1), (1.0, 1.0, 1.0), (0.0, 0.0, 1.0)]
)
def test_the_interval_holds_the_truth_at_least_as_often_as_it_says(modules, of_seed, of_person, rest):
    rng = np.random.default_rng(0)
    times = 600
    hits = 0
    for _ in range(times):
        values = 0.3 + of_seed * rng.normal(size=(5, 1)) + of_person * rng.normal(size=(1, 8))
        found = modules.paired.interval(values + rest * rng.normal(size=(5, 8)))
        hits += found.low <= 0.3 <= found.high
    # 0.95 less two standard errors of 600 draws; one kind of spread alone gives Student's t itself
    assert hits / times > 0.93
    if rest < 1:
        assert hits / times < 0.99


def test_one_seed_or_one_person_has_no_interval(modules):
    for shape in ((1, 8), (5, 1)):
        assert modules.paired.interval(np.ones(shape)) == modules.paired.Estimate(1.0, None, None)
    assert modules.paired.interval(np.ones((2, 3))) == modules.paired.Estimate(1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("low", "high", "informative", "said"),
    [
        (0.001, 0.2, True, "holds"),
        (0.001, 0.01, True, "holds"),
        (-0.1, 0.019, True, "does not hold"),
        (-0.2, -0.1, True, "does not hold"),
        (-0.001, 0.03, True, "undecided"),
        (0.001, 0.2, False, "undecided"),
        (-0.01, 0.01, False, "undecided"),
        (None, None, True, "undecided"),
    ],
)
def test_the_rule(modules, low, high, informative, said):
    mean = 0.0 if low is None else (low + high) / 2
    assert modules.paired.verdict(modules.paired.Estimate(mean, low, high), informative=informative) == said


def test_every_comparison_differs_in_what_it_claims(modules):
    known = modules.study.arms(params.load(ROOT / "params.yaml"), 0.5)
    assert known["mdjpt"].encoder.training.steps_per_epoch == 8
    for one in modules.study.COMPARISONS:
        claimed, other = known[one.claimed], known[one.other]
        for same in ("split", "evaluation", "protocols"):
            assert getattr(claimed, same) == getattr(other, same)
        assert set(one.measures) <= {*claimed.protocols, "silhouette"}
        # The same arm but for one thing: the encoder's settings, or what stands on top of it.
        assert (claimed.encoder == other.encoder) != ((claimed.tuning, claimed.graph) == (other.tuning, other.graph))
        assert (claimed.encoder.sources, claimed.encoder.target) == (other.encoder.sources, other.encoder.target)
        assert claimed.encoder.target not in claimed.encoder.sources
    assert known["mdjpt_no_cda"].encoder.cda_lambda == 0
    assert known["mdjpt_no_isa"].encoder.model.isa_weight == 0
    assert known["emod_scratch"].tuning == replace(known["emod_tuned"].tuning, scratch=True)


def test_a_tiny_study_goes_on_where_it_stopped(modules, tmp_path, capsys, monkeypatch):
    sizes = {"subjects": 4, "clips": 6, "n_classes": 2, "channels": 4}
    stores = {
        name: replace(planted("class", dataset=name, seed=seed, **sizes), digest=name)
        for seed, name in enumerate(("one", "two", "target"))
    }
    model = MdjptConfig(
        patch_samples=16, patch_stride=8, hidden=4, heads=2, depth=1, ffn=4, features=2, latent_channels=4, filters=1,
        dilations=(1, 2), attention_patches=3, pool_patches=3,
    )  # fmt: skip
    training = MdjptTraining(epochs=1, steps_per_epoch=6)
    encoder = modules.arms.Pretraining(model, training, ("one", "two"), "target", 0.02)
    arm = modules.arms.Arm("on", encoder, SplitSettings(groups=2), EvaluateSettings(), silhouette=True)
    known = {"on": arm, "off": replace(arm, name="off", encoder=replace(encoder, cda_lambda=0.0))}
    wanted = [modules.study.Comparison("cda", "CDA above none", "on", "off", (*arm.protocols, "silhouette"))]

    def run(seeds):
        return modules.study.study(wanted, known, seeds, lambda _, name: stores[name], tmp_path)

    assert all(row.difference.low is None and row.verdict == "undecided" for row in run([1])[0])
    assert len(list(tmp_path.glob("*.json"))) == 2
    first, results = run([1, 2])
    assert capsys.readouterr().out.count("known") == 2
    assert [row.measure for row in first] == [*arm.protocols, "silhouette"]
    assert [(row.seeds, row.people) for row in first] == [(2, 4), (2, 4), (2, 12)]
    assert results["on"][1] != results["on"][2]
    assert results["on"][1].last["cda"] != results["off"][1].last["cda"]
    # Nothing is computed again, and what is read from the files says the same.
    monkeypatch.setattr(modules.arms, "pretrain", None)
    monkeypatch.setattr(modules.arms, "evaluate", None)
    assert run([1, 2]) == (first, results)
    # Other code of the training loop or of the folds: what is stored does not count.
    source = fingerprint._source_digest
    for changed in ("eegpipe.fit", "eegpipe.folds"):
        with monkeypatch.context() as patch:
            patch.setattr(fingerprint, "_source_digest", lambda name, of=changed: source(name) + "*" * (name == of))
            with pytest.raises(TypeError, match="not callable"):
                run([1])

    for row in first:
        people = list(results["on"][1].scores[row.measure])
        gains = [
            results["on"][seed].scores[row.measure][person] - results["off"][seed].scores[row.measure][person]
            for seed in (1, 2)
            for person in people
        ]
        # lower is better for the silhouette, and a difference is always in favour of the claim
        assert row.difference.mean == pytest.approx(np.mean(gains) * (-1 if row.measure == "silhouette" else 1))
    table = modules.study.summary(first)
    assert table.count("CDA above none") == 3
    drawing = modules.figure.forest(first, 0.02)
    assert drawing.startswith("<svg xmlns=")
    assert drawing.count(">CDA above none<") == 3


def test_data_sets_that_lie_apart_have_a_high_silhouette(modules):
    one, two = planted(dataset="one", subjects=2), planted(dataset="two", subjects=3)

    class Encoder:
        def __init__(self, apart: float) -> None:
            self.apart = apart

        def features(self, segments):
            noise = np.random.default_rng(len(segments)).normal(size=(len(segments), 3))
            return noise + (self.apart if segments.dataset == "two" else 0.0)

    mixed, apart = (modules.arms.silhouettes(Encoder(shift), [one, two]) for shift in (0.0, 50.0))
    assert list(mixed) == ["one/01", "one/02", "two/01", "two/02", "two/03"]
    assert max(map(abs, mixed.values())) < 0.1
    assert min(apart.values()) > 0.9

"""Networks of braindecode on raw windows. What needs the package is skipped where it is not installed."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
import yaml

from eegpipe.errors import UsageProblem
from eegpipe.evaluate import EvaluateSettings, evaluate
from eegpipe.models.baseline_settings import RAW_NETWORKS, BaselineSettings, RawSettings
from eegpipe.models.baselines_raw import RawNetwork, channel_statistics, missing
from eegpipe.params import load
from eegpipe.protocols import SplitSettings
from eegpipe.splits import make

from import_graph import ROOT
from planted_segments import planted

installed = pytest.mark.skipif(
    importlib.util.find_spec("braindecode") is None, reason="braindecode is not installed (eegpipe[baselines])"
)
BRIEF = RawSettings(epochs=1, least_steps=4, batch=16)


@pytest.fixture
def absent(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "braindecode" else find(name))


# -- without the package -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("absent")
@pytest.mark.parametrize("method", RAW_NETWORKS)
def test_its_absence_is_one_clear_line(method, tmp_path):
    segments = planted(per_trial=1)
    split = make("fewshot_subject", segments, seed=0)
    with pytest.raises(UsageProblem, match=r"needs the package braindecode.*pip install 'eegpipe\[baselines\]'"):
        evaluate(method, segments, split, tmp_path / "m.json", tmp_path / "p")
    assert not any(tmp_path.iterdir())


@pytest.mark.usefixtures("absent")
def test_its_absence_stops_the_first_stage_and_only_if_it_is_needed(tmp_path):
    values = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(values | {"baselines": ["prior", "deep4"]}), "utf-8")
    with pytest.raises(UsageProblem, match="baselines: The method 'deep4' needs the package braindecode"):
        load(file)
    file.write_text(yaml.safe_dump(values | {"baselines": ["prior", "de_lstm"]}), "utf-8")
    assert load(file).baselines == ["prior", "de_lstm"]
    assert missing("de_lstm") is None


def test_channels_are_scaled_by_the_training_part():
    eeg = np.random.default_rng(0).normal(3, 5, size=(600, 4, 50)).astype(np.float32)
    eeg[:, 3] = 7  # flat
    mean, deviation = channel_statistics(eeg)
    np.testing.assert_allclose(mean, eeg.mean(axis=(0, 2), dtype=np.float64), rtol=1e-9)
    np.testing.assert_allclose(deviation[:3], eeg[:, :3].std(axis=(0, 2), dtype=np.float64), rtol=1e-9)
    assert deviation[3] == 1e-3


# -- with it -----------------------------------------------------------------------------------------------------------


@installed
@pytest.mark.parametrize("method", RAW_NETWORKS)
@pytest.mark.parametrize(("channels", "seconds"), [(3, 4.0), (8, 6.0)])
def test_each_network_takes_any_montage_and_length(method, channels, seconds):
    segments = planted(subjects=2, clips=3, per_trial=2, channels=channels, seconds=seconds)
    network = RawNetwork(method, BRIEF)
    fitted = network.fit(segments, segments.label, 3, None, 0)
    probabilities = fitted.probabilities(segments)
    assert probabilities.shape == (12, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert np.isfinite(fitted.curve).all() if fitted.curve[0][1] is not None else np.isfinite(fitted.curve[0][0])
    assert network.described()["raw"]["network"] == type(fitted.network).__name__


@installed
@pytest.mark.parametrize("method", ["eegnet", "shallow", "eegconformer"])
def test_windows_that_are_too_short_are_refused_before_any_work(method, tmp_path):
    segments = planted(per_trial=1, seconds=0.2)
    split = make("fewshot_subject", segments, seed=0)
    with pytest.raises(UsageProblem, match=r"cannot take windows of 20 samples \(0\.2 s at 100 Hz\) of 6 channels"):
        evaluate(method, segments, split, tmp_path / "m.json", tmp_path / "p")
    assert not any(tmp_path.iterdir())


@installed
def test_a_broken_installation_is_one_clear_line(monkeypatch):
    def broken(name):
        raise OSError(f"{name}: cannot open shared object file\nmore")

    monkeypatch.setattr("importlib.import_module", broken)
    with pytest.raises(UsageProblem, match="cannot open shared object file") as refusal:
        RawNetwork("eegnet", BRIEF).check(planted(per_trial=1))
    assert len(str(refusal.value).splitlines()) == 1


@installed
def test_a_planted_effect_is_found_and_the_same_bytes_are_written_twice(tmp_path):
    # An effect of amplitude in a band is what the shallow network is made for.
    segments = planted("class", subjects=6)
    split = make("fewshot_subject_stimulus", segments, settings=SplitSettings(groups=1, clip_folds=2))
    own = BaselineSettings(raw=RawSettings(epochs=20, least_steps=60, batch=32))
    quick = EvaluateSettings(resamples=50)
    threads = torch.get_num_threads()
    for name in ("a", "b"):
        torch.set_num_threads(threads + (name == "b"))
        try:
            content = evaluate(
                "shallow", segments, split, tmp_path / name / "m.json", tmp_path / name, settings=quick, baseline=own
            )
        finally:
            torch.set_num_threads(threads)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    entry = content["protocols"]["fewshot_subject_stimulus"]
    assert entry["accuracy"]["value"] > 0.6
    assert entry["leak_free"]
    assert entry["transductive"] == {}
    assert content["settings"]["raw"]["epochs"] == 20
    assert content["hashes"]["model"] is None


@installed
def test_nothing_of_the_test_part_reaches_the_training_or_another_answer():
    segments = planted("class", subjects=4, clips=6)
    train, tested = segments.subject < 2, segments.subject >= 2
    first = segments.select(tested)
    loud = segments.select(tested)
    loud.eeg = loud.eeg.copy()
    loud.eeg[-1] *= 5
    fitted = RawNetwork("eegnet", BRIEF).fit(segments.select(train), segments.label[train], 3, None, 0)
    before, after = fitted.probabilities(first), fitted.probabilities(loud)
    np.testing.assert_array_equal(before[:-1], after[:-1])
    assert (before[-1] != after[-1]).any()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    again = RawNetwork("eegnet", BRIEF).fit(segments.select(train), segments.label[train], 3, None, 0)
    assert torch.rand(1) == expected
    np.testing.assert_array_equal(again.probabilities(first), before)


@installed
def test_a_validation_subject_picks_the_epoch():
    segments = planted("class", subjects=4, clips=6)
    parts = [segments.select(segments.subject == one) for one in (0, 1)]
    settings = RawSettings(epochs=12, least_steps=1, batch=8)
    fitted = RawNetwork("shallow", settings).fit(parts[0], parts[0].label, 3, (parts[1], parts[1].label), 0)
    accuracies = [accuracy for _, accuracy in fitted.curve]
    assert len(accuracies) == 12
    assert fitted.epoch == 1 + accuracies.index(max(accuracies))
    reached = (fitted.probabilities(parts[1]).argmax(axis=1) == parts[1].label).mean()
    assert reached == pytest.approx(max(accuracies))

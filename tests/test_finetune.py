"""A pre-trained folder, fine-tuned and scored: the two methods that have it, and refusals of all else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.evaluate import EvaluateSettings, evaluate_target
from eegpipe.finetune import fine_tuner
from eegpipe.loader import Segments, load
from eegpipe.models.art_settings import DEMO, DEMO_GAT, ArtTraining, FineTuneSettings
from eegpipe.models.emod_settings import EmodConfig, EmodFineTuning, EmodTraining
from eegpipe.models.settings import MdjptConfig, MdjptTraining
from eegpipe.protocols import SplitSettings
from eegpipe.splits import Split, write_all
from eegpipe.store import StoreHeader, TrialSegments, write_store
from eegpipe.train import load_pretrained, pretrain

from planted_segments import planted
from stimulus_locked import segments

EMOD = EmodConfig(hidden=8, heads=2, norm_groups=2, depth=1, ffn=8, projection=8, tokens_per_s=2, per_region=1)
ART = replace(DEMO, batch_items=64)
TUNING = {
    "emod": EmodFineTuning(epochs=40, batch=16, head_rate=2e-2, encoder_rate=5e-3),
    "art": FineTuneSettings(epochs=40, batch=16, head_rate=3e-3, encoder_rate=0.0),
}


def encoder(name: str, out) -> None:
    """EMOD's with random weights, which fine-tuning can train; ART's, which stays as it is, trained for 80 steps."""
    source = rated(planted("class", dataset="other", subjects=4, clips=12, per_trial=6, seed=1))
    if name == "emod":
        pretrain([source], out, config=EMOD, settings=EmodTraining(epochs=0), seed=0)
    else:
        training = ArtTraining(epochs=4, steps_per_epoch=20, learning_rate=2e-3, schedule="constant")
        pretrain([source], out, config=ART, settings=training, seed=0)


def rated(data: Segments) -> Segments:
    valence = np.linspace(-3, 3, len(data), dtype=np.float32)
    return replace(data, valence=valence, arousal=np.zeros_like(valence))


@pytest.fixture(scope="module", params=sorted(TUNING))
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(name, tmp_path_factory):
    out = tmp_path_factory.mktemp(name) / "model"
    encoder(name, out)
    return out


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """A store whose classes differ in the power of five rhythms, and its splits."""
    out = tmp_path_factory.mktemp("target")
    data = planted("class", subjects=4, clips=9, per_trial=4)
    trials = []
    for subject in range(4):
        for clip in range(9):
            mine = np.flatnonzero((data.subject == subject) & (data.stimulus == 1000 + clip))
            trials.append(
                TrialSegments(
                    eeg=data.eeg[mine],
                    channels=data.channels,
                    subject=data.subject_names[subject],
                    session="1",
                    trial=clip + 1,
                    stimulus=data.stimulus_names[1000 + clip],
                    stimulus_time=data.stimulus_time[mine],
                    recording_time=data.recording_time[mine],
                    label=data.labels[data.label[mine[0]]],
                )
            )
    write_store(out / "demo.zarr", trials, StoreHeader("demo", "test", 100.0, data.labels))
    write_all(load(out / "demo.zarr"), out / "splits", settings=SplitSettings(groups=1))
    return out


def scored(name, folder, target, out, **options):
    settings = EvaluateSettings(resamples=50)
    arguments = {"finetune": TUNING[name], "graph": DEMO_GAT if name == "art" else None} | options
    files = (target / "demo.zarr", target / "splits", out / "m.json", out)
    return evaluate_target(f"{name}_finetuned", *files, model=folder, settings=settings, **arguments)


def test_learns_what_was_planted_and_says_what_it_used(name, folder, target, tmp_path):
    content = scored(name, folder, target, tmp_path)
    assert list(content["protocols"]) == ["fewshot_subject_stimulus", "fewshot_subject"]
    entry = content["protocols"]["fewshot_subject"]
    assert entry["balanced_accuracy"]["value"] > 0.45  # chance: 1/3
    assert list(entry["transductive"]) == (["encoder_batch"] if name == "art" else [])
    assert content["protocols"]["fewshot_subject_stimulus"]["leak_free"]
    assert content["settings"]["finetune"]["epochs"] == 40
    assert ("graph" in content["settings"]) == (name == "art")
    again = scored(name, folder, target, tmp_path / "again")
    assert again == content
    for table in ("attention_edges.csv", "attention_degree.csv"):
        text = (tmp_path / table).read_text()
        assert text == (tmp_path / "again" / table).read_text()
        emotions = {line.split(",")[0] for line in text.splitlines()[1:]}
        assert emotions == ({"calm", "fear", "joy"} if name == "art" else set())  # EMOD has no graph


def test_scratch_forgets_what_was_pretrained(name, folder, target):
    data = load(target / "demo.zarr")
    data = data.select(data.subject < 2)
    other = load_pretrained(folder)
    with torch.no_grad():
        for parameter in other.model.parameters():
            parameter.mul_(0.5)

    def answers(encoder, *, scratch, seed=0):
        tuner = fine_tuner(encoder, settings=replace(TUNING[name], epochs=1, scratch=scratch), graph=DEMO_GAT)
        return tuner.fit(data, data.label, 3, None, seed).probabilities(data)

    known = load_pretrained(folder)
    fresh = answers(known, scratch=True)
    np.testing.assert_array_equal(answers(other, scratch=True), fresh)
    assert np.abs(answers(known, scratch=True, seed=1) - fresh).max() > 1e-4
    assert np.abs(answers(known, scratch=False) - fresh).max() > 1e-4
    assert np.abs(answers(known, scratch=False) - answers(other, scratch=False)).max() > 1e-4


def test_is_trained_on_each_subject_alone_where_the_protocol_is_within_subjects(name, folder, target, tmp_path):
    wanted = ["within_trial_blocked", "art_within"]
    write_all(load(target / "demo.zarr"), tmp_path / "splits", protocols=wanted)
    content = evaluate_target(
        f"{name}_finetuned",
        target / "demo.zarr",
        tmp_path / "splits",
        tmp_path / "m.json",
        tmp_path,
        model=folder,
        finetune=replace(TUNING[name], epochs=2),
        graph=DEMO_GAT if name == "art" else None,
        settings=EvaluateSettings(resamples=0),
    )
    assert list(content["protocols"]) == wanted
    blocked, drawn = (content["protocols"][protocol] for protocol in wanted)
    assert (blocked["leak_free"], drawn["leak_free"]) == (True, False)
    assert (blocked["n_folds"], drawn["n_folds"]) == (4 * 3, 4)
    assert blocked["n_segments"] == 4 * 9 * 4
    assert drawn["n_segments"] == 4 * 3 * 2  # of 12 windows of a class a fifth, rounded


def test_settings_of_another_method(name, folder):
    other = TUNING["art" if name == "emod" else "emod"]
    with pytest.raises(UsageProblem, match=f"holds no settings of fine-tuning '{name}'"):
        fine_tuner(load_pretrained(folder), settings=other)


def test_a_method_without_fine_tuning(tmp_path):
    config = MdjptConfig(hidden=8, heads=2, depth=1, ffn=8, features=4, latent_channels=4, filters=1, dilations=(1,))
    pretrain([segments()], tmp_path / "m", config=config, settings=MdjptTraining(epochs=0), seed=0)
    with pytest.raises(UsageProblem, match="'mdjpt' has no fine-tuning of its own"):
        fine_tuner(load_pretrained(tmp_path / "m"))


def test_a_split_of_a_windowing_with_more_trials_is_refused(target):
    """A trial that is shorter than this windowing's windows is in the split and not in the store."""
    store = load(target / "demo.zarr")
    data = store.select(store.trial != 3)
    split = Split.load(target / "splits" / "fewshot_subject.json")
    with pytest.raises(DataProblem, match="longer than some trials"):
        split.check(data)

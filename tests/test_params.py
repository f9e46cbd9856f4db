"""params.yaml: complete, closed, and clear about what is wrong."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml

from eegpipe.clean.settings import CleanSettings
from eegpipe.errors import UsageProblem
from eegpipe.models.art_settings import (
    DEMO,
    DEMO_FINE_TUNE,
    DEMO_GAT,
    ArtConfig,
    ArtTraining,
    FineTuneSettings,
    GatConfig,
)
from eegpipe.models.emod_settings import EmodConfig, EmodFineTuning, EmodTraining
from eegpipe.models.settings import MdjptConfig, MdjptTraining
from eegpipe.params import ArtParams, EmodParams, MdjptParams, Params, load
from eegpipe.protocols import SplitSettings
from eegpipe.segment import WINDOWINGS

from import_graph import ROOT

COMMITTED = ROOT / "params.yaml"


def edited(tmp_path: Path, **changes: Any) -> Path:
    """A copy of the committed file with ``{"a.b": value}`` changed."""
    values = yaml.safe_load(COMMITTED.read_text(encoding="utf-8"))
    for key, value in changes.items():
        *path, last = key.split(".")
        place = values
        for part in path:
            place = place[part]
        place[last] = value
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    return file


def missing_settings(kind: Any, values: Any, key: str = "") -> list[str]:
    """Every setting that the code knows and the file leaves to its default."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        names = [field.name for field in dataclasses.fields(kind)]
        below = [(hints[name], values[name], f"{key}.{name}") for name in names if name in values]
        absent = [f"{key}.{name}" for name in names if name not in values]
    elif get_origin(kind) is dict:
        below, absent = [(get_args(kind)[1], value, f"{key}.{name}") for name, value in values.items()], []
    else:
        return []
    return absent + [name for place in below for name in missing_settings(*place)]


def test_the_committed_file_is_right_and_names_every_setting():
    load(COMMITTED)
    # A default that only stands in the code could change without DVC noticing.
    assert missing_settings(Params, yaml.safe_load(COMMITTED.read_text(encoding="utf-8"))) == []


def test_the_commands_without_a_file_do_what_the_file_says():
    params = load(COMMITTED)
    assert params.clean == CleanSettings()
    assert {name: sizes["paper"] for name, sizes in params.windowing.items()} == WINDOWINGS
    assert params.split == SplitSettings()
    assert params.mdjpt["paper"] == MdjptParams(MdjptConfig(), MdjptTraining())
    assert params.emod["paper"] == EmodParams(EmodConfig(), EmodTraining(), EmodFineTuning())
    assert params.art["paper"] == ArtParams(ArtConfig(), ArtTraining(), GatConfig(), FineTuneSettings())
    # ART's own tests take the demo from the code.
    demo = params.art["demo"]
    assert (demo.model, demo.graph) == (DEMO, DEMO_GAT)
    # ... but for the number of steps of fine-tuning, which is one of some fifty in the pipeline.
    assert demo.finetune == dataclasses.replace(DEMO_FINE_TUNE, epochs=10, batch=32)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("cda_lambda", "abc", ["cda_lambda", '"abc"', "number"]),
        ("cda_lambda", -1, ["cda_lambda", "-1", "greater than or equal to 0"]),
        ("seed", 1.5, ["seed", "1.5", "integer"]),
        ("size", "papr", ["size", "'demo' or 'paper'"]),
        ("split.protocols", ["losso"], ["split.protocols", "Did you mean 'loso'?"]),
        ("split.protocols", [], ["split.protocols", "at least 1"]),
        ("cda_lamda", 0.1, ["cda_lamda", "Did you mean 'cda_lambda'?"]),
        ("clean.ica.tolerence", 0.1, ["clean.ica.tolerence", "Did you mean 'tolerance'?"]),
        ("clean.filters.order", 99, ["clean.filters.order", "less than or equal to 8"]),
        ("simulate.seed.subject", 2, ["simulate.seed.subject", "Did you mean 'subjects'?"]),
        ("targets", ["sed"], ["targets", "sed", "Did you mean 'seed'?"]),
        ("raw", {"sed": "x"}, ["raw", "Did you mean 'seed'?"]),
        ("sources", ["seed"], ["sources", "nothing but the target 'seed'"]),
        ("sources", ["seed", "seed_v"], ["sources: unknown name 'seed_v'"]),
        ("mixes.art.demo", ["seed", "daep"], ["mixes.art.demo: unknown name 'daep'", "Did you mean 'deap'?"]),
        ("mixes.art.demo", ["seed"], ["mixes.art.demo: nothing but the target 'seed'"]),
        ("mixes", {}, ["'mixes.mdjpt.demo' is missing"]),
        ("mixes.artt", {}, ["mixes", "'mdjpt', 'emod' or 'art'"]),
        ("pretrain_on_target", True, ["EMOD's pre-training reads valence and arousal", "so seed cannot"]),
        ("windowing.mdjpt.demo.band_hz", [47.0, 0.5], ["band_hz"]),
        ("windowing.emod.paper.of_dataset", {"seed_v": [1.0]}, ["windowing.emod.paper.of_dataset.seed_v"]),
        ("windowing.emod.paper.of_dataset", {"sed_v": [1.0, 1.0]}, ["of_dataset", "Did you mean 'seed_v'?"]),
        ("methods", ["mdjpt", "emodd"], ["methods", "'emod' or 'art'"]),
        ("fine_tuned", ["mdjpt"], ["fine_tuned", "'emod' or 'art'"]),
        ("across", ["mdjptt"], ["across", "'mdjpt'"]),
        ("across_from", ["daep"], ["across_from: unknown name 'daep'", "Did you mean 'deap'?"]),
        ("split.target_of", {"dremer": "valence"}, ["split.target_of: unknown name", "Did you mean 'dreamer'?"]),
        ("windowings", ["mdjpt"], ["methods: unknown name 'emod'", "methods: unknown name 'art'"]),
        ("emod.demo.model.hidden", 15, ["emod", "hidden (15)", "heads"]),
        ("art.paper.model.variant", "released", ["art", "no code of this method is public"]),
        ("art.demo.graph.hiden", 15, ["art.demo.graph.hiden", "Did you mean 'hidden'?"]),
        ("emod.demo.training.most_stimuli", 3, ["emod.demo.training.most_stimuli", "unknown setting"]),
    ],
)
def test_a_wrong_setting_is_refused_by_name(tmp_path, key, value, said):
    with pytest.raises(UsageProblem) as refusal:
        load(edited(tmp_path, **{key: value}))
    assert all(words in str(refusal.value) for words in said), str(refusal.value)


def test_the_papers_mixes_need_their_data_sets(tmp_path):
    """One line that says what to add, whatever the number of methods; `sources` is the way around it."""
    with pytest.raises(UsageProblem) as refusal:
        load(edited(tmp_path, size="paper"))
    (line,) = str(refusal.value).splitlines()
    assert "raw has no amigos, mahnob_hci, mdme, mped, seed_iv, seed_v, seed_vii" in line
    assert "mixes.mdjpt.paper, mixes.emod.paper name" in line
    load(edited(tmp_path, size="paper", sources=["seed", "deap", "faced"]))
    load(edited(tmp_path, size="paper", methods=["art"], fine_tuned=["art"], windowings=["art"]))


def test_a_target_may_be_learned_from_where_no_labels_are_read(tmp_path):
    within = {"sources": ["dreamer"], "targets": ["dreamer"], "methods": ["art"], "fine_tuned": []}
    load(edited(tmp_path, pretrain_on_target=True, **within))
    with pytest.raises(UsageProblem, match="nothing but the target 'dreamer'"):
        load(edited(tmp_path, pretrain_on_target=False, **within))


def test_who_learns_from_other_data_sets_needs_some_and_has_not_seen_the_target(tmp_path):
    load(edited(tmp_path, across=["de", "mdjpt"], across_from=["deap"]))
    with pytest.raises(UsageProblem, match="across_from: nothing but the target 'seed'"):
        load(edited(tmp_path, across=["de"], across_from=["seed"]))
    with pytest.raises(UsageProblem, match="across: unknown name 'emod'"):
        load(edited(tmp_path, across=["emod"], methods=["mdjpt", "art"], windowings=["mdjpt", "art"]))
    within = {"sources": ["seed", "deap"], "methods": ["art"], "fine_tuned": [], "pretrain_on_target": True}
    load(edited(tmp_path, across=["de"], **within))
    with pytest.raises(UsageProblem, match="cannot be tested on it as on a new data set"):
        load(edited(tmp_path, across=["art"], **within))


def test_every_fault_is_named_at_once(tmp_path):
    with pytest.raises(UsageProblem) as refusal:
        load(edited(tmp_path, cda_lambda="abc", seed=-3))
    assert len(str(refusal.value).splitlines()) == 2


def test_the_files_own_faults(tmp_path):
    with pytest.raises(UsageProblem, match="cannot be read"):
        load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("seed: [1", encoding="utf-8")
    with pytest.raises(UsageProblem, match="not valid YAML"):
        load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("", encoding="utf-8")
    with pytest.raises(UsageProblem, match="the whole file"):
        load(tmp_path / "params.yaml")


def test_reading_the_settings_loads_nothing_heavy():
    """Every stage reads them first, and most stages need none of these."""
    heavy = "{'torch', 'scipy', 'mne', 'xarray', 'pandas', 'dask'}"
    script = f"import sys, eegpipe.params; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

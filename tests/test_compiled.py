"""Layers by torch.compile: near what they are without, with the same dropout; and without a compiler, without."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_fit import objective_of
from test_methods import METHODS, TRAINING
from torch._dynamo.utils import counters

from eegpipe.fit import fit


def trained(name, tmp_path, *, compiled: bool):
    settings = replace(TRAINING[name], epochs=1, steps_per_epoch=2, compile=compiled)
    objective = objective_of(name)
    log = fit(objective, settings, title="", checkpoint=tmp_path / f"{compiled}", identity="")
    return log[0], objective.model.state_dict()


@pytest.mark.parametrize("name", sorted(METHODS))
def test_without_a_compiler(name, tmp_path, monkeypatch, capsys):
    """The same bytes as without the setting, and one line that says why."""
    log, weights = trained(name, tmp_path, compiled=False)

    def refused(*_, **__):
        raise RuntimeError("no C++ compiler found\nand more")

    monkeypatch.setattr(torch, "compile", refused)
    capsys.readouterr()
    again, same = trained(name, tmp_path, compiled=True)
    said = capsys.readouterr().err
    assert said == "compile: not possible here (RuntimeError: no C++ compiler found); training goes on without.\n"
    assert again == log
    assert all(torch.equal(weights[key], same[key]) for key in weights)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++, which torch.compile needs on a CPU")
@pytest.mark.parametrize("name", ["art", "mdjpt"])  # EMOD's takes two minutes
def test_compiled(name, tmp_path):
    """Rounding apart the same, dropout included."""
    log, weights = trained(name, tmp_path, compiled=False)
    counters["stats"].clear()
    again, near = trained(name, tmp_path, compiled=True)
    assert counters["stats"]["unique_graphs"] > 1  # the first is the trial
    assert again["loss"] == pytest.approx(log["loss"], rel=1e-4)
    assert list(near) == list(weights)
    for key in weights:
        # Adam's first steps have the size of the learning rate, whatever the size of the gradient.
        np.testing.assert_allclose(near[key], weights[key], atol=3 * TRAINING[name].learning_rate)

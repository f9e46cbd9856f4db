"""The settings `paper` in params.yaml: the networks at the size, with the shapes, that the documentation states."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from eegpipe.channels import schema
from eegpipe.models.art import Art
from eegpipe.models.emod import Emod
from eegpipe.models.gat import ChannelClassifier
from eegpipe.models.mdjpt import Mdjpt
from eegpipe.params import load

from import_graph import ROOT

PARAMS = load(ROOT / "params.yaml")
SEED = tuple(name for name, (row, _) in schema().items() if row < 62)


def count(*parts: nn.Module) -> int:
    return sum(parameter.numel() for part in parts for parameter in part.parameters())


def test_mdjpt():
    """60 channels, 5 s at 125 Hz: 99 patches, 512 maps, an embedding of 1024."""
    windowing, settings = PARAMS.windowing["mdjpt"]["paper"], PARAMS.mdjpt["paper"].model
    assert (windowing.rate_hz, windowing.window_s) == (125.0, 5.0)
    model = Mdjpt(settings)
    assert count(model) == 752_608
    assert count(Mdjpt(replace(settings, variant="released"))) == 754_112
    with torch.no_grad():
        x_BCT = torch.randn(2, 60, 625)
        assert model.embed(x_BCT).shape == (2, 60, 32, 99)
        output = model(x_BCT)
    assert output.latent.shape == (2, 32, 64, 99)
    assert output.encoded.shape == (2, 512, 99)
    assert output.z.shape == (2, 1024)


def test_mdjpt_ablation():
    """Softmax attention in the place of MLLA: the same shapes from fewer parameters."""
    model = Mdjpt(replace(PARAMS.mdjpt["paper"].model, encoder="transformer"))
    assert count(model) == 650_976
    with torch.no_grad():
        output = model(torch.randn(2, 60, 625))
    assert (output.latent.shape, output.z.shape) == ((2, 32, 64, 99), (2, 1024))


@pytest.mark.parametrize(("channels", "rate_hz"), [(62, 200.0), (32, 128.0)])
def test_emod(channels, rate_hz):
    """10 s: 50 tokens a channel, 128 features."""
    windowing, settings = PARAMS.windowing["emod"]["paper"], PARAMS.emod["paper"].model
    assert (windowing.rate_hz, windowing.window_s) == (200.0, 10.0)
    model = Emod(settings).eval()
    head = count(model.channel_pool, model.time_pool, model.project_in, model.project_norm, model.project_out)
    assert (count(model), count(model) - head) == (977_866, 845_384)
    samples = round(windowing.window_s * rate_hz)
    assert settings.tokens(samples, rate_hz) == 50
    with torch.no_grad():
        tokens_BCMD = model.encode(torch.randn(1, channels, samples), torch.arange(channels), 50)
        assert tokens_BCMD.shape == (1, channels, 50, 128)
        pooled_BD = model.pool(tokens_BCMD)
        assert pooled_BD.shape == (1, 128)
        assert model.project(pooled_BD).shape == (1, 128)


@pytest.mark.parametrize("rate_hz", [200.0, 128.0])
def test_art(rate_hz):
    """2 s of single channels at any rate: 16 tokens, 128 features a channel; the classifier of three classes."""
    windowing, sizes = PARAMS.windowing["art"]["paper"], PARAMS.art["paper"]
    assert (windowing.rate_hz, windowing.window_s) == (None, 2.0)
    model = Art(replace(sizes.model, channels=SEED).resolved({})).eval()
    assert count(model) == 435_008
    classifier = ChannelClassifier(sizes.graph, SEED, width=sizes.model.width, n_classes=3).eval()
    assert count(classifier) == 1_220_099
    x_NT, mixture_NV = torch.randn(62, round(2 * rate_hz)), torch.eye(62)
    with torch.no_grad():
        assert model.embed(x_NT, rate_hz, mixture_NV).shape == (62, 16, 128)
        features_ND = model(x_NT, rate_hz, mixture_NV)
        assert features_ND.shape == (62, 128)
        assert classifier(features_ND.unsqueeze(0)).shape == (1, 3)

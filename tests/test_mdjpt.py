"""mdJPT against reference arrays, against numbers worked by hand, and against what the paper says."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from eegpipe import losses
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.models.mdjpt import Mdjpt, MdjptConfig, MllaBlock, linear_attention, stratified_norm
from eegpipe.models.montage import MONTAGE, amplitude, channel_projection

SMALL = MdjptConfig(
    hidden=32, heads=4, depth=2, ffn=256, features=8, latent_channels=12, attention_patches=5, pool_patches=3
)
CLOSE = {"atol": 1e-5, "rtol": 1e-4}

# Reference name -> ours, inside a block. Queries, keys and values are one layer here.
BLOCK = {
    "position_before": "cpe1",
    "norm": "norm1",
    "gate": "act_proj",
    "entry": "in_proj",
    "entry_mix": "dwc",
    "attention_out": "self_attn.to_out.0",
    "exit": "out_proj",
    "position_after": "cpe2",
    "ffn_norm": "norm2",
    "ffn.0": "ff.0",
    "ffn.2": "ff.3",
}
REST = {
    "read_in": "mlla.{}.encoder.read_in",
    "read_out": "mlla.{}.encoder.read_out",
    "space": "uni_mlp.{}.fc",
    "attention_conv": "cnn_encoder.{}.att_conv",
    "attention_mix": "cnn_encoder.{}.att_pointConv",
    "smoothers.0": "cnn_encoder.{}.timeConv1",
    "smoothers.1": "cnn_encoder.{}.timeConv2",
    "idle_time_conv": "cnn_encoder.{}.timeConv",
}


@cache
def oracle():
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("EEGPIPE_ORACLE", root.parent / "shared" / "methods" / "oracle"))
    if not (folder / "mdjpt_small.npz").is_file():
        pytest.skip("no reference arrays: set EEGPIPE_ORACLE to the folder that holds mdjpt_small.npz")
    return np.load(folder / "mdjpt_small.npz")


def reference_names(ours: str, kind: str) -> list[str]:
    """The keys of a parameter in the reference file; ``kind``: w (weight) or grad."""
    stem, leaf = ours.rsplit(".", 1)
    middle = {"w": ".w", "grad": ""}[kind]
    prefix = "small." if kind == "w" else "small.grad."
    if stem.startswith("blocks."):
        _, index, inner = stem.split(".", 2)
        block = f"{prefix}mlla{middle}.encoder.blocks.{index}"
        if inner == "query_key_value":
            return [f"{block}.self_attn.W_{letter}.{leaf}" for letter in "QKV"]
        return [f"{block}.{BLOCK[inner]}.{leaf}"]
    if stem == "dilated":
        return [f"{prefix}cnn_encoder{middle}.msConv{number}.{leaf}" for number in (1, 2, 3, 4)]
    return [prefix + REST[stem].replace(".{}", middle) + "." + leaf]


def loaded(variant: str, **switches) -> Mdjpt:
    """The small network with the reference weights."""
    reference = oracle()
    model = Mdjpt(replace(SMALL, variant=variant, **switches), channels=10)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = np.concatenate([reference[key] for key in reference_names(name, "w")])
            parameter.copy_(torch.from_numpy(values).reshape(parameter.shape))
    return model


def array(name: str) -> torch.Tensor:
    return torch.from_numpy(oracle()[name])


def close(ours: torch.Tensor, name: str, **tolerance) -> None:
    torch.testing.assert_close(ours.detach(), array(name), check_stride=False, **(CLOSE | tolerance))


@pytest.fixture(scope="module")
def x_small() -> torch.Tensor:
    return array("small.in.x").squeeze(1)


def rows(h_BCFP: torch.Tensor) -> torch.Tensor:
    return h_BCFP.transpose(2, 3).flatten(0, 1)


class TestReferenceArrays:
    def test_released_stages(self, x_small):
        model = loaded("released")
        patches = x_small.unfold(-1, 32, 6).flatten(0, 1)
        close(patches, "small.out.patches")
        h = model.read_in(patches)
        close(h, "small.out.read_in")
        for index, block in enumerate(model.blocks):
            h = block(h)
            close(h, f"small.out.block{index}_released")
        close(rows(model.embed(x_small)), "small.out.read_out_released")
        normed = stratified_norm(model.embed(x_small), 2)
        close(normed.transpose(2, 3), "small.out.mlla")
        latent = model.project_space(normed)
        close(latent, "small.out.fea_cov")
        initial = stratified_norm(latent, 2)
        close(initial, "small.out.cnn_strat_initial")
        e = model.dilated(initial)
        close(e.unsqueeze(2), "small.out.cnn_msconv")
        close(model.attention_weights(e).unsqueeze(2), "small.out.cnn_att_w")
        close(model.convolve(initial).unsqueeze(2), "small.out.encoder_fea")
        output = model(x_small)
        close(output.latent, "small.out.fea_cov")
        close(output.encoded.unsqueeze(2), "small.out.encoder_fea")
        close(output.z, "small.out.z")

    def test_described_stages(self, x_small):
        model = loaded("described")
        h = array("small.out.read_in")
        for index, block in enumerate(model.blocks):
            h = block(h)
            close(h, f"small.out.block{index}_src2_no_norm2")
        close(rows(model.embed(x_small)), "small.out.read_out_src2_no_norm2")
        close(model.blocks[0].attention(array("small.out.block0_released")), "small.out.block0_self_attn")

    def test_second_norm(self):
        model = loaded("described", norm_before_ffn=True)
        close(model.blocks[0](array("small.out.read_in")), "small.out.block0_src2_with_norm2")

    def test_losses_and_gradients(self, x_small):
        reference = oracle()
        model = loaded("released")
        output = model(x_small)
        isa = losses.nt_xent(output.z, 0.07)
        cda = losses.cda([output.latent], kind="scrambled", diagonal="zero")
        close(isa, "small.out.simclr_loss")
        close(cda, "small.out.cda_loss_one_dataset")
        total = isa + 0.02 * cda
        close(total, "small.out.total_loss_lambda0.02")
        total.backward()
        stored = {key for key in reference.files if key.startswith("small.grad.")}
        assert len(stored) == 38
        for name, parameter in model.named_parameters():
            keys = reference_names(name, "grad")
            if stored.issuperset(keys):
                expected = torch.from_numpy(np.concatenate([reference[key] for key in keys]))
                # Rounding grows on the way back: 1e-4 of the largest entry. The floor is for the bias of read_out, a
                # constant before a normalisation, whose gradient is nothing but rounding.
                allowed = 1e-4 * max(float(expected.abs().max()), 1.0)
                torch.testing.assert_close(parameter.grad.reshape(expected.shape), expected, atol=allowed, rtol=1e-4)
                stored.difference_update(keys)
            else:
                assert parameter.grad is None, name
        assert not stored

    def test_stratified_norm(self):
        close(stratified_norm(array("strat.in.even"), 2), "strat.out.even_n3")
        close(stratified_norm(array("strat.in.odd"), 2), "strat.out.odd_n3")

    def test_linear_attention(self):
        q, k, v = (array(f"linattn.in.{letter}").transpose(1, 2).flatten(2) for letter in "qkv")
        close(linear_attention(q, k, v, 4).unflatten(2, (4, 8)).transpose(1, 2), "linattn.out")

"""mdJPT against reference arrays, against numbers worked by hand, and against what the paper says."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from eegpipe import losses
from eegpipe.channels import schema
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.models.mdjpt import (
    DepthwisePatches,
    DilatedSpace,
    Mdjpt,
    MdjptConfig,
    extract_features,
    linear_attention,
    stratified_norm,
)
from eegpipe.models.mdjpt_transformer import positions, transformer_block
from eegpipe.models.montage import MONTAGE, MontageWindows, amplitude, channel_projection

import reference_arrays
from stimulus_locked import TEN, segments

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


oracle = partial(reference_arrays.oracle, "mdjpt_small.npz")


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
        stored = {key for key in reference if key.startswith("small.grad.")}
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
        close(linear_attention(torch.cat([q, k], dim=-1), v, 4).unflatten(2, (4, 8)).transpose(1, 2), "linattn.out")


class TestSizes:
    """At the paper's sizes, for 5 s at 125 Hz."""

    def test_shapes(self):
        config = MdjptConfig()
        assert (config.patches(625), config.maps, config.embedding(625)) == (99, 512, 1024)
        model = Mdjpt(config)
        with torch.no_grad():
            output = model(torch.randn(2, 60, 625))
        assert output.latent.shape == (2, 32, 64, 99)
        assert output.encoded.shape == (2, 512, 99)
        assert output.z.shape == (2, 1024)
        torch.testing.assert_close(output.z.norm(dim=1), torch.ones(2))

    def test_parameters(self):
        released = Mdjpt(MdjptConfig(variant="released"))
        # The public code holds two constants more, which scale nothing.
        assert count(released.parameters()) == 754_112
        embed = [released.read_in, released.blocks, released.read_out]
        assert sum(count(module.parameters()) for module in embed) == 375_456
        assert count(released.space.parameters()) == 3_904
        described = Mdjpt(MdjptConfig())
        assert count(described.parameters()) == 754_112 - 992 - 2 * 256

    def test_parameters_with_a_gradient(self):
        for variant, alive in (("released", 421_600), ("described", 753_120 - 512)):
            model = Mdjpt(MdjptConfig(variant=variant))
            # 5 s are the least that the projector can pool; two channels' worth of windows is all that it costs.
            output = model(torch.randn(2, 60, 625))
            (output.z.sum() + output.latent.sum()).backward()
            assert count(p for p in model.parameters() if p.grad is not None) == alive, variant


def count(parameters) -> int:
    return sum(parameter.numel() for parameter in parameters)


@pytest.fixture(scope="module")
def tiny() -> MdjptConfig:
    return MdjptConfig(
        hidden=8,
        heads=2,
        depth=1,
        ffn=8,
        features=2,
        latent_channels=3,
        filters=1,
        dilations=(1, 3),
        patch_stride=30,
        attention_patches=3,
        pool_patches=4,
    )


def seeded(config: MdjptConfig, channels: int = 4) -> Mdjpt:
    torch.manual_seed(0)
    return Mdjpt(config, channels=channels)


class TestVariants:
    def test_released_throws_its_attention_away(self, tiny):
        x = torch.randn(4, 4, 625)
        for variant, unchanged in (("released", True), ("described", False)):
            model = seeded(replace(tiny, variant=variant))
            with torch.no_grad():
                before = model(x).z
                for block in model.blocks:
                    for part in (block.gate, block.query_key_value, block.attention_out, block.exit, block.ffn):
                        for parameter in part.parameters():
                            parameter.zero_()
                assert torch.equal(before, model(x).z) is unchanged, variant

    def test_differ_in_their_switches_only(self, tiny):
        """``released`` with every switch turned back computes what ``described`` computes, and reverse."""
        described = replace(tiny, variant="described").resolved()
        turned = replace(described, variant="released")
        x = torch.randn(4, 4, 625)
        ours, theirs = seeded(described), seeded(turned)
        assert torch.equal(ours(x).z, theirs(x).z)
        released = seeded(replace(tiny, variant="released"))
        released.load_state_dict(ours.state_dict(), strict=False)
        same_block = seeded(replace(tiny, variant="released", block_output="after ffn"))
        same_block.load_state_dict(ours.state_dict(), strict=False)
        assert torch.equal(ours(x).z, same_block(x).z)
        assert not torch.equal(ours(x).z, released(x).z)

    def test_every_switch_is_recorded(self):
        for variant in ("described", "released"):
            assert None not in vars(MdjptConfig(variant=variant).resolved()).values()
        assert MdjptConfig(variant="released", cda_diagonal="kept").resolved().cda_diagonal == "kept"

    def test_heads_divide_hidden(self):
        with pytest.raises(UsageProblem, match="multiple of heads"):
            MdjptConfig(hidden=10, heads=4)


class TestTransformer:
    """The ablation: softmax attention in the place of the MLLA blocks, everything else as it is."""

    @pytest.fixture(scope="class")
    def config(self, tiny) -> MdjptConfig:
        return replace(tiny, encoder="transformer")

    def test_like_for_like(self):
        """Width, depth, heads and feed-forward of the paper; the rest of the network is the same."""
        mlla, softmax = Mdjpt(MdjptConfig()), Mdjpt(MdjptConfig(encoder="transformer"))
        assert count(softmax.parameters()) == 650_976
        assert count(softmax.blocks.parameters()) == 264_960 == 2 * (4 * 128 * 129 + 256 * 129 + 128 * 257 + 4 * 128)
        assert count(mlla.blocks.parameters()) == 366_592
        assert softmax.blocks[0].self_attn.num_heads == 8
        shapes = [
            {name: one.shape for name, one in model.state_dict().items() if not name.startswith("blocks.")}
            for model in (mlla, softmax)
        ]
        assert shapes[0] == shapes[1]

    def test_shapes_and_gradients(self, config):
        model = seeded(config)
        output = model(torch.randn(4, 4, 625))
        assert output.latent.shape == (4, 2, 3, 20)
        assert output.encoded.shape == (4, 4, 20)
        assert output.z.shape == (4, 4)
        (losses.nt_xent(output.z, 0.5) + losses.cda([output.latent], kind="true", diagonal="kept")).backward()
        largest = {name: float(parameter.grad.abs().max()) for name, parameter in model.named_parameters()}
        # The stratified norm that follows takes off what is constant over time and windows: these cannot learn, nor
        # can their counterparts in MLLA.
        assert largest.pop("read_out.bias") < 1e-5
        assert largest.pop("blocks.0.linear2.bias") < 1e-5
        keys = slice(8, 16)  # the bias of the keys shifts all logits of a query alike, which softmax ignores
        assert model.blocks[0].self_attn.in_proj_bias.grad[keys].abs().max() < 1e-5
        assert min(largest.values()) > 1e-5, largest

    def test_equals_the_equations(self, config):
        """One layer, written out: softmax(q k / sqrt(width of a head)) v for every head, each part after a norm."""
        torch.manual_seed(0)
        layer = transformer_block(config)
        x = torch.randn(1, 5, 8)
        normed = torch.nn.functional.layer_norm(x[0], (8,), layer.norm1.weight, layer.norm1.bias)
        qkv = normed @ layer.self_attn.in_proj_weight.T + layer.self_attn.in_proj_bias
        query, key, value = qkv.unflatten(1, (3, 2, 4)).unbind(1)
        heads = []
        for head in range(2):
            logits = query[:, head] @ key[:, head].T / 4**0.5
            heads.append(torch.softmax(logits, dim=1) @ value[:, head])
        h = x[0] + layer.self_attn.out_proj(torch.cat(heads, dim=1))
        normed = torch.nn.functional.layer_norm(h, (8,), layer.norm2.weight, layer.norm2.bias)
        expected = h + layer.linear2(torch.nn.functional.gelu(layer.linear1(normed)))
        torch.testing.assert_close(layer(x)[0], expected, **CLOSE)

    def test_positions(self):
        table = positions(7, 6, torch.zeros(1))
        for number in range(7):
            for column in range(6):
                angle = number / 10_000 ** (column // 2 * 2 / 6)
                value = np.sin(angle) if column % 2 == 0 else np.cos(angle)
                assert table[number, column].item() == pytest.approx(value, abs=1e-6)
        assert positions(3, 5, torch.zeros(1)).shape == (3, 5)

    def test_channels_stay_separate_and_time_has_an_order(self, config):
        model = seeded(config).eval()
        x = torch.randn(2, 4, 625)
        changed = x.clone()
        changed[:, 1:] += torch.randn(2, 3, 625)
        with torch.no_grad():
            before, after = model.embed(x), model.embed(changed)
            torch.testing.assert_close(before[:, 0], after[:, 0])
            assert not torch.allclose(before[:, 1], after[:, 1], atol=1e-3)
            # Patches that are shuffled: without positions, what comes out would be shuffled in the same way.
            patches = x[:, :, :620].unflatten(-1, (20, 31))
            shuffled = patches[:, :, torch.randperm(20, generator=torch.Generator().manual_seed(0))].flatten(2)
            maps = [model.embed(one).sum(dim=-1) for one in (x[:, :, :620], shuffled)]
            assert not torch.allclose(*maps, atol=1e-3)

    def test_recompute_changes_nothing(self, config, monkeypatch):
        monkeypatch.setattr("eegpipe.models.mdjpt.WINDOWS_AT_ONCE", 3)
        x = torch.randn(4, 4, 625)
        gradients = []
        for recompute in (False, True):
            model = seeded(config)
            model.recompute = recompute
            model(x).z[:, 0].sum().backward()
            gradients.append([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
        for plain, recomputed in zip(*gradients, strict=True):
            torch.testing.assert_close(plain, recomputed)

    def test_what_is_refused(self):
        with pytest.raises(UsageProblem, match="not built for the variant 'released'"):
            MdjptConfig(encoder="transformer", variant="released")
        with pytest.raises(UsageProblem, match="block_output is of the MLLA blocks"):
            MdjptConfig(encoder="transformer", block_output="before attention")
        with pytest.raises(UsageProblem, match="norm_before_ffn is of the MLLA blocks"):
            MdjptConfig(encoder="transformer", norm_before_ffn=True)


class TestNetwork:
    # Numbers of our own, so that a machine without the reference arrays notices a change. In double precision: in
    # single, the released variant's first one differs between kinds of CPU from the third digit on.
    @pytest.mark.parametrize(
        ("variant", "expected"), [("described", (0.09163512, 0.1371619)), ("released", (2.426446, 0.007997381))]
    )
    def test_golden_numbers(self, tiny, variant, expected):
        model = Mdjpt(replace(tiny, variant=variant), channels=4)
        with torch.no_grad():
            for index, parameter in enumerate(model.parameters()):
                steps = torch.arange(parameter.numel(), dtype=torch.float64).reshape(parameter.shape)
                parameter.copy_(0.3 * torch.sin(1.7 * steps + index))
            x = torch.sin(0.1 * torch.arange(4 * 4 * 625, dtype=torch.float64) ** 1.1).reshape(4, 4, 625)
            output = model.double()(x)
            isa = losses.nt_xent(output.z, 0.5)
            cda = losses.cda([output.latent], kind=model.config.cda_covariance, diagonal=model.config.cda_diagonal)
        assert (isa.item(), cda.item()) == pytest.approx(expected, rel=1e-4)

    def test_dilated_space_equals_grouped_convolutions(self):
        config = MdjptConfig(features=3, filters=2, latent_channels=5, dilations=(1, 4))
        torch.manual_seed(0)
        layer = DilatedSpace(config)
        p_BFSP = torch.randn(2, 3, 5, 11)
        expected = torch.cat(
            [
                torch.nn.functional.conv2d(
                    p_BFSP,
                    layer.weight[index].reshape(6, 1, 5, 3),
                    layer.bias[index].reshape(6),
                    padding=(0, dilation),
                    dilation=(1, dilation),
                    groups=3,
                ).squeeze(2)
                for index, dilation in enumerate(config.dilations)
            ],
            dim=1,
        )
        torch.testing.assert_close(layer(p_BFSP), expected)

    def test_depthwise_patches_equals_convolution(self):
        torch.manual_seed(0)
        layer = DepthwisePatches(6)
        x_RPH = torch.randn(3, 9, 6)
        expected = torch.nn.functional.conv1d(
            x_RPH.transpose(1, 2), layer.weight, layer.bias, padding=1, groups=6
        ).transpose(1, 2)
        torch.testing.assert_close(layer(x_RPH), expected)

    def test_attention_looks_back_only(self, tiny):
        model = seeded(tiny)
        e_BKP = torch.randn(1, tiny.maps, 12)
        later = e_BKP.clone()
        later[..., 6:] += 1
        before, after = model.attention_weights(e_BKP), model.attention_weights(later)
        torch.testing.assert_close(before[..., :6], after[..., :6])
        assert not torch.allclose(before[..., 6:], after[..., 6:])
        torch.testing.assert_close(before.sum(dim=1), torch.ones(1, 12))

    @pytest.mark.parametrize("at_once", [16, 3])
    def test_recompute_changes_nothing(self, tiny, at_once, monkeypatch):
        monkeypatch.setattr("eegpipe.models.mdjpt.WINDOWS_AT_ONCE", at_once)
        x = torch.randn(4, 4, 625)
        gradients = []
        for recompute in (False, True):
            model = seeded(tiny)
            model.recompute = recompute
            model(x).z[:, 0].sum().backward()
            gradients.append([parameter.grad for parameter in model.parameters()])
        for plain, recomputed in zip(*gradients, strict=True):
            assert (plain is None) is (recomputed is None)
            if plain is not None:
                torch.testing.assert_close(plain, recomputed)

    def test_a_silent_map_has_a_gradient(self):
        x = torch.zeros(4, 1, 1, 5, requires_grad=True)
        stratified_norm(x, 2).sum().backward()
        assert torch.isfinite(x.grad).all()


class TestFeatures:
    @pytest.fixture(scope="class")
    def model(self, tiny) -> Mdjpt:
        return seeded(tiny, channels=60).eval()

    def test_shape_and_neighbours(self, model):
        """One row a segment; other subjects and the order of rows do not count, the subject's own windows do."""
        data = segments(subjects=3, sessions=2, stimuli=2, windows=2)
        whole = extract_features(model, data)
        assert whole.shape == (len(data), model.config.maps)
        assert whole.dtype == np.float32
        order = np.random.default_rng(0).permutation(len(data))
        np.testing.assert_allclose(extract_features(model, data.select(order)), whole[order], atol=1e-6)
        one = data.subject == 1
        np.testing.assert_allclose(extract_features(model, data.select(one)), whole[one], atol=1e-6)
        first_clip = data.stimulus == data.stimulus[0]
        assert not np.allclose(extract_features(model, data.select(first_clip)), whole[first_clip], atol=1e-3)

    def test_equals_one_pass(self, model, monkeypatch):
        data = segments(subjects=1, stimuli=3, windows=2)
        with torch.no_grad():
            x = torch.from_numpy(MontageWindows(data, "distance")(np.arange(len(data))))
            expected = model(x, groups=1).encoded.mean(dim=-1).numpy()
        monkeypatch.setattr("eegpipe.models.mdjpt.WINDOWS_AT_ONCE", 4)
        np.testing.assert_allclose(extract_features(model, data), expected, atol=1e-6)

    def test_large_subjects_are_dealt_to_groups(self, model, monkeypatch):
        """Seven windows at three a group: 0, 3, 6 and 1, 4 and 2, 5 are normalised together."""
        data = segments(subjects=1, stimuli=7, windows=1)
        windows = MontageWindows(data, "distance")
        monkeypatch.setattr("eegpipe.models.mdjpt.MOST_WINDOWS_OF_GROUP", 3)
        dealt = extract_features(model, data)
        for first in range(3):
            rows = np.arange(first, 7, 3)
            with torch.no_grad():
                expected = model(torch.from_numpy(windows(rows)), groups=1).encoded.mean(dim=-1)
            np.testing.assert_allclose(dealt[rows], expected.numpy(), atol=1e-6)

    def test_scale_of_a_subject_does_not_count(self, model):
        data = segments(subjects=2, stimuli=2, windows=2)
        gain = np.where(data.subject == 0, 3.0, 1.0).astype(np.float32)
        louder = replace(data, eeg=data.eeg * gain[:, None, None])
        np.testing.assert_allclose(extract_features(model, louder), extract_features(model, data), atol=1e-4)

    def test_short_windows(self, model):
        with pytest.raises(DataProblem, match="windows of 20 samples"):
            extract_features(model, segments(samples=20))


DEAP = """Fp1 AF3 F3 F7 FC5 FC1 C3 T7 CP5 CP1 P3 P7 PO3 O1 Oz Pz
Fp2 AF4 Fz F4 F8 FC6 FC2 Cz C4 T8 CP6 CP2 P4 P8 PO4 O2""".split()  # noqa: SIM905
FACED = """Fp1 Fp2 Fz F3 F4 F7 F8 FC1 FC2 FC5 FC6 Cz C3 C4 T7 T8
A1 A2 CP1 CP2 CP5 CP6 Pz P3 P4 P7 P8 PO3 PO4 Oz O1 O2""".split()  # noqa: SIM905
EMOTIV = "AF3 F7 F3 FC5 T7 P7 O1 O2 P8 T8 FC6 F4 F8 AF4".split()  # noqa: SIM905
SEED = [name for name, (row, _) in schema().items() if row < 62]


def sources_of(name: str, channels: list[str], ranking: str = "distance") -> set[str]:
    row = channel_projection(channels, ranking)[MONTAGE.index(name)]
    assert row.sum() == pytest.approx(1)
    return {channels[index] for index in np.flatnonzero(row)}


class TestMontage:
    def test_order(self):
        assert len(MONTAGE) == 60
        assert (MONTAGE[0], MONTAGE[14], MONTAGE[57], MONTAGE[59]) == ("Fp1", "FT7", "O1", "O2")

    def test_neighbours(self):
        assert sources_of("Fpz", FACED) == {"Fp1", "Fp2", "Fz"}
        assert sources_of("Fpz", DEAP) == {"Fp1", "AF3", "Fp2"}
        without = [name for name in SEED if name not in ("PO5", "PO6")]
        assert sources_of("PO5", without) == {"PO3", "PO7", "O1"}
        assert sources_of("PO6", without) == {"PO8", "PO4", "O2"}
        assert sources_of("Cz", SEED) == {"Cz"}

    @pytest.mark.parametrize(
        ("channels", "inside"),
        [(DEAP, 32), (FACED, 30), (SEED, 60), (EMOTIV, 14)],
        ids=["deap", "faced", "seed", "emotiv"],
    )
    def test_rank(self, channels, inside):
        assert np.linalg.matrix_rank(channel_projection(channels)) == inside

    @pytest.mark.parametrize("channels", [DEAP, FACED])
    def test_released_ranking_differs_in_two_channels(self, channels):
        ours, released = channel_projection(channels), channel_projection(channels, "released")
        assert {MONTAGE[row] for row in np.flatnonzero((ours != released).any(axis=1))} == {"FC3", "CP3"}
        assert sources_of("FC3", DEAP, "released") == {"F3", "FC1", "FC5"}
        assert sources_of("CP3", DEAP, "released") == {"C3", "P3", "CP5"}

    def test_references_are_dropped(self):
        matrix = channel_projection(FACED)
        assert not matrix[:, [FACED.index("A1"), FACED.index("A2")]].any()

    def test_nothing_to_project(self):
        with pytest.raises(DataProblem, match="none of the 60 scalp channels"):
            channel_projection(["A1", "A2"], where="pair: channels")
        with pytest.raises(UsageProblem, match="No channel 'FP1' in the schema"):
            channel_projection(["FP1"])
        with pytest.raises(DataProblem, match="Cz more than once"):
            channel_projection(["Cz", "Cz", "Pz"])

    def test_fewer_than_three(self):
        assert sources_of("O2", ["Fp1", "Cz"]) == {"Fp1", "Cz"}

    def test_amplitude_ignores_artefacts(self):
        rng = np.random.default_rng(0)
        eeg = rng.normal(2.0, 10.0, 50_000)
        mean, spread = amplitude(np.r_[eeg, np.full(500, 5_000.0)])
        assert mean == pytest.approx(2.0, abs=0.2)
        assert spread == pytest.approx(10.0, abs=0.2)

    def test_amplitude_refuses(self):
        with pytest.raises(DataProblem, match="flat signal"):
            amplitude(np.zeros((3, 10)))
        with pytest.raises(DataProblem, match="1 values that are not finite"):
            amplitude(np.array([1.0, np.nan, 2.0]))

    def test_windows(self):
        data = segments(subjects=2, stimuli=2, windows=2)
        windows = MontageWindows(data, "distance")
        rows = np.array([5, 0])
        x_BCT = windows(rows)
        assert x_BCT.shape == (2, 60, 625)
        assert x_BCT.dtype == np.float32
        mean, spread = amplitude(data.eeg[data.subject == 1])
        cz = data.eeg[5, [TEN.index(name) for name in TEN if name in sources_of("Cz", list(TEN))]].mean(axis=0)
        np.testing.assert_allclose(x_BCT[0, MONTAGE.index("Cz")], (cz - mean) / spread, atol=1e-5)
        np.testing.assert_allclose(
            x_BCT[0, MONTAGE.index("O1")], (data.eeg[5, TEN.index("O1")] - mean) / spread, atol=1e-5
        )

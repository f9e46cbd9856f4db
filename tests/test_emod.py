"""EMOD against reference arrays, against slow loops, and against what the paper says."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from eegpipe import losses
from eegpipe.affect_sampler import region_of
from eegpipe.augment import NOISE, NOTHING, SHUFFLE, ZEROS, augment
from eegpipe.channels import schema
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.loader import Segments
from eegpipe.losses_affect import contrast_floor, nearness, same_class, weighted_contrast
from eegpipe.models import emod_finetune, emod_tokens
from eegpipe.models.emod import AxialAttention, Emod, EmodConfig, EmodObjective, channel_ids, extract_features
from eegpipe.models.emod_finetune import EmodClassifier, fine_tune
from eegpipe.models.emod_settings import EmodFineTuning
from eegpipe.models.emod_tokens import TokenBranch, lag_products
from eegpipe.models.settings import PretrainSettings
from eegpipe.train import fit

import reference_arrays
from planted_segments import planted

SMALL = EmodConfig(hidden=16, heads=2, depth=2, ffn=64, projection=64, dropout=0.0)
TINY = EmodConfig(hidden=16, heads=2, depth=1, ffn=32, projection=32, dropout=0.0, pool_dropout=0.0, per_region=1)
CLOSE = {"atol": 1e-5, "rtol": 1e-4}

# Ours -> reference name of a module.
REST = {
    "time_branch.conv": "embd.time_tokenConv.0",
    "time_branch.norm": "embd.time_tokenConv.1",
    "frequency_branch.conv": "embd.freq_tokenConv.0",
    "frequency_branch.norm": "embd.freq_tokenConv.1",
    "fusion": "embd.l.1",
    "channel_table": "pos_embeddings",
    "channel_pool.score": "projection_head.0.attn",
    "time_pool.score": "projection_head.1.attn",
    "project_in": "projection_head.3",
    "project_norm": "projection_head.4",
    "project_out": "projection_head.6",
}
BLOCK = {
    "space_norm": "norm_height",
    "space.query_key_value": "height_attn.qkv",
    "space.out": "height_attn.proj",
    "time_norm": "norm_width",
    "time.query_key_value": "width_attn.qkv",
    "time.out": "width_attn.proj",
    "ffn_norm": "norm_ffn",
    "ffn.0": "ffn.0",
    "ffn.3": "ffn.3",
}


oracle = partial(reference_arrays.oracle, "emod_small.npz")


def array(name: str) -> torch.Tensor:
    return torch.from_numpy(oracle()[name])


def close(ours: torch.Tensor, name: str) -> None:
    torch.testing.assert_close(ours.detach(), array(name), check_stride=False, **CLOSE)


def reference_name(ours: str) -> str:
    """The name of a parameter in the reference file, without its prefix."""
    stem, leaf = ours.rsplit(".", 1)
    if stem.startswith("blocks."):
        _, index, inner = stem.split(".", 2)
        layer = f"axial_transformer.layers.{index}"
        if leaf == "relative":
            return f"{layer}.width_attn.rel_pos_embed.rel_embed"
        return f"{layer}.{BLOCK[inner]}.{leaf}"
    return f"{REST[stem]}.{leaf}"


def loaded(variant: str, **switches) -> Emod:
    """The small network with the reference weights."""
    model = Emod(replace(SMALL, variant=variant, **switches)).eval()
    with torch.no_grad():
        for name, values in model.state_dict().items():
            values.copy_(array(f"pre.w.{reference_name(name)}"))
    return model


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    return array("pre.in.x")


@pytest.fixture(scope="module")
def ids() -> torch.Tensor:
    return array("pre.in.channel_id")


class TestReferenceArrays:
    @pytest.mark.parametrize("plain", [False, True])
    def test_tokens(self, x, ids, plain):
        model = loaded("described")
        model.time_branch.plain = model.frequency_branch.plain = plain
        spectrum = torch.fft.rfft(x, norm="forward").real
        close(spectrum, "pre.out.rfft_real")
        close(model.time_branch.full_rate(x), "pre.out.time_conv")
        close(model.frequency_branch.full_rate(spectrum), "pre.out.freq_conv")
        close(model.time_branch(x, 50).permute(0, 3, 1, 2), "pre.out.time_pooled")
        close(model.frequency_branch(spectrum, 50).permute(0, 3, 1, 2), "pre.out.freq_pooled")
        with_channel = model.tokenise(x, ids, 50)
        close(with_channel, "pre.out.tokens_plus_channel")
        close(with_channel - model.channel_table(ids).unsqueeze(2), "pre.out.tokens")

    @pytest.mark.parametrize(
        ("variant", "name"), [("released", "released"), ("described", "intended")], ids=["released", "described"]
    )
    def test_blocks(self, x, ids, variant, name):
        model = loaded(variant)
        block = model.blocks[0]
        h = array("pre.out.tokens_plus_channel")
        space = block.attend_space(h)
        close(space, "pre.out.l0_spatial_attn")
        close(block.attend_time(h + space), f"pre.out.l0_temporal_attn_{name}")
        if variant == "released":
            close(block(h), "pre.out.l0_block_released")
        close(model.encode(x, ids, 50), f"pre.out.transformer_{name}")

    def test_offsets_of_the_table(self):
        """Query i and key j read row i - j + 49."""
        offset = torch.arange(50)
        torch.testing.assert_close(offset[:, None] - offset + 49, array("pre.out.relpos_index"))

    def test_head(self, x, ids):
        model = loaded("released")
        h = array("pre.out.transformer_released")
        by_channel = model.channel_pool(h, dim=1)
        close(by_channel[:, None], "pre.out.channel_pool")
        close(model.time_pool(by_channel, dim=1)[:, None, None], "pre.out.time_pool")
        close(model(x, ids, 50), "pre.out.z_eval")
        close(loaded("described")(x, ids, 50), "pre.out.z_eval_intended")
        model.project_norm.train()
        close(model(x, ids, 50), "pre.out.z_bn_batchstats")

    def test_gradients(self, x, ids):
        model = loaded("released")
        affect = torch.stack([array("pre.in.valence"), array("pre.in.arousal")], dim=1).float()
        loss = weighted_contrast(model(x, ids, 50), nearness(affect, 5.0), 0.07).mean()
        close(loss, "pre.out.softloss_maxdist25")
        loss.backward()
        stored = {key for key in oracle() if key.startswith("pre.grad.")}
        assert len(stored) == 58
        for name, parameter in model.named_parameters():
            key = f"pre.grad.{reference_name(name)}"
            expected = array(key)
            # The biases of the pools have no effect; what is stored for them is rounding.
            allowed = 1e-4 * max(float(expected.abs().max()), 1.0)
            torch.testing.assert_close(parameter.grad, expected, atol=allowed, rtol=1e-4)
            stored.remove(key)
        assert not stored


def montage(count: int) -> tuple[str, ...]:
    return tuple(schema())[:count]


def affective(
    dataset: str = "alpha",
    *,
    subjects: int = 4,
    per_point: int = 4,
    channels: int = 4,
    rate_hz: float = 100.0,
    seconds: float = 2.0,
    seed: int = 0,
) -> Segments:
    """Four points of the plane: theta (6 Hz) grows with valence and beta (20 Hz) with arousal, in every data set. Alpha
    (10 Hz) of any size hides that from a network that has learned nothing."""
    rng = np.random.default_rng([seed, *dataset.encode()])
    points = np.array([(-2, -2), (2, -2), (-2, 2), (2, 2)], dtype=np.float32)
    segments = planted(dataset=dataset, subjects=subjects, clips=4, n_classes=4, per_trial=per_point)
    point = (segments.stimulus - 1000).astype(int)
    time = np.arange(round(rate_hz * seconds)) / rate_hz
    eeg = rng.normal(size=(len(point), channels, len(time))) * 3
    nuisance = rng.uniform(0, 20, size=len(point))
    for rhythm_hz, size in ((6.0, 3 + points[point, 0]), (20.0, 3 + points[point, 1]), (10.0, nuisance)):
        phase = rng.uniform(0, 2 * np.pi, size=(len(point), channels, 1))
        eeg += size[:, None, None] * np.sin(2 * np.pi * rhythm_hz * time + phase)
    return replace(
        segments,
        rate_hz=rate_hz,
        channels=montage(channels),
        eeg=eeg.astype(np.float32),
        label=point.astype(np.int16),
        valence=points[point, 0],
        arousal=points[point, 1],
    )


class TestTokenBranch:
    """Folded and stretch by stretch, against convolution, norm, GELU and pooling one after the other."""

    @pytest.mark.parametrize(("samples", "tokens"), [(200, 10), (101, 10), (333, 7), (25, 25), (20, 3), (5, 5)])
    @pytest.mark.parametrize("offset", [0.0, 300.0])
    def test_equals_the_plain_form(self, samples, tokens, offset, monkeypatch):
        monkeypatch.setattr(emod_tokens, "NUMBERS_AT_ONCE_CPU", 800)
        torch.manual_seed(0)
        branch = TokenBranch(8, 25, 2)
        with torch.no_grad():
            branch.norm.weight.uniform_(0.5, 1.5)
            branch.norm.bias.normal_()
        x = 20 * torch.randn(3, 4, samples) + offset
        weight = torch.randn(3, 4, tokens, 8)
        results = []
        for branch.plain in (True, False):
            branch.zero_grad()
            pooled = branch(x, tokens)
            (pooled * weight).sum().backward()
            results.append([pooled.detach(), *(one.grad.clone() for one in branch.parameters())])
        for plain, folded in zip(*results, strict=True):
            torch.testing.assert_close(folded, plain, atol=2e-4 if offset else 2e-5, rtol=1e-4)

    def test_gradients_by_differences(self):
        torch.manual_seed(0)
        branch = TokenBranch(4, 5, 2).double()
        x = torch.randn(2, 2, 17, dtype=torch.float64)

        def pooled(*parameters):
            names = [name for name, _ in branch.named_parameters()]
            return torch.func.functional_call(branch, dict(zip(names, parameters, strict=True)), (x, 4))

        # Statistics are in double precision and the stretches in the type of the input: double here.
        assert torch.autograd.gradcheck(pooled, tuple(branch.parameters()))

    def test_lag_products(self):
        x = torch.randn(2, 3, 30, dtype=torch.float64)
        patches = torch.nn.functional.pad(x, (3, 3)).unfold(-1, 7, 1).flatten(1, 2)
        sums, products = lag_products(x, 7)
        torch.testing.assert_close(sums, patches.sum(dim=1))
        torch.testing.assert_close(products, patches.transpose(1, 2) @ patches)

    def test_no_maps_at_full_rate(self):
        """The largest tensor that is kept for the gradient is far smaller than the maps at full rate."""
        branch, x = TokenBranch(32, 25, 4), torch.randn(2, 8, 2000)
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda kept: sizes.append(kept.numel()) or kept, lambda it: it):
            branch(x, 50)
        assert max(sizes) < 2 * x.numel() < 2 * 8 * 2000 * 32 / 10

    def test_an_input_with_gradient(self):
        x = torch.randn(1, 2, 50, requires_grad=True)
        TokenBranch(4, 5, 2)(x, 5).sum().backward()
        assert x.grad.abs().min() > 0


class TestNetwork:
    def test_parameters(self):
        model = Emod(EmodConfig())

        def count(*parts):
            return sum(parameter.numel() for part in parts for parameter in part.parameters())

        assert count(model) == 977_866
        assert count(model.time_branch, model.frequency_branch, model.fusion) == 40_064
        assert count(model.channel_table) == 9_216
        assert count(model.blocks) == 796_104
        pools = (model.channel_pool, model.time_pool)
        assert count(*pools, model.project_in, model.project_norm, model.project_out) == 132_482

    @pytest.mark.parametrize(
        ("channels", "rate_hz", "seconds", "tokens"), [(14, 128, 10, 50), (30, 250, 5, 25), (62, 512, 1, 5)]
    )
    def test_one_network_for_all(self, channels, rate_hz, seconds, tokens):
        model = Emod(TINY).eval()
        samples = rate_hz * seconds
        assert TINY.tokens(samples, rate_hz) == tokens
        x, ids = torch.randn(2, channels, samples), torch.from_numpy(channel_ids(TINY, montage(channels)))
        assert model.encode(x, ids, tokens).shape == (2, channels, tokens, 16)
        torch.testing.assert_close(model(x, ids, tokens).norm(dim=1), torch.ones(2))

    def test_windows_that_do_not_fit(self):
        with pytest.raises(UsageProblem, match=r"windows of 11 s .* make 55 tokens .* expected 1 to 50"):
            EmodConfig().tokens(2200, 200.0)
        with pytest.raises(UsageProblem, match="make 0 tokens"):
            EmodConfig().tokens(10, 200.0)
        with pytest.raises(UsageProblem, match="5 frequency bins"):
            EmodConfig(tokens_per_s=10).tokens(8, 8.0)

    @pytest.mark.parametrize("values", [{"heads": 3}, {"norm_groups": 5}, {"kernel": 24}, {"batch_norm_windows": 7}])
    def test_sizes_that_do_not_fit(self, values):
        with pytest.raises(UsageProblem, match=next(iter(values))):
            EmodConfig(**values)

    def test_channels_outside_the_table(self):
        with pytest.raises(UsageProblem, match="Cz, Pz not in the encoder's table of 10 channels"):
            channel_ids(EmodConfig(channel_rows=10), ["Fp1", "Cz", "Pz"])
        with pytest.raises(UsageProblem, match="No channel 'XX'"):
            channel_ids(EmodConfig(), ["XX"])

    def test_order_of_channels(self):
        """Tokens follow their channels, the embedding does not change; a channel under another name does change it."""
        model, order = Emod(TINY).eval(), torch.randperm(6)
        x, ids = torch.randn(2, 6, 100), torch.arange(6)
        torch.testing.assert_close(model.encode(x[:, order], ids[order], 5), model.encode(x, ids, 5)[:, order], **CLOSE)
        torch.testing.assert_close(model(x[:, order], ids[order], 5), model(x, ids, 5), **CLOSE)
        assert (model(x, ids[order], 5) - model(x, ids, 5)).abs().max() > 1e-3

    @pytest.mark.parametrize(("variant", "mixes"), [("described", False), ("released", True)])
    def test_what_attention_along_time_mixes(self, variant, mixes):
        """As described, with equal keys every time gets the mean over time of each feature by itself; as released,
        what stands in one time of the normed tokens reaches rows that are no times at all."""
        torch.manual_seed(0)
        block = Emod(replace(TINY, variant=variant)).eval().blocks[0]
        h = torch.randn(1, 3, 8, 16)
        order = torch.tensor([2, 0, 1])
        torch.testing.assert_close(block.attend_time(h[:, order]), block.attend_time(h)[:, order], **CLOSE)
        reversed_in_time = block.attend_time(h.flip(2)).flip(2)
        assert (reversed_in_time - block.attend_time(h)).abs().max() > 1e-3
        with torch.no_grad():
            block.time.query_key_value.weight[:32].zero_()
            block.time.query_key_value.bias[:32].zero_()
        mean = block.time.out(block.time.query_key_value(block.time_norm(h))[..., 32:].mean(dim=2, keepdim=True))
        assert torch.allclose(block.attend_time(h), mean.expand_as(h), atol=1e-5) is not mixes

    def test_matrix_of_equation_3(self):
        torch.manual_seed(0)
        attention = AxialAttention(replace(TINY, relative_position="matrix"), longest=6)
        torch.nn.init.normal_(attention.relative)
        x = torch.randn(1, 4, 16)
        query, key, value = attention.query_key_value(x[0]).unflatten(-1, (3, 2, 8)).unbind(1)
        expected = torch.empty(4, 2, 8)
        for head in range(2):
            for i in range(4):
                logits = [query[i, head] @ key[j, head] / 16**0.5 + attention.relative[i, j] for j in range(4)]
                expected[i, head] = torch.softmax(torch.stack(logits), dim=0) @ value[:, head]
        torch.testing.assert_close(attention(x)[0], attention.out(expected.flatten(1)), **CLOSE)

    def test_linear_fusion(self):
        x, ids = torch.randn(2, 3, 100), torch.arange(3)
        torch.manual_seed(0)
        curved = Emod(TINY)
        torch.manual_seed(0)
        linear = Emod(replace(TINY, fusion="linear"))
        bare = linear.tokenise(x, ids, 5) - linear.channel_table(ids).unsqueeze(1)
        assert (bare < -0.2).any()  # a GELU never is
        expected = torch.nn.functional.gelu(bare) + curved.channel_table(ids).unsqueeze(1)
        torch.testing.assert_close(curved.tokenise(x, ids, 5), expected, **CLOSE)

    def test_variants_differ_in_their_switches_only(self):
        x, ids = torch.randn(2, 3, 100), torch.arange(3)
        torch.manual_seed(0)
        described = Emod(TINY)
        released = Emod(replace(TINY, variant="released"))
        released.load_state_dict(described.state_dict())
        same = Emod(replace(TINY, variant="released", temporal_axis="time"))
        same.load_state_dict(described.state_dict())
        assert (released.encode(x, ids, 5) - described.encode(x, ids, 5)).abs().max() > 1e-3
        torch.testing.assert_close(same.encode(x, ids, 5), described.encode(x, ids, 5), atol=0, rtol=0)

    def test_batch_norm_over_parts(self):
        torch.manual_seed(0)
        model, pooled = Emod(TINY).train(), torch.randn(18, 16)
        by_part = model.project(pooled, 9)
        torch.testing.assert_close(by_part[:9], model.project(pooled[:9]), **CLOSE)
        assert (by_part - model.project(pooled)).abs().max() > 1e-3

    def test_features(self):
        """Each segment by itself, whatever it is given with, without dropout, and the model's mode is left alone."""
        data = affective(subjects=2, per_point=5)
        model = Emod(replace(TINY, dropout=0.5, pool_dropout=0.5)).train()
        features = extract_features(model, data)
        assert features.shape == (40, 16)
        assert features.dtype == np.float32
        assert model.training
        np.testing.assert_allclose(extract_features(model, data.select(np.arange(7, 9))), features[7:9], atol=1e-5)


def slow_contrast(z: np.ndarray, weight: np.ndarray, temperature: float) -> np.ndarray:
    losses = np.zeros(len(z))
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        total = sum(np.exp(z[i] @ z[k] / temperature) for k in others)
        weights = sum(weight[i, j] for j in others)
        for j in others:
            if weights:
                losses[i] -= weight[i, j] * np.log(np.exp(z[i] @ z[j] / temperature) / total) / weights
    return losses


class TestContrast:
    def test_reference_weights(self):
        affect = torch.stack([array("loss.in.valence"), array("loss.in.arousal")], dim=1).float()
        expected = array("loss.ref.weights_dmax5").clone().fill_diagonal_(0)
        torch.testing.assert_close(nearness(affect, 5.0), expected, **CLOSE)
        assert (nearness(affect, 182**0.5) + torch.eye(24) > 0).all()

    @pytest.mark.parametrize("squared", [182, 25, 4])
    def test_reference_losses(self, squared):
        affect = torch.stack([array("loss.in.valence"), array("loss.in.arousal")], dim=1).float()
        anchors = weighted_contrast(array("loss.in.z"), nearness(affect, squared**0.5), 0.07)
        close(anchors.mean(), f"loss.out.soft_tau0.07_maxdist{squared}")
        if squared == 25:
            close(anchors, "loss.ref.eq6_dmax5_per_anchor")
            close(anchors.mean(), "loss.ref.eq6_dmax5_mean")
            close(anchors.sum(), "loss.ref.eq6_dmax5_sum")

    def test_slow_loop(self):
        rng = np.random.default_rng(0)
        z = rng.normal(size=(9, 5))
        z /= np.linalg.norm(z, axis=1, keepdims=True)
        affect = rng.uniform(-4, 4, size=(9, 2))
        affect[8] = (40, 40)  # near nobody
        weight = np.zeros((9, 9))
        for i in range(9):
            for j in range(9):
                if i != j:
                    weight[i, j] = max(0, 1 - np.hypot(*(affect[i] - affect[j])) / 5)
        found = nearness(torch.from_numpy(affect), 5.0)
        np.testing.assert_allclose(found, weight, atol=1e-12)
        anchors = weighted_contrast(torch.from_numpy(z), found, 0.07)
        np.testing.assert_allclose(anchors, slow_contrast(z, weight, 0.07), atol=1e-9)
        assert anchors[8] == 0

    def test_identical_rows(self):
        anchors = weighted_contrast(torch.ones(7, 4) / 2, same_class(torch.tensor([0, 0, 0, 1, 1, 1, 2])), 0.07)
        torch.testing.assert_close(anchors[:6], torch.full((6,), float(np.log(6))))
        assert anchors[6] == 0

    def test_gradient_is_finite(self):
        z = torch.nn.functional.normalize(torch.randn(6, 4), dim=1).requires_grad_()
        weighted_contrast(z, same_class(torch.tensor([0, 0, 1, 1, 2, 3])), 0.01).sum().backward()
        assert torch.isfinite(z.grad).all()

    def test_two_views_are_nt_xent(self):
        z = torch.nn.functional.normalize(torch.randn(10, 4), dim=1)
        views = same_class(torch.arange(5).repeat(2))
        torch.testing.assert_close(weighted_contrast(z, views, 0.1).mean(), losses.nt_xent(z, 0.1))

    def test_floor(self):
        """Minimised over the similarities themselves, the loss comes down to the entropy of the targets."""
        torch.manual_seed(0)
        weight = (torch.rand(6, 6) + 0.01).fill_diagonal_(0)
        weight[5] = 0
        log_share = (weight / weight.sum(dim=1, keepdim=True)).log()
        itself = torch.eye(6, dtype=torch.bool)
        best = -(weight * log_share.masked_fill(itself, 0)).sum(dim=1) / weight.sum(dim=1)
        torch.testing.assert_close(contrast_floor(weight)[:5], best[:5])
        assert contrast_floor(weight)[5] == 0
        assert contrast_floor(same_class(torch.zeros(4)))[0] == pytest.approx(np.log(3))
        for _ in range(20):
            z = torch.nn.functional.normalize(torch.randn(6, 4), dim=1)
            assert (weighted_contrast(z, weight, 0.3) >= contrast_floor(weight) - 1e-6).all()

    def test_too_few(self):
        with pytest.raises(UsageProblem, match="found 1 rows"):
            weighted_contrast(torch.ones(1, 2), torch.zeros(1, 1), 0.1)


class TestAugment:
    def test_nothing(self):
        x, ids = np.random.default_rng(0).normal(size=(3, 4, 50)).astype(np.float32), np.tile(np.arange(4), (3, 1))
        after, names = augment(x, ids, (NOTHING,), np.random.default_rng(1))
        np.testing.assert_array_equal(after, x)
        np.testing.assert_array_equal(names, ids)

    def test_noise(self):
        x = np.random.default_rng(0).normal(5, 2, size=(4, 8, 5000)).astype(np.float32)
        added = augment(x, np.zeros((4, 8), int), (NOISE,), np.random.default_rng(1))[0] - x
        np.testing.assert_allclose(added.mean(axis=(1, 2)), 0.5, atol=0.01)
        np.testing.assert_allclose(added.std(axis=(1, 2)), 0.2, atol=0.01)

    def test_shuffle_takes_the_ids_along(self):
        x = np.random.default_rng(0).normal(size=(50, 9, 20)).astype(np.float32)
        ids = np.tile(np.arange(9) * 3, (50, 1))
        after, names = augment(x, ids, (SHUFFLE,), np.random.default_rng(1))
        moved = (names != ids).sum(axis=1)
        assert moved.max() == 4
        assert (moved > 0).mean() > 0.8
        np.testing.assert_array_equal(np.sort(names, axis=1), ids)
        for window in range(50):
            np.testing.assert_array_equal(after[window], x[window, names[window] // 3])

    def test_zeros(self):
        x = np.ones((200, 3, 50), dtype=np.float32)
        after, _ = augment(x, np.zeros((200, 3), int), (ZEROS,), np.random.default_rng(1))
        assert (x == 1).all()  # never in place
        gone = after[:, 0] == 0
        assert (gone.sum(axis=1) == 10).all()
        assert (np.abs(np.diff(gone.astype(int), axis=1)).sum(axis=1) <= 2).all()
        assert gone[:, 0].any()
        assert gone[:, -1].any()
        np.testing.assert_array_equal(after[:, 0], after[:, 2])

    def test_shares(self):
        x = np.ones((6000, 2, 10), dtype=np.float32)
        after, _ = augment(x, np.zeros((6000, 2), int), (NOTHING, NOTHING, NOTHING, ZEROS), np.random.default_rng(0))
        assert (after == 1).all(axis=(1, 2)).mean() == pytest.approx(0.75, abs=0.02)


def gradients(objective: EmodObjective, number: int = 0) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    objective.model.zero_grad()
    terms = objective(number)
    terms["loss"].backward()
    found = {name: one.grad.clone() for name, one in objective.model.named_parameters()}
    return {name: term.item() for name, term in terms.items()}, found


def in_double(objective: EmodObjective) -> EmodObjective:
    """With the network in double precision: what rounding does in single differs between kinds of CPU."""
    network = objective.model.double()
    branches = network.branches
    network.branches = lambda x_BCT, tokens: branches(x_BCT.double(), tokens)
    return objective


class TestObjective:
    @pytest.fixture(scope="class")
    def sources(self):
        """Unlike montages, rates and window lengths."""
        other = affective("beta", channels=6, rate_hz=128.0, seconds=1.0)
        return [affective("alpha"), other, affective("gamma", channels=3)]

    def test_every_parameter_learns(self, sources):
        objective = EmodObjective(sources, TINY, seed=0)
        terms, found = gradients(objective)
        names = {f"contrast_{name}" for name in ("alpha", "beta", "gamma")}
        assert set(terms) == {"loss", "contrast_chance", "contrast_floor"} | names
        assert 0 < terms["contrast_floor"] < terms["contrast_chance"]
        assert terms["loss"] == pytest.approx(np.mean([terms[name] for name in names]), abs=1e-5)
        assert terms["contrast_chance"] == pytest.approx(np.log(26), abs=1e-5)
        largest = {name: float(gradient.abs().max()) for name, gradient in found.items()}
        # Softmax ignores a shift, so these two cannot learn in any variant.
        idle = {name for name in largest if name.endswith("_pool.score.bias")}
        assert len(idle) == 2
        assert all(largest[name] < 1e-5 for name in idle)
        assert all(value > 1e-4 for name, value in largest.items() if name not in idle), largest
        rows = found["channel_table.weight"].abs().max(dim=1).values > 0
        np.testing.assert_array_equal(np.flatnonzero(rows.numpy()), np.arange(6))

    @pytest.mark.parametrize("contrast", ["soft", "augmentation"])
    def test_pieces_do_not_change_loss_or_gradient(self, sources, contrast):
        config = replace(TINY, contrast=contrast)
        whole, expected = gradients(in_double(EmodObjective(sources, config, seed=0)))
        pieces, found = gradients(in_double(EmodObjective(sources, config, seed=0, windows_at_once=4, recompute=True)))
        assert pieces == pytest.approx(whole, abs=1e-5)
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-3)

    def test_recompute_repeats_the_dropout(self, sources):
        config = replace(TINY, dropout=0.3, pool_dropout=0.3)
        kept, expected = gradients(EmodObjective(sources, config, seed=0))
        twice, found = gradients(EmodObjective(sources, config, seed=0, recompute=True))
        assert twice == kept
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-4)

    def test_loss_of_the_step(self, sources):
        """Against the loop, from the embeddings that the network gives for the sampler's rows."""
        objective = EmodObjective(sources, replace(TINY, reduction="sum"), seed=3)
        terms, _ = gradients(objective, 5)
        z, affect = [], []
        for segments, rows in zip(sources, objective._sampler.draw(5), strict=True):
            tokens = TINY.tokens(segments.eeg.shape[-1], segments.rate_hz)
            ids = torch.from_numpy(channel_ids(TINY, segments.channels))
            with torch.no_grad():
                z.append(objective.model(torch.from_numpy(segments.eeg[rows]), ids, tokens))
            affect.append(np.stack([segments.valence[rows], segments.arousal[rows]], axis=1))
        z, affect = torch.cat(z).double().numpy(), np.concatenate(affect).astype(float)
        distance = np.hypot(*(affect[:, None] - affect[None]).transpose(2, 0, 1))
        weight = np.clip(1 - distance / 5, 0, 1)
        assert terms["loss"] == pytest.approx(slow_contrast(z, weight, 0.07).sum(), rel=1e-4)

    def test_a_draw_is_a_function_of_seed_and_number(self, sources):
        config = replace(TINY, variant="released", dropout=0.3)
        objective = EmodObjective(sources, config, seed=0)
        torch.manual_seed(7)
        first = objective(4)["loss"].item()
        before = torch.random.get_rng_state()
        assert objective(5)["loss"].item() != first
        assert torch.equal(torch.random.get_rng_state(), before)  # others' random numbers are left alone
        other_order = EmodObjective(sources[::-1], config, seed=0)
        assert other_order(4)["loss"].item() == first

    def test_contrasts_differ(self, sources):
        loss = {
            contrast: EmodObjective(sources, replace(TINY, contrast=contrast), seed=0)(0)["loss"].item()
            for contrast in ("soft", "hard", "augmentation")
        }
        assert len(set(loss.values())) == 3

    def test_released_labels(self):
        """DEAP's axes change places, and fractions are lost."""
        data = replace(affective("deap"), valence=np.full(64, -1.5, np.float32), arousal=np.full(64, 0.5, np.float32))
        data.arousal[::2] = 3.2
        weights = {}
        for variant in ("described", "released"):
            objective = EmodObjective([data], replace(TINY, variant=variant, d_max=5.0), seed=0)
            drawn = objective._sources[0]
            affect = np.stack([drawn.valence, drawn.arousal], axis=1)
            weights[variant] = objective._weights(affect[:2])[0, 1].item()
            assert (drawn.valence is data.valence) is (variant == "described")
        assert weights["described"] == pytest.approx(1 - 2.7 / 5)
        assert weights["released"] == pytest.approx(1 - 3 / 5)

    def test_unknown_affect_is_left_out_and_counted(self, sources):
        some = replace(sources[0], valence=sources[0].valence.copy())
        some.valence[:10] = np.nan
        objective = EmodObjective([some, sources[1]], TINY, seed=0)
        assert objective.left_out == {"alpha": 10, "beta": 0}
        for number in range(20):
            assert np.isfinite(objective(number)["loss"].item())
            assert objective._sampler.draw(number)[0].min() >= 10
        none = replace(some, valence=np.full(len(some), np.nan, np.float32))
        with pytest.raises(DataProblem, match="alpha: segments: found no valence and arousal in any of 64 segments"):
            EmodObjective([none, sources[1]], TINY, seed=0)


def nearest_centroid(known: np.ndarray, truth: np.ndarray, features: np.ndarray) -> np.ndarray:
    mean, spread = known.mean(axis=0), known.std(axis=0) + 1e-6
    known, features = (known - mean) / spread, (features - mean) / spread
    centres = np.stack([known[truth == one].mean(axis=0) for one in np.unique(truth)])
    distance = np.linalg.norm(features[:, None] - centres[None], axis=-1)
    return np.unique(truth)[distance.argmin(axis=1)]


class TestLearning:
    @pytest.fixture(scope="class")
    def trained(self, tmp_path_factory):
        """Two data sets of unlike montage and rate; their last subjects are held out."""
        sources = [
            affective("alpha", per_point=8),
            affective("beta", per_point=8, channels=6, rate_hz=128.0, seconds=1.0),
        ]
        known = [segments.select(segments.subject < 3) for segments in sources]
        objective = EmodObjective(known, replace(TINY, dropout=0.1), seed=0)
        before = copy.deepcopy(objective.model)
        settings = PretrainSettings(epochs=4, steps_per_epoch=25, learning_rate=3e-3, gradient_clip=3.0)
        checkpoint = tmp_path_factory.mktemp("emod") / "state"
        log = fit(objective, settings, title="test", checkpoint=checkpoint, identity="a")
        return sources, before, objective.model, log

    def test_regions_of_unseen_people(self, trained):
        """Four regions: chance 0.25, 32 segments a data set."""
        sources, before, model, log = trained
        assert log[-1]["loss"] < 0.9 * log[0]["contrast_chance"]
        for segments in sources:
            truth = region_of(segments.valence, segments.arousal)
            held_out = segments.subject == 3
            right = []
            for network in (before, model):
                features = extract_features(network, segments)
                answer = nearest_centroid(features[~held_out], truth[~held_out], features[held_out])
                right.append((answer == truth[held_out]).mean())
            assert right[1] > 0.85
            assert right[1] > right[0] + 0.15

    def test_data_sets_meet(self, trained):
        """The nearest segment of the other data set is one of the same point: the loss joins data sets. As in training,
        the head normalises each data set by itself."""
        sources, before, model, _ = trained
        right = []
        for network in (before, model):
            with torch.no_grad():
                z = [network.train().project(torch.from_numpy(extract_features(network, one))) for one in sources]
            nearest = (z[0] @ z[1].T).argmax(dim=1).numpy()
            right.append((sources[1].label[nearest] == sources[0].label).mean())
        assert right[1] > 0.8
        assert right[1] > right[0] + 0.3


class TestFineTuning:
    SETTINGS = EmodFineTuning(epochs=20, batch=12, head_rate=1e-2, encoder_rate=5e-3)

    @pytest.fixture(scope="class")
    def parts(self):
        data = affective("target", subjects=5, per_point=8)
        return [data.select(data.subject < 3), data.select(data.subject == 3), data.select(data.subject == 4)]

    def test_learns_and_validation_picks(self, parts):
        train, validation, test = parts
        fitted = fine_tune(TINY, train, train.label, 4, self.SETTINGS, seed=0, watch=(validation, validation.label))
        assert (fitted.probabilities(test).argmax(axis=1) == test.label).mean() > 0.7
        np.testing.assert_allclose(fitted.probabilities(test).sum(axis=1), 1)
        scores = [score for _, score in fitted.curve]
        assert fitted.epoch == 1 + int(np.argmax(scores))
        # Labels of the validation part choose the epoch and do nothing else.
        other = fine_tune(TINY, train, train.label, 4, self.SETTINGS, seed=0)
        assert [loss for loss, _ in other.curve] == [loss for loss, _ in fitted.curve]
        assert other.epoch == 20

    def test_same_twice(self, parts):
        train, _, test = parts
        short = replace(self.SETTINGS, epochs=2)
        first, second = (fine_tune(TINY, train, train.label, 4, short, seed=1).probabilities(test) for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_patience(self, parts):
        train, validation, _ = parts
        # A learning rate too small to change any answer: the first epoch stays the best.
        idle = replace(self.SETTINGS, epochs=8, patience=2, head_rate=1e-12, encoder_rate=1e-12, final_rate=0.0)
        fitted = fine_tune(TINY, train, train.label, 4, idle, seed=0, watch=(validation, validation.label))
        assert (fitted.epoch, len(fitted.curve)) == (1, 3)

    def test_the_pretrained_encoder(self, parts):
        """It is where fine-tuning starts, and stays as it was; at rate 0 the copy stays too."""
        train, _, _ = parts
        torch.manual_seed(0)
        encoder = Emod(TINY).requires_grad_(False).eval()
        before = {name: values.clone() for name, values in encoder.state_dict().items()}
        frozen = fine_tune(encoder, train, train.label, 4, replace(self.SETTINGS, epochs=1, encoder_rate=0.0), seed=0)
        moved = fine_tune(encoder, train, train.label, 4, replace(self.SETTINGS, epochs=1), seed=0)
        assert all(torch.equal(values, before[name]) for name, values in encoder.state_dict().items())
        for name, values in frozen.network.encoder.state_dict().items():
            assert torch.equal(values, before[name])
        changed = [not torch.equal(values, before[name]) for name, values in moved.network.encoder.state_dict().items()]
        assert all(changed)

    def test_a_frozen_encoders_tokens_may_be_kept(self, parts, monkeypatch):
        """The same classifier whether they are computed once or each time; the encoder's dropout rests."""
        train, _, test = parts
        torch.manual_seed(0)
        encoder = Emod(replace(TINY, dropout=0.3))
        frozen = replace(self.SETTINGS, epochs=3, encoder_rate=0.0)
        results = []
        for kept_bytes in (2**30, 0):
            monkeypatch.setattr(emod_finetune, "KEPT_BYTES", kept_bytes)
            results.append(fine_tune(encoder, train, train.label, 4, frozen, seed=0).probabilities(test))
        np.testing.assert_allclose(*results, atol=1e-5)

    def test_heads_of_the_code(self):
        """Sizes that the specification gives for the public code's heads."""
        encoder = Emod(EmodConfig())
        released = EmodFineTuning(variant="released")
        expected = {
            ("faced", 32, 50, 9): 3_344_266,
            ("seed", 62, 25, 3): 99_459,
            ("seed_v", 62, 5, 5): 98_727_093,
            ("deap", 32, 50, 2): 8_644,
        }
        for (dataset, channels, tokens, classes), count in expected.items():
            head = EmodClassifier(encoder, classes, channels, tokens, dataset, released).head
            assert sum(parameter.numel() for parameter in head.parameters()) == count
            assert head(torch.zeros(1, channels, tokens, 128)).shape == (1, classes)
            del head
        linear = EmodClassifier(encoder, 9, 32, 50, "faced", EmodFineTuning()).head
        assert sum(parameter.numel() for parameter in linear.parameters()) == 2 * 129 + 9 * 129

    def test_refusals(self, parts):
        train, _, test = parts
        with pytest.raises(UsageProblem, match="label from 0 to 2"):
            fine_tune(TINY, train, train.label, 3, self.SETTINGS, seed=0)
        none = np.zeros(len(train), bool)
        with pytest.raises(UsageProblem, match="found 0 segments"):
            fine_tune(TINY, train.select(none), train.label[none], 3, self.SETTINGS, seed=0)
        fitted = fine_tune(TINY, train, train.label, 4, replace(self.SETTINGS, epochs=1), seed=0)
        with pytest.raises(DataProblem, match=r"target: channels: found Cz.* expected Fp1"):
            fitted.probabilities(replace(test, channels=("Cz", "Pz", "Oz", "Fz")))
        broken = replace(train, eeg=np.full_like(train.eeg, np.nan))
        with pytest.raises(DataProblem, match="fine-tuning, epoch 1: found loss = nan"):
            fine_tune(TINY, broken, train.label, 4, self.SETTINGS, seed=0)

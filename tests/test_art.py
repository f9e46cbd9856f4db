"""ART: tokens of any rate, channels of any montage, crops, contrastive pre-training, fine-tuning."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from eegpipe import losses
from eegpipe.channels import channel_id, position, schema
from eegpipe.crops import Crops, CropSampler, Source, draw_crops, resized_crop
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.finetune_art import fine_tune, validation_rows
from eegpipe.models.art import Art, ArtConfig, ArtObjective, channel_features, extract_features, kernel_map, pooling
from eegpipe.models.art_settings import DEMO, DEMO_FINE_TUNE, DEMO_GAT, FineTuneSettings, GatConfig
from eegpipe.models.art_windows import ArtWindows, SessionScales
from eegpipe.models.channel_schema import places, read_channels, vocabulary
from eegpipe.train import PretrainSettings, fit

from planted_segments import planted
from stimulus_locked import TEN, segments

SEED = tuple(name for name, (row, _) in schema().items() if row < 62)
DREAMER = ("AF3", "F7", "F3", "FC5", "T7", "P7", "O1", "O2", "P8", "T8", "FC6", "F4", "F8", "AF4")
FACED = tuple(name for name in SEED if name not in ("CB1", "CB2"))[::2]
SMALL = ArtConfig(
    conv_widths=(4, 4, 8), kernels=(15, 5, 5), norm_groups=2, width=16, heads=2, depth=1, ffn=16, batch_items=32
)


def model(config: ArtConfig = SMALL, channels=SEED, seed: int = 0) -> Art:
    torch.manual_seed(seed)
    return Art(replace(config, channels=tuple(channels)).resolved({})).eval()


def band_limited(count: int, steepness: float, seed: int = 0):
    """Sums of sines from 1 to 45 Hz, amplitude f**-steepness, that can be sampled at any rate."""
    rng = np.random.default_rng(seed)
    hz, phase = rng.uniform(1, 45, (count, 60, 1)), rng.uniform(0, 2 * np.pi, (count, 60, 1))

    def at(rate_hz: float, seconds: float = 2.0) -> torch.Tensor:
        time = np.arange(round(rate_hz * seconds)) / rate_hz
        x = (hz**-steepness * np.sin(2 * np.pi * hz * time + phase)).sum(axis=1)
        return torch.from_numpy((x / np.sqrt((hz ** (-2 * steepness)).sum(axis=1) / 2)).astype(np.float32))

    return at


class TestTokens:
    @pytest.mark.parametrize("rate_hz", [125.0, 128.0, 200.0, 250.0, 300.0, 500.0, 512.0, 1000.0])
    @pytest.mark.parametrize("time_base", ["seconds", "samples"])
    def test_sixteen_of_any_rate(self, rate_hz, time_base):
        encoder = model(replace(ArtConfig(), time_base=time_base), channels=("Cz",))
        x = torch.randn(3, round(2 * rate_hz))
        assert encoder.tokens(x, rate_hz).shape == (3, 16, 128)
        assert encoder(x, rate_hz, torch.ones(3, 1)).shape == (3, 128)

    @pytest.mark.parametrize(("steepness", "near"), [(1.0, 0.05), (0.5, 0.15)])
    def test_do_not_depend_on_the_rate(self, steepness, near):
        """Distance to the tokens at 128 Hz, as a part of what differs between windows; plain convolutions beside it.

        With the power of EEG (steepness 1: power falls with 1/f^2) 1 to 4 %; 90 % and more for plain convolutions.
        """
        signal = band_limited(48, steepness)
        distance = {}
        for time_base in ("seconds", "samples"):
            encoder = model(replace(ArtConfig(), time_base=time_base), channels=("Cz",))
            with torch.no_grad():
                reference = encoder.tokens(signal(128.0), 128.0)
                spread = (reference - reference.mean(dim=0)).norm()
                for rate_hz in (125.0, 200.0, 250.0, 500.0):
                    tokens = encoder.tokens(signal(rate_hz), rate_hz)
                    distance[time_base, rate_hz] = float((tokens - reference).norm() / spread)
        assert all(value < near for (kind, _), value in distance.items() if kind == "seconds"), distance
        assert all(value > 0.5 for (kind, _), value in distance.items() if kind == "samples"), distance

    def test_kernel_map(self):
        np.testing.assert_array_equal(kernel_map(7, 1.0), np.eye(7))
        for ratio in (0.78, 125 / 128, 1.5625, 2.0, 7.8):
            mapped = kernel_map(7, ratio)
            assert mapped.shape[1] % 2 == 1
            np.testing.assert_allclose(mapped.sum(axis=1), 1, rtol=1e-5)
            np.testing.assert_allclose(mapped, mapped[::-1, ::-1], atol=1e-6)  # time has no direction
        np.testing.assert_allclose(kernel_map(5, 2.0)[2].max(), 0.5, rtol=1e-5)  # twice the taps, half the weight

    @pytest.mark.parametrize("length", [16, 32, 50, 64, 9])
    def test_pooling_is_adaptive_average_pooling(self, length):
        x = torch.randn(2, 3, length)
        ours = x @ torch.from_numpy(pooling(length, 0.0, 16))
        torch.testing.assert_close(ours, nn.AdaptiveAvgPool1d(16)(x))

    def test_pooling_by_time(self):
        weight = pooling(256, 1 / 256, 16)
        np.testing.assert_allclose(weight.sum(axis=0), 1, rtol=1e-5)
        centre = (np.arange(256) / 256) @ weight
        np.testing.assert_allclose(centre, (np.arange(16) + 0.5) / 16, atol=0.5 / 256)

    def test_samples_are_the_library_s_convolution(self):
        """With the plain time base the tokenizer is the textbook one."""
        tokens = model(replace(SMALL, time_base="samples", norm_groups=0), channels=("Cz",)).tokens
        x = torch.randn(2, 400)
        h = x.unsqueeze(1)
        for convolution, stride in zip(tokens.convolutions, (2, 2, 2), strict=True):
            padding = convolution.weight.shape[-1] // 2
            h = nn.functional.conv1d(h, convolution.weight, convolution.bias, stride=stride, padding=padding)
            h = nn.functional.gelu(h)
        expected = tokens.out(nn.AdaptiveAvgPool1d(16)(h).transpose(1, 2))
        torch.testing.assert_close(tokens(x, 200.0), expected)

    def test_fixed_patches(self):
        encoder = model(replace(SMALL, tokenizer="fixed"))
        for rate_hz, patches in ((128.0, 16), (200.0, 25), (500.0, 62)):
            x = torch.randn(2, round(2 * rate_hz))
            assert encoder.tokens(x, rate_hz).shape == (2, patches, 16)
            assert encoder(x, rate_hz, torch.eye(62)[:2]).shape == (2, 16)
        with pytest.raises(UsageProblem, match="125 patches of 16, and 1 to 64"):
            ArtWindows(segments(rate_hz=1000.0, samples=2000), encoder.config)

    def test_rate_embedding(self):
        encoder = model(replace(SMALL, rate_anchors_hz=(128.0, 200.0, 512.0)))
        with torch.no_grad():
            for row, rate_hz in enumerate((128.0, 200.0, 512.0)):
                torch.testing.assert_close(encoder.rate_embedding(rate_hz), encoder.rate[row])
            torch.testing.assert_close(encoder.rate_embedding(125.0), encoder.rate[0])
            torch.testing.assert_close(encoder.rate_embedding(1000.0), encoder.rate[2])
            torch.testing.assert_close(encoder.rate_embedding(320.0), encoder.rate[1:].mean(dim=0))  # 320^2 = 200 512

    def test_size_of_the_paper(self):
        """What the paper fixes; the tokenizer is ours."""
        encoder = model(ArtConfig())
        assert (len(encoder.layers), encoder.position.shape, encoder.channel.shape) == (3, (16, 128), (62, 128))
        layer = sum(parameter.numel() for parameter in encoder.layers[0].parameters())
        assert layer == 4 * 128 * 128 + 4 * 128 + 2 * 128 * 256 + 256 + 128 + 4 * 128


class TestChannels:
    @pytest.mark.parametrize(
        ("channels", "rate_hz", "samples"), [(DREAMER, 128.0, 256), (FACED, 250.0, 500), (SEED, 200.0, 400)]
    )
    def test_one_encoder_for_all(self, channels, rate_hz, samples):
        data = segments(channels=channels, rate_hz=rate_hz, samples=samples, subjects=1, stimuli=2, windows=2)
        features = extract_features(model(), data, over="none")
        assert features.shape == (4, len(channels), 16)
        assert extract_features(model(), data).shape == (4, len(channels) * 16)
        np.testing.assert_allclose(extract_features(model(), data, over="mean"), features.mean(axis=1), rtol=1e-5)

    def test_a_channel_depends_on_itself_alone(self):
        encoder, x = model(), torch.randn(2, 5, 256)
        mixture = torch.eye(62)[[3, 9, 20, 40, 61]]
        changed = x.clone()
        changed[:, 1:] = torch.randn(2, 4, 256)
        with torch.no_grad():
            first, second = (channel_features(encoder, one, 128.0, mixture) for one in (x, changed))
        torch.testing.assert_close(first[:, 0], second[:, 0])
        assert not torch.allclose(first[:, 1], second[:, 1])

    def test_permuted_channels_permute_features(self):
        encoder, x, mixture = model(), torch.randn(2, 6, 256), torch.eye(62)[:6]
        order = torch.tensor([4, 0, 5, 2, 1, 3])
        with torch.no_grad():
            plain = channel_features(encoder, x, 128.0, mixture)
            permuted = channel_features(encoder, x[:, order], 128.0, mixture[order])
        torch.testing.assert_close(permuted, plain[:, order], atol=1e-5, rtol=1e-4)
        assert not torch.allclose(channel_features(encoder, x[:, order], 128.0, mixture), plain[:, order], atol=1e-3)

    def test_order_in_the_store_has_no_influence(self):
        data = segments(channels=TEN, samples=256, rate_hz=128.0)
        order = np.array([9, 0, 8, 1, 7, 2, 6, 3, 5, 4])
        moved = replace(data, channels=tuple(TEN[at] for at in order), eeg=data.eeg[:, order])
        np.testing.assert_array_equal(extract_features(model(), data), extract_features(model(), moved))

    def test_union_intersection_within(self):
        sets = {"dreamer": DREAMER, "seed": SEED, "deap": (*TEN, "Fz", "A1")}
        assert vocabulary("union", sets) == SEED  # in order of ids, without the reference
        assert vocabulary("intersection", sets) == ("F3", "F4", "O1", "O2")
        assert vocabulary("within", {"dreamer": DREAMER}) == tuple(sorted(DREAMER, key=channel_id))
        assert vocabulary("union", sets) == vocabulary("union", dict(reversed(sets.items())))
        with pytest.raises(UsageProblem, match="takes one data set, found deap, dreamer, seed"):
            vocabulary("within", sets)
        with pytest.raises(DataProblem, match="at least one in common"):
            vocabulary("intersection", {"one": ("Fz",), "two": ("Cz", "A1")})
        with pytest.raises(UsageProblem, match="Did you mean 'union'"):
            vocabulary("onion", sets)

    def test_unknown_channels(self):
        known = ("Fp1", "F3", "Fz", "Oz")
        reading = read_channels(("Oz", "AF3", "A1"), known, "nearest")
        assert reading.names == ("AF3", "Oz")
        np.testing.assert_array_equal(reading.columns, [1, 0])
        nearest = sorted(known, key=lambda name: math.dist(position(name), position("AF3")))[:3]
        assert {known[at] for at in np.flatnonzero(reading.mixture[0])} == set(nearest)
        np.testing.assert_allclose(reading.mixture[0].sum(), 1)
        np.testing.assert_array_equal(reading.mixture[1], [0, 0, 0, 1])
        assert read_channels(("Oz", "AF3"), known, "drop").names == ("Oz",)
        with pytest.raises(DataProblem, match="none that the model knows"):
            read_channels(("Pz", "A1"), known, "drop")
        with pytest.raises(UsageProblem, match="No place for Pz among the 4"):
            places(("Pz",), known)

    def test_what_the_sets_do(self):
        """The intersection drops what it does not know, unless told otherwise."""
        sets = {"seed": SEED, "dreamer": DREAMER}
        shared = replace(SMALL, channel_set="intersection").resolved(sets)
        assert (len(shared.channels), shared.unknown_channels) == (14, "drop")
        assert len(ArtWindows(segments(channels=SEED, rate_hz=128.0, samples=256), shared).names) == 14
        assert (len(SMALL.resolved(sets).channels), SMALL.resolved(sets).unknown_channels) == (62, "nearest")
        assert shared.resolved({}) == shared


class TestScaling:
    def test_session(self):
        data = segments(sessions=2, rate_hz=128.0, samples=256)
        windows = ArtWindows(data, model().config)
        x = windows(np.arange(len(data)))
        for subject in range(3):
            for session in range(2):
                own = x[(data.subject == subject) & (data.session == session)]
                np.testing.assert_allclose(own.mean(axis=(0, 2)), 0, atol=1e-4)
                np.testing.assert_allclose(own.std(axis=(0, 2)), 1, rtol=1e-4)
        rows, channels = np.array([5, 0, 17]), np.array([2, 9, 0])
        np.testing.assert_allclose(windows.items(rows, channels), x[rows, channels], rtol=1e-5)

    def test_window(self):
        data = segments(rate_hz=128.0, samples=256)
        data.eeg[3, 2] = 7.0
        x = ArtWindows(data, replace(model().config, scaling="window"))(np.arange(len(data)))
        assert (x[3, windows_name_index("F3")] == 0).all()
        np.testing.assert_allclose(x[4].std(axis=-1), 1, rtol=1e-4)

    def test_training_statistics_hold_for_the_test(self):
        data = segments(rate_hz=128.0, samples=256)
        train, test = data.select(data.stimulus_time < 3), data.select(data.stimulus_time > 3)
        config = model().config
        scales = ArtWindows(train, config).scales
        louder = replace(test, eeg=3 * test.eeg)
        rows = np.arange(len(test))
        spread = [ArtWindows(one, config, scales)(rows).std(axis=-1) for one in (louder, test)]
        np.testing.assert_allclose(spread[0], 3 * spread[1], rtol=1e-4)
        np.testing.assert_allclose(ArtWindows(louder, config)(rows), ArtWindows(test, config)(rows), atol=1e-4)
        assert ("04", "1") not in scales

    def test_unknown_session_is_scaled_by_itself(self):
        data = segments(rate_hz=128.0, samples=256)
        config = model().config
        scales = ArtWindows(data.select(data.subject == 0), config).scales
        other = data.select(data.subject == 2)
        rows = np.arange(len(other))
        np.testing.assert_allclose(ArtWindows(other, config, scales)(rows), ArtWindows(other, config)(rows))

    def test_refusals(self):
        data = segments(rate_hz=128.0, samples=256)
        flat = replace(data, eeg=data.eeg.copy())
        flat.eeg[data.subject == 1, 3] = -12.5
        with pytest.raises(DataProblem, match="subject 02, session 1: found no change at all in F4"):
            ArtWindows(flat, model().config)
        flat.eeg[0, 0, 0] = np.nan
        with pytest.raises(DataProblem, match="subject 01, session 1: found values that are not finite in Fp1"):
            SessionScales(flat, np.arange(10))
        with pytest.raises(UsageProblem, match="too short for 16 tokens"):
            ArtWindows(segments(samples=10), model().config)


def windows_name_index(name: str) -> int:
    return sorted(TEN, key=channel_id).index(name)


class TestCrops:
    def test_whole_window_is_itself(self):
        x = torch.randn(4, 33, generator=torch.Generator().manual_seed(0))
        whole = torch.zeros(4).double(), torch.ones(4).double()
        torch.testing.assert_close(resized_crop(x, *whole), x, atol=1e-6, rtol=0)

    def test_of_a_line(self):
        """A crop of a straight line is the straight line between its ends."""
        x = torch.linspace(0, 1, 101).repeat(3, 1)
        crops = Crops(np.array([0.0, 0.25, 0.5]), np.array([0.5, 0.6, 0.5]))
        out = resized_crop(x, *map(torch.from_numpy, crops))
        for row, (start, length) in enumerate(zip(*crops, strict=True)):
            np.testing.assert_allclose(out[row], np.linspace(start, start + length, 101), atol=1e-6)

    def test_stay_inside(self):
        crops = draw_crops(np.random.default_rng(1), 5000, (0.3, 0.9))
        assert crops.start.min() >= 0
        assert (crops.start + crops.length).max() <= 1
        assert crops.length.min() > 0.3 - 1e-9
        assert 0.3 < crops.length.min() < 0.31
        assert 0.89 < crops.length.max() < 0.9
        assert draw_crops(np.random.default_rng(1), 3, (1.0, 1.0)).start.max() == 0

    def sampler(self, batch=64, seed=3):
        sources = [Source("a", 128.0, 256, 50, 14), Source("b", 200.0, 400, 20, 62), Source("c", 128.0, 256, 30, 32)]
        return CropSampler(sources, seed=seed, batch=batch, scale=(0.5, 1.0))

    def test_pure_function_of_seed_and_number(self):
        first, second = self.sampler(), self.sampler()
        for _ in range(3):
            second.draw(11)  # what was drawn before has no influence
        for number in (0, 7):
            assert repr(first.draw(number)) == repr(second.draw(number))
        assert repr(first.draw(0)) != repr(first.draw(1))
        assert repr(first.draw(0)) != repr(self.sampler(seed=4).draw(0))

    def test_one_rate_and_different_items(self):
        sampler = self.sampler()
        share = []
        for number in range(400):
            draw = sampler.draw(number)
            assert {sampler._sources[items.source].rate_hz for items in draw.items} == {draw.rate_hz}
            np.testing.assert_array_equal(np.sort(np.concatenate([items.place for items in draw.items])), range(64))
            for items in draw.items:
                assert len(set(zip(items.window.tolist(), items.channel.tolist(), strict=True))) == len(items.place)
                assert items.window.max() < sampler._sources[items.source].windows
                assert items.channel.max() < sampler._sources[items.source].channels
            share.append(draw.rate_hz == 200.0)
        expected = 20 * 62 / sampler.items
        assert sampler.items == 50 * 14 + 20 * 62 + 30 * 32
        assert abs(np.mean(share) - expected) < 4 * math.sqrt(expected * (1 - expected) / 400)

    def test_small_sources(self):
        draw = CropSampler([Source("a", 128.0, 256, 2, 3)], seed=0, batch=64, scale=(0.5, 1.0)).draw(0)
        assert draw.size == 6
        with pytest.raises(UsageProblem, match="at least two channels of windows; a has one"):
            CropSampler([Source("a", 128.0, 256, 1, 1)], seed=0, batch=64, scale=(0.5, 1.0))


SOURCES = [
    segments("alpha", channels=DREAMER, rate_hz=128.0, samples=256),
    segments("beta", channels=(*TEN, "A1"), rate_hz=200.0, samples=400),
]
objective = partial(ArtObjective, SOURCES, SMALL, seed=1, device="cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Planted classes, an encoder that was trained on four of the six people, and its log."""
    data = planted("class", subjects=6, clips=12, per_trial=6, seed=1)
    one = ArtObjective([data.select(data.subject < 4)], replace(DEMO, batch_items=64), seed=0, device="cpu")
    settings = PretrainSettings(epochs=4, steps_per_epoch=20, learning_rate=2e-3)
    checkpoint = tmp_path_factory.mktemp("art") / "checkpoint"
    log = fit(one, settings, title="", checkpoint=checkpoint, identity="test")
    return data, one.model.eval(), log


class TestPretraining:
    def test_terms(self):
        terms = objective()(0)
        assert set(terms) == {"loss", "chance", "found"}
        assert float(terms["chance"]) == pytest.approx(math.log(63))
        assert 0 <= float(terms["found"]) <= 1

    def test_loss_by_hand(self):
        """The loss of a draw is NT-Xent of the two crops of what the draw names."""
        one = objective()
        one.model.eval()  # no dropout
        draw = one._sampler.draw(5)
        x, ids = np.empty((32, round(2 * draw.rate_hz)), np.float32), np.empty(32, int)
        for items in draw.items:
            windows = ArtWindows(SOURCES[items.source], one.config)
            x[items.place] = windows(items.window)[np.arange(len(items.place)), items.channel]
            ids[items.place] = [one.config.channels.index(windows.names[at]) for at in items.channel]
        mixture = torch.eye(len(one.config.channels))[ids]
        crops = [map(torch.from_numpy, both) for both in draw.crops]
        views = [one.model(resized_crop(torch.from_numpy(x), *both), draw.rate_hz, mixture) for both in crops]
        z = torch.nn.functional.normalize(torch.cat(views), dim=1)
        torch.testing.assert_close(one(5)["loss"], losses.nt_xent(z, SMALL.temperature), atol=1e-5, rtol=1e-4)

    def test_pure_function_of_the_number(self):
        """Dropout included; what came before has no influence."""
        first, second = objective(), objective()
        second(0), second(1), torch.manual_seed(99)
        assert first.model.training
        assert torch.equal(first(2)["loss"], second(2)["loss"])
        assert not torch.equal(first(2)["loss"], first(3)["loss"])

    @pytest.mark.parametrize("changes", [{}, {"projection": "mlp", "norm_first": True}, {"tokenizer": "fixed"}])
    def test_gradient_everywhere(self, changes):
        one = ArtObjective(SOURCES, replace(SMALL, rate_anchors_hz=(128.0, 200.0), **changes), seed=1, device="cpu")
        rates = set()
        for number in range(12):
            rates.add(one._sampler.draw(number).rate_hz)
            one(number)["loss"].backward()
        assert rates == {128.0, 200.0}
        for name, parameter in one.model.named_parameters():
            if name == "position" and changes.get("tokenizer") == "fixed":
                assert parameter.grad[:25].abs().sum(dim=1).min() > 0
                assert not parameter.grad[25:].any()
            elif name in ("position", "channel", "rate"):
                assert parameter.grad.abs().sum(dim=1).min() > 0, name
            else:
                assert parameter.grad.abs().max() > 0, name

    def test_channels_of_the_target_count(self):
        target = {"gamma": ("F3", "O1", "Pz")}
        union = objective(channels_of=target)
        assert "Pz" in union.config.channels
        shared = ArtObjective(
            SOURCES, replace(SMALL, channel_set="intersection"), channels_of=target, seed=1, device="cpu"
        )
        assert shared.config.channels == ("F3", "O1")
        assert len(shared.model.channel) == 2
        shared(0)["loss"].backward()

    def test_learns_and_beats_chance(self, trained):
        """The loss falls, and features tell apart classes of windows of clips and people that were held out."""
        data, encoder, log = trained
        assert log[-1]["loss"] < log[0]["loss"] - 0.3
        assert log[-1]["loss"] < 0.75 * log[-1]["chance"]
        assert log[-1]["found"] > log[0]["found"]
        features = extract_features(encoder, data)
        learned = (data.subject < 4) & (data.trial <= 6)
        tested = (data.subject >= 4) & (data.trial > 6)
        centre = features[learned].mean(axis=0)
        spread = features[learned].std(axis=0) + 1e-6
        from sklearn.linear_model import LogisticRegression

        scaled = (features - centre) / spread
        accuracy = LogisticRegression(C=0.01, max_iter=500).fit(scaled[learned], data.label[learned])
        assert accuracy.score(scaled[tested], data.label[tested]) > 0.6  # chance: 1/3

    def test_same_again(self, tmp_path):
        settings = PretrainSettings(epochs=2, steps_per_epoch=2, learning_rate=1e-3)
        runs = []
        for name in ("first", "second"):
            one = objective()
            fit(one, settings, title="", checkpoint=tmp_path / name, identity=name)
            runs.append(one.model.state_dict())
        assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


def test_nt_xent_reference_arrays():
    import os
    from pathlib import Path

    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("EEGPIPE_ORACLE", root.parent / "shared" / "methods" / "oracle"))
    if not (folder / "emod_small.npz").is_file():
        pytest.skip("no reference arrays: set EEGPIPE_ORACLE to the folder that holds emod_small.npz")
    reference = np.load(folder / "emod_small.npz")
    pair = torch.from_numpy(np.concatenate([reference["ntxent.in.za"], reference["ntxent.in.zb"]]))
    checked = 0
    for key in reference.files:
        if key.startswith("ntxent.ref.loss"):
            temperature = float(key.rpartition("tau")[2])
            torch.testing.assert_close(
                losses.nt_xent(pair, temperature), torch.tensor(float(reference[key])), atol=1e-5, rtol=1e-4
            )
            checked += 1
    assert checked == 3


class TestFineTuning:
    SETTINGS = FineTuneSettings(epochs=6, batch=16, encoder_rate=1e-3, head_rate=3e-3, ensemble=2)
    GRAPH = GatConfig(hidden=16, graph_heads=2, heads=2, ffn=16, layers=1, dropout=0.1)

    @pytest.fixture(scope="class")
    def person(self, trained):
        """One of the people that pre-training has not seen, and whole trials for training, validation and test."""
        data = trained[0].select(trained[0].subject == 5)
        part = (data.trial - 1) // 3
        return data, part < 2, part == 2, part == 3

    @pytest.fixture(scope="class")
    def fitted(self, trained):
        def fit_one(person, *, validation_truth=None, **options):
            data, train, validation, _ = person
            watched = data.select(validation)
            truth = watched.label if validation_truth is None else validation_truth
            arguments = {"graph": self.GRAPH, "settings": self.SETTINGS, "validation": (watched, truth), "seed": 0}
            return fine_tune(trained[1], data.select(train), data.label[train], 3, **(arguments | options))

        return fit_one

    @pytest.mark.parametrize(("encoder_rate", "epochs"), [(0.0, 60), (1.5e-4, 40)])
    def test_learns(self, person, fitted, encoder_rate, epochs):
        """Clips that were held out, with the pre-trained encoder, frozen and not."""
        data, _, _, test = person
        settings = replace(DEMO_FINE_TUNE, encoder_rate=encoder_rate, epochs=epochs)
        one = fitted(person, settings=settings, graph=DEMO_GAT)
        probabilities = one.probabilities(data.select(test))
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        assert (probabilities.argmax(axis=1) == data.label[test]).mean() > 0.6  # chance: 1/3
        assert one.curve[-1][0] < one.curve[0][0]

    def test_keeps_the_best_by_validation_and_the_earlier_of_equals(self, person, fitted):
        one = fitted(person)
        accuracy = [value for _, value in one.curve]
        expected = sorted(range(1, 7), key=lambda epoch: (-accuracy[epoch - 1], epoch))[:2]
        assert list(one.epochs) == expected
        assert len(one.states) == 2

    def test_mean_of_the_kept(self, person, fitted):
        data, _, _, test = person
        one = fitted(person)
        alone = [replace(one, states=(state,)).probabilities(data.select(test)) for state in one.states]
        np.testing.assert_allclose(one.probabilities(data.select(test)), np.mean(alone, axis=0))
        assert not np.allclose(*alone)

    def test_test_labels_change_nothing_validation_labels_do(self, person, fitted):
        data, train, validation, test = person
        plain = fitted(person)
        shuffled = replace(data, label=data.label.copy())
        shuffled.label[test] = np.random.default_rng(0).permutation(shuffled.label[test])
        assert (shuffled.label != data.label).any()
        same = fitted((shuffled, train, validation, test))
        assert same.epochs == plain.epochs
        np.testing.assert_array_equal(same.probabilities(shuffled.select(test)), plain.probabilities(data.select(test)))
        turned = fitted(person, validation_truth=(data.label[validation] + 1) % 3)
        assert turned.epochs != plain.epochs
        assert [loss for loss, _ in turned.curve] == [loss for loss, _ in plain.curve]  # training has not seen them

    def test_same_again_and_other_seed(self, person, fitted):
        test = person[0].select(person[3])
        first, second, other = (fitted(person, seed=seed).probabilities(test) for seed in (0, 0, 1))
        np.testing.assert_array_equal(first, second)
        assert not np.allclose(first, other)

    def test_encoder_is_left_alone_and_its_copy_learns(self, person):
        encoder = model()
        before = {name: value.clone() for name, value in encoder.state_dict().items()}
        data, train, _, _ = person
        arguments = {"graph": self.GRAPH, "seed": 0}
        for encoder_rate, changes in ((1e-3, True), (0.0, False)):
            settings = replace(self.SETTINGS, epochs=1, encoder_rate=encoder_rate, validation_share=0.3)
            fitted = fine_tune(encoder, data.select(train), data.label[train], 3, settings=settings, **arguments)
            after = {name.removeprefix("encoder."): value for name, value in fitted.states[0].items()}
            moved = {name for name, value in before.items() if not torch.equal(after[name], value)}
            assert bool(moved) is changes
            if changes:  # every table and layer, the two rates that this data set does not have among them by decay
                assert {"tokens.out.weight", "position", "channel", "rate", "layers.0.linear1.weight"} <= moved
        assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())

    def test_frozen_is_the_same_as_a_rate_of_nearly_nothing(self, person):
        """Features of a frozen encoder are computed once; the head must see the same as through the network."""
        test = person[0].select(person[3])
        encoder = model(replace(SMALL, dropout=0.0))
        results = []
        for encoder_rate in (0.0, 1e-12):
            settings = replace(self.SETTINGS, encoder_rate=encoder_rate, epochs=2, weight_decay=0.0)
            data, train, validation, _ = person
            watch = (data.select(validation), data.label[validation])
            graph = replace(self.GRAPH, dropout=0.0, transformer_dropout=0.0)
            fitted = fine_tune(
                encoder,
                data.select(train),
                data.label[train],
                3,
                graph=graph,
                settings=settings,
                validation=watch,
                seed=0,
            )
            results.append(fitted.probabilities(test))
        np.testing.assert_allclose(*results, atol=1e-4)

    def test_union_nodes_take_fewer_channels(self, person):
        """A classifier over all channels of the encoder also takes data that lacks some."""
        data, _, _, test = person
        encoder = model()
        _, train, validation, _ = person
        one = fine_tune(
            encoder,
            data.select(train),
            data.label[train],
            3,
            graph=self.GRAPH,
            settings=replace(self.SETTINGS, epochs=2),
            validation=(data.select(validation), data.label[validation]),
            nodes="encoder",
            seed=0,
        )
        assert one.network.head.names == SEED
        tested = data.select(test)
        fewer = replace(tested, channels=tested.channels[:3], eeg=tested.eeg[:, :3])
        assert replace(one, _scales=None).probabilities(fewer).shape == (len(tested), 3)
        weights = one.connectivity(tested).weights
        assert weights.shape == (2, 2, 62, 62)
        present = np.array([name in data.channels for name in SEED])
        np.testing.assert_allclose(weights[..., present, :][..., present].sum(axis=-1), 1, atol=1e-5)
        assert not weights[..., ~present].any()

    def test_connectivity(self, person, fitted):
        data, _, _, test = person
        read = fitted(person).connectivity(data.select(test))
        assert read.names == tuple(sorted(data.channels, key=channel_id))
        assert read.weights.shape == (2, 2, 6, 6)
        np.testing.assert_allclose(read.weights.sum(axis=-1), 1, atol=1e-5)
        np.testing.assert_allclose(read.mean.sum(axis=-1), 1, atol=1e-5)
        assert read.weights.std() > 0
        group = (np.arange(int(np.sum(test))) % 3 > 0).astype(int)
        apart = fitted(person).connectivity_of(data.select(test), group)
        share = np.bincount(group) / len(group)
        together = sum(part * one.weights for part, one in zip(share, apart, strict=True))
        np.testing.assert_allclose(together, read.weights, atol=1e-6)
        assert np.abs(apart[0].weights - apart[1].weights).max() > 1e-6

    def test_validation_from_the_training_part(self):
        data = planted("class", subjects=1, clips=12, per_trial=4)
        rows = validation_rows(data, data.label, 0.25, where="here")
        assert rows.sum() == 3 * 4  # one of four trials of each class, whole
        assert sorted(data.label[rows][::4]) == [0, 1, 2]
        assert all(len(set(rows[data.trial == trial])) == 1 for trial in range(1, 13))
        order = np.random.default_rng(0).permutation(len(data))
        np.testing.assert_array_equal(
            validation_rows(data.select(order), data.label[order], 0.25, where=""), rows[order]
        )
        windows = validation_rows(data, data.label, 0.1, "window", where="here")
        assert [int((windows & (data.label == label)).sum()) for label in range(3)] == [2, 2, 2]
        few = data.select(data.trial <= 3)
        with pytest.raises(DataProblem, match="one trial of each class, expected two trials"):
            validation_rows(few, few.label, 0.1, where="here")


class TestSettings:
    def test_refusals(self):
        with pytest.raises(UsageProblem, match="no code of this method is public"):
            ArtConfig(variant="released")
        with pytest.raises(UsageProblem, match="multiple of heads"):
            ArtConfig(width=100)
        with pytest.raises(UsageProblem, match="must be odd"):
            ArtConfig(kernels=(4, 7, 5))
        with pytest.raises(UsageProblem, match="equally many"):
            ArtConfig(strides=(2,))
        with pytest.raises(UsageProblem, match="must divide each"):
            ArtConfig(norm_groups=5)
        with pytest.raises(UsageProblem, match="anchors_hz must rise"):
            ArtConfig(rate_anchors_hz=(200.0, 128.0))
        with pytest.raises(UsageProblem, match="crop_scale must rise"):
            ArtConfig(crop_scale=(0.9, 0.5))
        with pytest.raises(UsageProblem, match="graph_heads"):
            GatConfig(hidden=30)
        with pytest.raises(UsageProblem, match="names no channels"):
            Art(ArtConfig())

    def test_settings_files_know_them(self):
        """Closed dataclasses that pydantic can read from plain values, as params.py does."""
        from dataclasses import asdict

        from pydantic import TypeAdapter, ValidationError

        for one in (ArtConfig(), DEMO, GatConfig(), DEMO_GAT, FineTuneSettings(), DEMO_FINE_TUNE):
            adapter = TypeAdapter(type(one))
            assert adapter.validate_python(asdict(one)) == one
            with pytest.raises(ValidationError):
                adapter.validate_python(asdict(one) | {"colour": "red"})

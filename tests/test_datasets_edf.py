"""EDF, EDF+ and BDF: the reader and the simulators' writer against MNE, and headers that lie."""

from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path

import mne
import numpy as np
import pytest

from eegpipe.datasets.formats import edf
from eegpipe.errors import DataProblem
from eegpipe.simulate.biosemi import (
    BDF_DIGITAL,
    BIOSEMI_UV,
    EDF_DIGITAL,
    Signal,
    biosemi_signal,
    biosemi_status,
    counted,
    number_text,
    write_edf,
)

RATE = 64
SCALE = {"EDF": ((-3276.8, 3276.7), EDF_DIGITAL), "BDF": (BIOSEMI_UV, BDF_DIGITAL)}
NOTES = [(0.5, None, "101"), (0.5, 1.25, "two words"), (2.0, 0.5, "é"), (3.999, None, "last")]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 50, shape)


def write(path: Path, kind: str, *, seconds: int = 4, **options) -> list[Signal]:
    physical, digital = SCALE[kind]
    signals = [
        Signal(label, "uV", physical, digital, RATE, counted(values, physical, digital))
        for label, values in zip(("A", "B", "A", ""), noise(4, seconds * RATE), strict=True)
    ]
    write_edf(path, signals, 1.0, kind=kind, **options)
    return signals


def with_mne(path: Path) -> mne.io.BaseRaw:
    reader = mne.io.read_raw_bdf if path.suffix == ".bdf" else mne.io.read_raw_edf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of two channels of one name
        return reader(path, preload=True, verbose="error")


@pytest.mark.parametrize("kind", ["EDF", "BDF"])
def test_values_and_annotations_are_those_of_mne(tmp_path, kind):
    path = tmp_path / f"x.{kind.lower()}"
    signals = write(path, kind, annotations=NOTES)
    raw, header = with_mne(path), edf.read_header(path, path.name)
    assert header.labels == ("A", "B", "A", "", f"{kind} Annotations")
    assert (header.rate_hz(0), header.duration_s, header.reserved) == (RATE, 4, f"{kind}+C")
    values = edf.read_values(path, header, [0, 1, 2, 3])
    np.testing.assert_allclose(values, raw.get_data() * 1e6, rtol=0, atol=1e-6)
    np.testing.assert_allclose(values, noise(4, 4 * RATE), rtol=0, atol=0.51 * signals[0].gain)
    np.testing.assert_array_equal(values, [signal.values for signal in signals])
    found = edf.read_annotations(path, header)
    assert [(one.onset_s, one.duration_s, one.text) for one in found] == [(at, s or 0, text) for at, s, text in NOTES]
    assert [(one["onset"], one["duration"], one["description"]) for one in raw.annotations] == [
        (one.onset_s, one.duration_s, one.text) for one in found
    ]


@pytest.mark.parametrize("kind", ["EDF", "BDF"])
def test_the_ends_of_the_range_and_pieces_of_a_file(tmp_path, kind):
    _, (least, most) = SCALE[kind]
    counts = np.array([least, least + 1, -1, 0, 1, most - 1, most, 256] * 8 * 3)
    path = tmp_path / f"x.{kind.lower()}"
    write_edf(path, [Signal("A", "uV", (least, most), (least, most), 64, counts)], 1.0, kind=kind)
    header = edf.read_header(path, "x")
    np.testing.assert_array_equal(edf.read_counts(path, header, [0])[0], counts)
    np.testing.assert_array_equal(edf.read_counts(path, header, [0], first=1, stop=9)[0], counts[64:])
    np.testing.assert_allclose(with_mne(path).get_data()[0] * 1e6, counts, atol=1e-3)


def test_signals_of_several_rates(tmp_path):
    fast, slow = np.arange(200, dtype=np.int32), np.arange(20, dtype=np.int32) - 10
    limits = ((-32768.0, 32767.0), EDF_DIGITAL)
    write_edf(tmp_path / "x.edf", [Signal("A", "uV", *limits, 50, fast), Signal("B", "uV", *limits, 5, slow)], 0.5)
    header = edf.read_header(tmp_path / "x.edf", "x")
    assert (header.records, header.rate_hz(0), header.rate_hz(1)) == (4, 100, 10)
    np.testing.assert_array_equal(edf.read_counts(tmp_path / "x.edf", header, [0])[0], fast)
    np.testing.assert_array_equal(edf.read_counts(tmp_path / "x.edf", header, [1])[0], slow)


def test_status_words_are_those_of_mne(tmp_path):
    words = np.full(4 * RATE, 0x18FF00)
    words[0] |= 0x010000
    words[100:110] = 0xF8FF04  # the highest bit is the sign
    signals = [biosemi_signal("Fp1", noise(4 * RATE), RATE), biosemi_status(words, RATE)]
    write_edf(tmp_path / "x.bdf", signals, 1.0, kind="BDF")
    header = edf.read_header(tmp_path / "x.bdf", "x")
    [counts] = edf.read_counts(tmp_path / "x.bdf", header, [1])
    np.testing.assert_array_equal(counts & 0xFFFFFF, words)
    assert (header.units[1], header.reserved) == ("Boolean", "24BIT")
    raw = with_mne(tmp_path / "x.bdf")
    assert raw.get_channel_types() == ["eeg", "stim"]
    np.testing.assert_array_equal(raw.get_data("Status")[0].astype(int), words & 0x1FFFF)


def test_times_count_from_the_first_record(tmp_path):
    path = tmp_path / "x.edf"
    write(path, "EDF", annotations=[(1.5, None, "here")], annotation_bytes=40)
    content = path.read_bytes()
    for second in range(4):  # the file begins a quarter of a second after the time in its header
        content = content.replace(f"+{second}\x14\x14\0\0\0\0".encode(), f"+{second}.25\x14\x14\0".encode())
    path.write_bytes(content.replace(b"+1\x14\x14\0+1.5\x14here\x14\0\0\0\0", b"+1.25\x14\x14\0+1.5\x14here\x14\0"))
    [found] = edf.read_annotations(path, edf.read_header(path, "x"))
    assert (found.onset_s, found.text) == (1.25, "here")
    assert [one["onset"] for one in with_mne(path).annotations] == [1.25]


def test_a_recording_with_pauses_is_refused(tmp_path):
    path = tmp_path / "x.edf"
    write(path, "EDF", annotations=[], reserved="EDF+D")
    header = edf.read_header(path, "x")
    assert edf.read_counts(path, header, [0]).shape == (1, 4 * RATE)  # it may pause, and does not
    path.write_bytes(path.read_bytes().replace(b"+2\x14", b"+9\x14"))
    with pytest.raises(DataProblem, match="pauses"):
        edf.read_counts(path, header, [0])


def test_annotations_that_are_none(tmp_path):
    path = tmp_path / "x.edf"
    write(path, "EDF", annotations=[(0.5, None, "abc"), (1.5, None, "def")], annotation_bytes=40)
    whole = path.read_bytes()
    header = edf.read_header(path, "x")
    for damage in (b"\xff\xff\xff\xff", b"+0.5", b"\x14\x14\x14\x14", b"++++"):
        path.write_bytes(whole.replace(b"+0.5", damage, 1).replace(b"abc\x14", b"abc\x15"))
        assert [one.text for one in edf.read_annotations(path, header)] == ["def"]
    path.write_bytes(whole.replace(b"+1.5\x14def\x14", b"+" + b"9" * 9))
    assert [one.text for one in edf.read_annotations(path, header)] == ["abc"]


def field(name: str, signal: int) -> tuple[int, int]:
    """Where a field of a header of five signals stands, and its width."""
    main = {"version": (0, 8), "bytes": (184, 8), "records": (236, 8), "record_s": (244, 8), "signals": (252, 4)}
    if name in main:
        return main[name]
    widths = {"label": 16, "transducer": 80, "unit": 8, "low": 8, "high": 8, "least": 8, "most": 8, "prefilter": 80}
    at = 256
    for one, width in (widths | {"samples": 8}).items():
        if one == name:
            return at + signal * width, width
        at += 5 * width
    raise KeyError(name)


LIES = [
    ("version", b"1"),
    ("version", b"\xffBIOSEMI"),
    ("bytes", b"1"),
    ("bytes", b"99999999"),
    ("bytes", b"-1536"),
    ("records", b"-1"),
    ("records", b"0"),
    ("records", b"99999999"),
    ("records", b"3"),
    ("records", b"1e1"),
    ("records", b"\xb2"),
    ("records", b"0_4"),
    ("record_s", b"0"),
    ("record_s", b"-1"),
    ("record_s", b"nan"),
    ("record_s", b"inf"),
    ("record_s", b"1e999"),
    ("record_s", b"1e-999"),
    ("signals", b"0"),
    ("signals", b"-5"),
    ("signals", b"9999"),
    ("signals", b"4"),
    ("signals", b"6"),
    ("low", b"nan"),
    ("low", b"-inf"),
    ("low", b"-1e999"),
    ("high", b"1e999"),
    ("high", b""),
    ("high", b"0x10"),
    ("high", b"1_0"),
    ("least", b"32767"),
    ("least", b"-40000"),
    ("least", b"-9999999"),
    ("most", b"8388607"),
    ("most", b"-32768"),
    ("most", b"1.5"),
    ("samples", b"0"),
    ("samples", b"-64"),
    ("samples", b"99999999"),
    ("samples", b"65"),
    ("samples", b"x"),
]


@pytest.mark.parametrize(("name", "text"), LIES, ids=[f"{name}={text.decode('latin1')}" for name, text in LIES])
def test_a_header_that_lies_is_refused_without_taking_memory(tmp_path, name, text):
    path = tmp_path / "x.edf"
    write(path, "EDF", annotations=NOTES)
    edf.read_header(path, "s01.edf")
    content = bytearray(path.read_bytes())
    at, width = field(name, 1)
    content[at : at + width] = text.ljust(width)
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(DataProblem) as caught:
        edf.read_header(path, "s01.edf")
    assert tracemalloc.get_traced_memory()[1] < 3e6
    tracemalloc.stop()
    assert caught.value.where == "s01.edf"


def test_infinite_steps_are_refused(tmp_path):
    path = tmp_path / "x.edf"
    write(path, "EDF")
    content = bytearray(path.read_bytes())
    content = content.replace(b"-3276.8 ", b"-9e307  ", 1).replace(b"3276.7  ", b"9e307   ", 1)
    path.write_bytes(content)
    with pytest.raises(DataProblem):
        edf.read_header(path, "x")


@pytest.mark.parametrize("kind", ["EDF", "BDF"])
def test_changed_missing_and_additional_bytes_give_numbers_or_one_refusal(tmp_path, kind):
    path = tmp_path / f"x.{kind.lower()}"
    write(path, kind, annotations=NOTES)
    whole = path.read_bytes()
    random = np.random.default_rng(3)
    refused = 0
    for trial in range(400):
        content = bytearray(whole)
        for _ in range(random.integers(1, 4)):
            content[random.integers(0, 1800)] = random.integers(0, 256)
        if trial % 8 == 0:
            content = content[: random.integers(0, len(content))]
        if trial % 8 == 1:
            content += b"\0"
        path.write_bytes(content)
        try:
            header = edf.read_header(path, "x")
            for index in header.signals:
                assert np.isfinite(edf.read_values(path, header, [index])).all()
            edf.read_annotations(path, header)
        except DataProblem:
            refused += 1
    assert 100 < refused < 400


def test_a_file_that_shrinks_meanwhile(tmp_path):
    path = tmp_path / "x.bdf"
    write(path, "BDF")
    header = edf.read_header(path, "x")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataProblem, match="became shorter"):
        edf.read_counts(path, header, [0])


def test_what_the_writer_refuses(tmp_path):
    limits = ((-1.0, 1.0), EDF_DIGITAL)
    one, two = (Signal("A", "uV", *limits, 10, np.zeros(length, int)) for length in (20, 30))
    for signals, options, text in (
        ([one, two], {}, "records"),
        ([Signal("A", "uV", *limits, 10, np.full(20, 40_000))], {}, "16 bits"),
        ([Signal("A" * 17, "uV", *limits, 10, np.zeros(20, int))], {}, "longer than 16"),
        ([Signal("A", "uV", *limits, 10, np.zeros(20))], {}, "integers"),
        ([Signal("A", "uV", *limits, 10, np.zeros(25, int))], {}, "records"),
        ([one], {"annotations": [(0.0, None, "x" * 50)], "annotation_bytes": 20}, "no room"),
    ):
        with pytest.raises(ValueError, match=text):
            write_edf(tmp_path / "x.edf", signals, 1.0, **options)


def test_only_annotations(tmp_path):
    path = tmp_path / "x.bdf"
    write_edf(path, [], 1.0, kind="BDF", annotations=[(2.5, None, "a")], records=3, annotation_bytes=300)
    header = edf.read_header(path, "x")
    assert (header.signals, header.records, header.samples_per_record) == ((), 3, (100,))
    assert [one.text for one in edf.read_annotations(path, header)] == ["a"]
    assert path.stat().st_size == 512 + 3 * 300


@pytest.mark.parametrize(
    ("value", "text"),
    [(-262144, "-262144"), (0.5, "0.5"), (1e6, "1000000"), (-3276.8, "-3276.8"), (1 / 3, "0.333333"), (1e-9, "1e-09")],
)
def test_numbers_as_text_of_eight_characters(value, text):
    assert number_text(value) == text


def test_real_recordings_have_the_values_of_mne(realdata):
    path = realdata / "physionet_eegmat" / "Subject01_2.edf"
    header, raw = edf.read_header(path, path.name), with_mne(path)
    values = edf.read_values(path, header, header.signals[:19])
    np.testing.assert_allclose(values, raw.get_data()[:19] * 1e6, rtol=0, atol=1e-4)

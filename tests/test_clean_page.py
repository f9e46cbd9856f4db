"""The quality pages: maps the right way round, everything of the record on the page, the odd recording on top."""

from __future__ import annotations

import base64
import copy
import io
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import matplotlib.image
import numpy as np
import pytest

from eegpipe import channels
from eegpipe.clean import topomap
from eegpipe.clean.attention import FIGURES, cautions, judge
from eegpipe.clean.evidence import Evidence
from eegpipe.clean.overview import overview_page
from eegpipe.clean.page import flat, recording_page
from eegpipe.clean.stage import COLUMNS

from clean_synthetic import MONTAGE_14, MONTAGE_32

CLASSES = ("brain", "muscle", "eye", "heart", "line", "channel", "other")
FIGURE_NAMES = ("blink_uv", "line_db", "alpha_peak_hz", "alpha_uv2", "amplitude_uv")
# 62 names, so that sizes and times are those of a large cap.
CAP_62 = tuple(
    name for name in channels.schema() if name not in ("A1", "A2", "M1", "M2", "F9", "F10", "TP9", "TP10", "AF7", "AF8")
)[:62]


def positions(names):
    return np.array([channels.position(name) for name in names])


# -- maps --------------------------------------------------------------------------------------------------------------


def picture(uri: str) -> np.ndarray:
    """(row, column, RGBA) 0-1, read by another library than wrote it."""
    return matplotlib.image.imread(io.BytesIO(base64.b64decode(uri.partition(",")[2])), format="png")


def bump(names, at):
    """1 at a channel, falling off with distance."""
    places = positions(names)
    return np.exp(-(np.linalg.norm(places - channels.position(at), axis=1) ** 2) / (2 * 0.03**2))


@pytest.mark.parametrize("names", [MONTAGE_32, MONTAGE_14])
@pytest.mark.parametrize(
    ("at", "row", "column"),
    [("AF3", -0.8, -0.35), ("AF4", -0.8, 0.35), ("T7", 0, -0.9), ("T8", 0, 0.9), ("O1", 0.85, -0.3), ("O2", 0.85, 0.3)],
)
def test_maps_show_the_head_from_above_nose_up(names, at, row, column):
    seen = topomap.scalp(positions(names))
    image = picture(topomap.maps(seen, np.arange(len(names)), bump(names, at)[:, None])[0])
    redness = np.where(image[..., 3] > 0, image[..., 0] - image[..., 2], 0)
    red = redness > 0.35
    rows, columns = np.nonzero(red)
    middle = (topomap.PIXELS - 1) / 2
    found = np.array([rows.mean(), columns.mean()]) / middle - 1
    wanted = np.array([row, column])
    assert found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted) > 0.95
    assert np.linalg.norm(found) > 0.4
    assert red.mean() < 0.3


def test_the_middle_is_cz_and_both_sides_are_alike():
    names = ("Cz", "C3", "C4", "Fp1", "Fp2", "Fpz", "O1", "O2", "Oz", "T7", "T8", "P7", "P8", "F7", "F8")
    places = dict(zip(names, topomap.scalp(positions(names)).places, strict=True))
    assert np.abs(places["Cz"]).max() < 0.03
    for left, right in (("C3", "C4"), ("Fp1", "Fp2"), ("O1", "O2"), ("T7", "T8")):
        assert places[left] == pytest.approx(places[right] * [-1, 1], abs=0.02)
        assert places[left][0] < 0 < places[right][0]
    assert places["Fpz"][1] > 0.85
    assert places["Oz"][1] < -0.85
    assert np.hypot(*places["T7"]) == pytest.approx(1, abs=0.03)


def test_splines_give_the_values_of_the_electrodes_and_smooth_fields_between_them():
    seen = topomap.scalp(positions(CAP_62))
    values = np.random.default_rng(0).normal(size=len(CAP_62))
    at_electrodes = topomap.weights(seen.directions, seen.directions)
    assert at_electrodes @ values == pytest.approx(values, abs=0.05)
    held_out = np.arange(0, len(CAP_62), 5)
    rest = np.setdiff1d(np.arange(len(CAP_62)), held_out)
    matrix = topomap.weights(seen.directions[rest], seen.directions[held_out])
    assert matrix.sum(axis=1) == pytest.approx(1)
    field = seen.directions @ [0.3, 1.0, -0.5] + 0.5 * seen.directions[:, 0] * seen.directions[:, 1]
    assert matrix @ field[rest] == pytest.approx(field[held_out], abs=0.01)


def test_few_electrodes_or_two_at_one_place_still_give_a_map():
    names = ("Fp1", "Fp2", "O1", "O2")
    seen = topomap.scalp(np.concatenate([positions(names), positions(("O2",))]))
    (uri,) = topomap.maps(seen, np.arange(5), np.array([[1.0], [1.0], [-1.0], [-1.0], [-1.0]]))
    image = picture(uri)
    assert image[20, 64, 0] > image[20, 64, 2]  # red in front
    assert image[-20, 64, 0] < image[-20, 64, 2]  # blue behind
    assert image[0, 0, 3] == 0  # nothing outside the disc


# -- the page of a recording -------------------------------------------------------------------------------------------


def made(names=MONTAGE_32, *, bad=("C3",), removed=3, components=None, rate_hz=250.0, seed=0):
    """A record and its evidence, of noise: what the page needs, without a run of the chain."""
    rng = np.random.default_rng(seed)
    good = tuple(name for name in names if name not in bad)
    count = len(good) - 1 if components is None else components
    frequencies_hz = np.arange(0, 100.5, 0.5)
    slope = 100 / (1 + frequencies_hz) ** 1.5
    samples = round(20 * rate_hz)
    evidence = Evidence(
        names=tuple(names),
        positions_m=positions(names),
        frequencies_hz=frequencies_hz,
        power_before=slope * rng.chisquare(8, (len(names), len(frequencies_hz))) / 8,
        power_after=slope * rng.chisquare(8, (len(names), len(frequencies_hz))) / 10,
        excerpt_start_s=40.0,
        excerpt_rate_hz=rate_hz,
        excerpt_before_uv=(30 * rng.normal(size=(len(names), samples))).astype(np.float32),
        excerpt_after_uv=(10 * rng.normal(size=(len(names), samples))).astype(np.float32),
        good=good,
        topographies_uv=rng.normal(size=(len(good), count)).astype(np.float32),
        source_power=slope * rng.chisquare(8, (count, len(frequencies_hz))),
        source_excerpt=rng.normal(size=(count, samples)).astype(np.float32),
    )
    listed = []
    for index in range(count):
        probabilities = dict.fromkeys(CLASSES, 0.01)
        probabilities["eye" if index < removed else "brain"] = 0.94
        reason = f"eye 0.94 and {90 - index}% of the blinks" if index < removed else None
        listed.append(
            {
                "variance": round(0.5 / (index + 1), 4),
                "blink_share": 0.4,
                "probabilities": probabilities,
                "removed": reason,
            }
        )
    before = dict(zip(FIGURE_NAMES, (120.0, 12.0, 10.0, 8.0, 9.0), strict=True))
    after = dict(zip(FIGURE_NAMES, (3.0, -9.0, 10.0, 7.9, 7.0), strict=True))
    record = {
        "band_hz": [0.3, 49.0],
        "high_passed": True,
        "notches_hz": [50.0],
        "data_band_hz": [0.0, 100.0],
        "duration_s": 240.0,
        "blocks": 3,
        "bad_channels": dict.fromkeys(bad, "flat: 0.00 uV"),
        "bad_share": round(len(bad) / len(names), 4),
        "rank": count,
        "calm_share": 0.99,
        "blinks": 60,
        "before": before,
        "after": after,
        "variance_kept": 0.61,
        "ica_skipped": "" if count else "1.7 samples per weight, fewer than 4",
        "samples_used": 30000 if count else 0,
        "converged": bool(count),
        "iclabel_band_hz": [1.0, 100.0] if count else None,
        "iclabel_valid": bool(count),
        "iclabel_reason": "",
        "components": listed,
    }
    return record, evidence


VOID = {"meta", "br", "img", "hr", "link", "input"}


class Checked(HTMLParser):
    """Fails on a tag that is closed wrongly; collects ids, addresses, labels and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self._note(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self._note(tag, attributes)

    def _note(self, tag, attributes):
        self.tags.append(tag)
        found = dict(attributes)
        if "id" in found:
            self.ids.append(found["id"])
        self.addresses += [found[name] for name in ("href", "src") if name in found]

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def checked(page: str) -> Checked:
    """The page holds together, and needs nothing but itself."""
    found = Checked(page)
    assert len(set(found.ids)) == len(found.ids)
    assert "script" not in found.tags
    for address in found.addresses:
        if address.startswith("#"):
            assert address[1:] in found.ids
        else:
            assert address.startswith("data:image/png;base64,") or re.fullmatch(r"[\w.%-]+\.html", address)
    assert not re.search(r"url\(|@import|https?:", page)
    for picture_ in re.findall(r"<svg.*?</svg>", page, flags=re.S):
        ElementTree.fromstring(picture_)
    return found


def test_the_page_tells_the_record():
    record, evidence = made()
    found = checked(recording_page("sub-01_task-emotion", record, evidence))
    text = found.text
    assert "1 of 32 channels was bad and is interpolated." in text
    assert "C3 flat: 0.00 uV" in text
    assert "3 of 30 components were removed (3 eye); 61 % of the variance is left" in text
    assert "60 blinks went from 120 to 3 µV" in text
    assert "30000 samples, 33.3 per weight; converged" in text
    assert "its conditions hold" in text
    for index in range(3):
        assert f"removed: eye 0.94 and {90 - index}% of the blinks" in text
    assert "index.html" in found.addresses
    for name in evidence.names:
        assert f">{name}</text>" in recording_page("x", record, evidence)


def test_every_component_has_one_map_removed_ones_first():
    record, evidence = made(removed=0)
    record["components"][7]["removed"] = "muscle 0.90"
    record["components"][7]["probabilities"] |= {"muscle": 0.9, "brain": 0.05}
    page = recording_page("x", record, evidence)
    assert page.count("<image ") == 30
    assert len(set(re.findall(r'<image href="([^"]+)"', page))) == 30
    order = [int(number) for number in re.findall(r'aria-label="Component (\d+): [^"]*variance', page)]
    assert order == [7, *(number for number in range(30) if number != 7)]
    assert page.index("removed: muscle 0.90") < page.index("Kept (29)")


def test_the_map_of_a_component_is_made_of_its_good_channels():
    record, evidence = made(removed=0, components=1)
    good = np.array([name not in record["bad_channels"] for name in evidence.names])
    shape = bump(evidence.names, "O2")
    page = recording_page("x", record, replace(evidence, topographies_uv=shape[good][:, None]))
    (uri,) = re.findall(r'<image href="([^"]+)"', page)
    image = picture(uri)
    behind_right, front_left = (104, 76), (20, 40)
    assert image[behind_right][0] > image[behind_right][2] + 0.3  # red
    assert image[front_left][2] > image[front_left][0] - 0.1  # white or blue


def test_same_input_same_bytes_and_it_is_not_changed():
    record, evidence = made()
    before = copy.deepcopy(record)
    first = recording_page("x", record, evidence)
    topomap._grid.cache_clear()
    assert recording_page("x", record, evidence) == first
    assert record == before
    changed = replace(evidence, excerpt_after_uv=evidence.excerpt_after_uv * 0.5)
    assert recording_page("x", record, changed) != first


def test_a_large_cap_is_cheap():
    record, evidence = made(CAP_62)
    topomap._grid.cache_clear()
    start = time.process_time()
    page = recording_page("x", record, evidence)
    assert time.process_time() - start < 1.5  # measured: 0.2 s; the rest is for a busy machine
    assert len(page.encode()) < 1.5e6


def test_without_ica():
    record, evidence = made(components=0)
    evidence = replace(evidence, good=(), topographies_uv=np.zeros((0, 0)))
    text = checked(recording_page("x", record, evidence)).text
    assert "No components were removed: 1.7 samples per weight" in text
    assert "Worth a look No ICA: 1.7 samples per weight, fewer than 4." in text


def test_what_cannot_be_measured_leaves_no_hole():
    record, evidence = made(MONTAGE_14, bad=())
    record["before"] = dict.fromkeys(FIGURE_NAMES) | {"amplitude_uv": 1.0}
    record["after"] = dict(record["before"])
    record |= {"iclabel_valid": False, "iclabel_reason": "14 EEG channels, fewer than 16", "high_passed": False}
    empty = np.empty((14, 0))
    evidence = replace(evidence, frequencies_hz=np.empty(0), power_before=empty, power_after=empty)
    evidence = replace(evidence, source_power=np.empty((13, 0)), excerpt_before_uv=np.zeros((14, 7)))
    evidence = replace(evidence, excerpt_after_uv=np.zeros((14, 7)), source_excerpt=np.zeros((13, 7)))
    text = checked(recording_page("x", record, evidence)).text
    assert "No channel was bad." in text
    assert "Too short for a spectrum." in text
    assert "outside its conditions (14 EEG channels, fewer than 16)" in text
    assert "nan" not in text


def test_values_that_are_no_numbers_and_flat_channels_are_drawn():
    record, evidence = made()
    power = evidence.power_before.copy()
    power[3] = 0
    before = evidence.excerpt_before_uv.copy()
    before[5, 10:20] = np.nan
    page = recording_page("x", record, replace(evidence, power_before=power, excerpt_before_uv=before))
    assert not re.search(r'd="[^"]*(nan|inf)', page)


def test_words_from_outside_are_words():
    record, evidence = made()
    record["bad_channels"] = {"C3": "<script>alert(1)</script>"}
    found = checked(recording_page("<b>x</b>", record, evidence))
    assert "<script>alert(1)</script>" in found.text


def test_record_and_evidence_of_two_runs_are_refused():
    record, evidence = made()
    record["components"].pop()
    with pytest.raises(ValueError, match="30 topographies, 29 components"):
        recording_page("x", record, evidence)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"converged": False}, "the ICA did not converge"),
        ({"bad_share": 0.31}, "31 % of the channels are bad"),
        ({"calm_share": 0.7}, "glitches in 30 % of the seconds, which stay in the signal"),
        ({"after": {"blink_uv": 70.0}}, "blinks are left: 70 of 120 µV"),
        ({"after": {"alpha_uv2": 4.0}}, "50 % of the alpha power is gone"),
        ({"after": {"line_db": 8.0}}, "mains stand 8 dB above their surroundings after cleaning"),
        ({"ica_skipped": "the data span 1 dimensions"}, "no ICA: the data span 1 dimensions"),
    ],
)
def test_a_record_is_cautioned_by_what_is_wrong_with_it(change, told):
    record, _ = made()
    assert cautions(flat(record)) == {}
    for name, value in change.items():
        record[name] = record[name] | value if isinstance(value, dict) else value
    assert list(cautions(flat(record)).values()) == [told]


def test_ica_switched_off_is_no_caution():
    record, _ = made()
    assert cautions(flat(record | {"ica_skipped": "switched off", "converged": False})) == {}


# -- the page of a data set --------------------------------------------------------------------------------------------


def rows(count, seed=0):
    """Rows of a quality table as text, of recordings that are much alike."""
    rng = np.random.default_rng(seed)
    made_rows = []
    for number in range(count):
        row = dict.fromkeys(COLUMNS, "n/a") | {"recording": f"sub-{number:03d}_task-emotion", "status": "ok"}
        row |= {"converged": "true", "bad_share": "0.0161", "removed": str(rng.integers(2, 5)), "calm_share": "0.99"}
        row |= {
            "variance_kept": f"{0.93 + 0.01 * (number % 5 - 2):.4f}",
            "blink_uv_before": "90.0",
            "line_db_after": "-9.5",
        }
        row |= {"blink_uv_after": f"{rng.normal(2, 0.5):.2f}", "alpha_peak_hz_after": f"{rng.normal(10, 0.5):.1f}"}
        row |= {"amplitude_uv_after": f"{rng.normal(7, 0.5):.3f}"}
        made_rows.append(row)
    return made_rows


def test_the_odd_recording_is_on_top_with_its_reason():
    table = rows(30)
    table[17]["variance_kept"] = "0.41"
    judged = judge(table)
    assert judged[0].stem == "sub-017_task-emotion"
    assert judged[0].reasons == ("variance kept 0.41, others 0.93",)
    assert all(one.reasons == () for one in judged[1:])
    found = checked(overview_page("SEED", table))
    assert "1 recording worth a look sub-017_task-emotion : variance kept 0.41, others 0.93" in found.text
    assert [f"{row['recording']}.html" in found.addresses for row in table] == [True] * 30


def test_the_odder_the_higher():
    table = rows(30)
    table[3]["amplitude_uv_after"] = "14"
    table[8]["amplitude_uv_after"] = "900"
    table[8]["converged"] = "false"
    judged = judge(table)
    assert [one.stem for one in judged[:2]] == ["sub-008_task-emotion", "sub-003_task-emotion"]
    assert judged[0].reasons[1] == "the ICA did not converge"
    assert not judged[2].reasons


def test_nearly_equal_recordings_have_no_outlier():
    table = rows(20)
    for row in table:
        row |= {figure.column: "0.9" for figure in FIGURES} | {"bad_share": "0.0"}
    table[4]["variance_kept"] = "0.88"
    assert all(not one.reasons for one in judge(table))
    assert "No cleaned recording stands out." in checked(overview_page("SEED", table)).text


def test_failed_recordings_come_first_with_their_problem_and_without_a_link():
    table = rows(6)
    table[2] = dict.fromkeys(COLUMNS, "n/a") | {
        "recording": "sub-002_task-emotion",
        "status": "failed",
        "problem": "not converted: <truncated> file",
    }
    page = overview_page("SEED", table)
    found = checked(page)
    assert "6 recordings: 5 cleaned, 1 failed." in found.text
    assert "sub-002_task-emotion not converted: <truncated> file" in found.text
    assert "sub-002_task-emotion.html" not in page
    assert judge(table)[0].failed


def test_nothing_but_failures():
    table = [dict.fromkeys(COLUMNS, "n/a") | {"recording": "sub-01", "status": "failed", "problem": "gone"}] * 25
    text = checked(overview_page("SEED", table)).text
    assert "25 recordings: 0 cleaned, 25 failed." in text
    assert "and 5 more" in text


def test_one_recording_is_compared_with_nothing():
    text = checked(overview_page("SEED", rows(1))).text
    assert "not compared with each other" in text
    assert "No cleaned recording stands out." in text


def test_five_hundred_recordings():
    table = rows(500)
    for number in range(0, 100, 3):
        table[number]["calm_share"] = "0.5"
    start = time.process_time()
    page = overview_page("FACED", table)
    assert time.process_time() - start < 1.0  # measured: 0.05 s
    assert len(page.encode()) < 1.5e6
    text = checked(page).text
    assert "34 recordings worth a look" in text
    assert "and 29 more in the table" in text
    assert overview_page("FACED", table) == page

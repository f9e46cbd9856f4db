"""The report page: what it says is what the files say, it needs nothing else, and whoever reads it can."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from browser import look, needs_browser
from safetensors.numpy import save_file

from eegpipe import bids, svg
from eegpipe.clean.settings import BadChannelSettings, CleanSettings, IcaSettings
from eegpipe.clean.stage import clean_dataset
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.evaluate import EvaluateSettings, evaluate
from eegpipe.models.baselines import MlpSettings, de_features
from eegpipe.protocols import USUAL as PROTOCOLS
from eegpipe.protocols import NotApplicable, SplitSettings
from eegpipe.recording import RecordingId
from eegpipe.report import build, figures
from eegpipe.report.comparison import baseline_gaps, leak_gaps, read_evaluations
from eegpipe.splits import make

from made_recordings import DATASET, make_recording
from planted_segments import condition, planted

SUBJECTS = 6
ODD = "sub-05_task-emotion"
FAILED = "sub-06_task-emotion"


class HalfBlind:
    """An encoder that sees every other channel only."""

    across = True
    manifest = {"datasets": {"other": {"store": "x", "subjects": ["01"], "stimuli": ["other/01"]}}}  # noqa: RUF012

    def features(self, segments):
        return de_features(segments.eeg[:, ::2], segments.rate_hz)


def write_metrics(root: Path) -> None:
    settings = EvaluateSettings(mlp=MlpSettings(least_steps=10, hidden=(8, 4)), resamples=50)
    for segments, methods in ((planted("clip", subjects=4, clips=9), ("de", "mdjpt")), (condition(), ("de",))):
        splits, refused = [], {}
        for protocol in PROTOCOLS:
            try:
                splits.append(make(protocol, segments, settings=SplitSettings(groups=2)))
            except NotApplicable as reason:
                refused[protocol] = str(reason)
        for method in methods:
            evaluate(
                method,
                segments,
                splits,
                root / "metrics" / segments.dataset / f"{method}.json",
                root / "plots" / segments.dataset / method,
                encoder=HalfBlind() if method == "mdjpt" else None,
                settings=settings,
                seed=7,
                not_applicable=refused,
            )


def write_data(root: Path) -> None:
    """Subject 05 is far louder than the others; subject 06 holds NaN, so that cleaning it fails."""
    raw, clean = root / "data" / "bids" / "dreamer", root / "data" / "clean" / "dreamer"
    for number in range(1, SUBJECTS + 1):
        recording = make_recording(RecordingId(f"{number:02}"), seed=number)
        if number == 5:
            recording.raw._data *= 20
        bids.write_recording(recording, raw)
    bids.write_root(raw, about=replace(DATASET, name="dreamer").about(simulated=True))
    signal = next(raw.glob("sub-06/eeg/*_eeg.eeg"))
    values = np.fromfile(signal, dtype="<f4")
    values[100] = np.nan
    values.tofile(signal)
    # The made recordings are independent noise, which no channel of a head is.
    settings = CleanSettings(bad_channels=BadChannelSettings(correlation=0.0), ica=IcaSettings(enabled=False))
    clean_dataset(raw, clean, settings, allow_partial=True, workers=1)


def write_model(root: Path) -> None:
    folder = root / "models" / "mdjpt" / "demo"
    folder.mkdir(parents=True)
    save_file({"a": np.zeros((30, 40), np.float32), "b": np.zeros(34, np.float32)}, folder / "weights.safetensors")
    seen = {"store": "ab", "subjects": ["01", "02"], "stimuli": ["other/01"], "segments": 99}
    manifest = {"datasets": {"other": seen}, "variant": "described", "cda_lambda": 0.02, "seed": 7}
    manifest |= {"settings": {"epochs": 2}, "versions": {"torch": "2.9.0"}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "config.json").write_text(json.dumps({"hidden": 32}))
    (folder / "log.csv").write_text("epoch,loss,isa,cda,isa_other,isa_chance\n1,4,3.6,1,3.6,4\n2,3,2.4,1,2.4,4\n")


@pytest.fixture(scope="module", name="project")
def make_project(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("project")
    write_metrics(root)
    write_data(root)
    write_model(root)
    build(root, root / "reports" / "index.html")
    return root


@pytest.fixture(scope="module", name="page")
def read_page(project) -> str:
    return (project / "reports" / "index.html").read_text(encoding="utf-8")


def words(html: str) -> str:
    """What a reader sees: no tags, single spaces."""
    html = re.sub(r"<(style|svg).*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def section(html: str, start: str, end: str) -> str:
    return html[html.index(f'id="{start}"') : html.index(f'id="{end}"')]


# -- what it says ------------------------------------------------------------------------------------------------------


def test_leak_free_results_come_first_and_leaks_are_marked(page):
    clean, leaky = section(page, "leak-free", "leaks"), section(page, "leaks", "data")
    assert page.index('id="leak-free"') < page.index('id="leaks"')
    assert "as published" not in clean
    assert "Few-shot: new people, new clips" in clean
    assert "the same clips are on both sides" in leaky
    assert "Few-shot as published (mdJPT)" in leaky
    assert "the epoch is chosen by accuracy on the test subjects" in leaky


@pytest.mark.parametrize(
    ("uniform", "dealt", "verdict", "shown"),
    [
        (0.5, 0.5, "above chance", None),
        (0.5, 0.504, "above chance", None),
        (0.5, 0.62, "not above chance", 0.62),  # fold by fold the answers are right more often without any signal
        (0.7, 0.62, "not above chance", 0.62),
        (0.7, 0.7, "below chance", None),
    ],
)
def test_above_chance_is_above_that_of_guesses_and_that_of_the_answers(uniform, dealt, verdict, shown, project):
    row = read_evaluations(project)[0].rows[0]
    row = replace(row, balanced=replace(row.balanced, value=0.64, low=0.6, high=0.68), uniform=uniform, dealt=dealt)
    assert row.verdict == verdict
    assert row.own_chance == shown


def test_own_chance_is_shown_where_it_differs(project, tmp_path):
    root = shutil.copytree(project, tmp_path / "project")
    path = root / "metrics" / "demo" / "de.json"
    content = json.loads(path.read_text())
    content["protocols"]["fewshot_subject_stimulus"]["chance"]["dealt"] = 0.4321
    path.write_text(json.dumps(content))
    build(root, root / "again.html")
    assert words((root / "again.html").read_text(encoding="utf-8")).count("own 43.2") == 2  # in the card, in the table


def test_every_number_of_the_metrics_is_in_the_table_where_it_belongs(page, project):
    clean, leaky = words(section(page, "leak-free", "leaks")), words(section(page, "leaks", "data"))
    for path in (project / "metrics").rglob("*.json"):
        for entry in json.loads(path.read_text())["protocols"].values():
            score = entry["balanced_accuracy"]
            low, high = score["interval"]["low"], score["interval"]["high"]
            cell = f"{100 * score['value']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
            mine, other = (clean, leaky) if entry["leak_free"] else (leaky, clean)
            assert f"{cell} {100 * entry['chance']['uniform']:.1f}" in mine
            assert f"{cell} {100 * entry['chance']['uniform']:.1f}" not in other
            size = f"{entry['n_subjects']} {entry['n_trials']} {entry['n_segments']}"
            assert size in mine


def test_a_class_that_is_the_condition_is_called_so(page):
    assert "eegmat: each class is one recording condition" in words(page[page.index('id="limits"') :])


def test_simulated_data_are_announced_before_anything_else(page, project, tmp_path):
    assert "All data are simulated: dreamer" in words(page)
    assert page.index('class="banner"') < page.index('id="results"')
    root = tmp_path / "real"
    shutil.copytree(project, root)
    description = root / "data" / "bids" / "dreamer" / "dataset_description.json"
    description.write_text(description.read_text().replace('"simulated": true', '"simulated": false'))
    build(root, root / "page.html")
    real = (root / "page.html").read_text()
    assert 'class="banner"' not in real
    assert "simulated</span>" not in real


def test_the_odd_and_the_failed_recording_are_named_and_no_other(page):
    listed = section(page, "quality", "cleaning").partition("Failed or suspicious recordings")[2]
    reasons = dict(re.findall(r'<th scope="row" class="nowrap">(.*?)</th><td[^>]*>(.*?)</td>', listed))
    assert set(reasons) == {ODD, FAILED}
    assert "amplitude before cleaning" in reasons[ODD]
    assert "not finite" in reasons[FAILED]
    strips = section(page, "quality", "cleaning")
    assert f"{ODD}: " in re.search(r'aria-label="(Amplitude before cleaning[^"]*)"', strips)[1]
    assert f"Standing out: {ODD}" in strips


def test_the_data_table_counts(page):
    row = re.search(r'<tr><th scope="row">dreamer</th>.*?</tr>', section(page, "data", "quality"), re.DOTALL)[0]
    # people, recordings, failed, trials, clips, hours, channels, rate
    assert words(row).startswith("dreamer simulated 6 6 1 24 4 0.02 8 200")


@pytest.mark.parametrize(
    ("columns", "first"),
    [
        ({"loss": (4.0, 3.0), "isa": (3.6, 2.4), "isa_chance": (4.0, 4.0)}, "from 0.90 to 0.60."),
        ({"loss": (3.0, 2.4), "contrast_deap": (3.0, 2.4), "contrast_chance": (3.0, 3.0)}, "from 1.00 to 0.80."),
        ({"loss": (5.0, 2.5), "chance": (5.0, 5.0), "found": (0.1, 0.4)}, "from 1.00 to 0.50."),
    ],
)
def test_every_methods_log_is_drawn_against_no_information(columns, first):
    log = {"epoch": (1.0, 2.0)} | columns
    assert figures.has_losses(log)
    assert first in figures.losses(log)
    assert not figures.has_losses({"epoch": (), "loss": ()})
    assert not figures.has_losses({"epoch": (1.0,), "loss": (2.0,)})


def test_pre_training_facts(page):
    text = words(section(page, "pretraining", "run"))
    assert "Parameters 1 234" in text
    assert "other 2 subjects, 1 clip, 99 segments" in text
    assert "Target seen no" in text
    assert "from 0.90 to 0.60." in page


def test_the_gap_of_a_leak_is_a_difference_of_the_metrics(project):
    evaluations = read_evaluations(project)
    gaps = {(gap.upper.target, gap.upper.method, gap.upper.protocol): gap for gap in leak_gaps(evaluations)}
    metrics = json.loads((project / "metrics" / "demo" / "de.json").read_text())["protocols"]
    value = {name: entry["balanced_accuracy"]["value"] for name, entry in metrics.items()}
    for kind in ("fewshot", "zeroshot"):
        gap = gaps["demo", "de", f"{kind}_subject"]
        assert gap.lower.protocol == f"{kind}_subject_stimulus"
        assert gap.difference == pytest.approx(value[f"{kind}_subject"] - value[f"{kind}_subject_stimulus"])
        assert gap.of_subjects == 4
    # Only clips have an effect in these segments: that is all that shared clips give to a nearest neighbour.
    assert gap.difference > 0.2
    assert gap.higher_for == 4
    # Where the class is the condition the protocol is clean, so there is nothing to compare.
    assert ("eegmat", "de", "fewshot_subject") not in gaps
    pairs = {(one.upper.method, one.lower.method, one.upper.protocol) for one in baseline_gaps(evaluations)}
    assert pairs == {("mdjpt", "de", name) for name in ("fewshot_subject_stimulus", "zeroshot_subject_stimulus")}


def test_targets_of_earlier_settings_are_named_and_not_shown(project, tmp_path):
    build(project, tmp_path / "page.html", ["demo"])
    text = words((tmp_path / "page.html").read_text())
    assert "Not shown: metrics of eegmat." in text
    assert {one.target for one in read_evaluations(project)} == {"demo", "eegmat"}
    assert text.count("eegmat") < 4 < text.count("demo")  # as a data set it stays
    with pytest.raises(UsageProblem, match="no metrics"):
        build(project, tmp_path / "page.html", ["another"])


def test_no_section_speaks_of_ratings_that_nobody_gave(page, project):
    assert not any('"ratings"' in path.read_text() for path in (project / "metrics").rglob("*.json"))
    assert 'id="ratings"' not in page


def test_what_was_run_can_be_traced(page, project):
    metrics = json.loads((project / "metrics" / "demo" / "mdjpt.json").read_text())
    text = section(page, "run", "limits")
    for digest in (*metrics["hashes"].values(), *(entry["split"] for entry in metrics["protocols"].values())):
        assert digest[:12] in text
    assert "torch 2.9.0" in text
    assert "mlp.least_steps</dt><dd>10" in text


# -- what is missing or wrong ------------------------------------------------------------------------------------------


def test_metrics_alone_are_enough_and_the_rest_is_said_to_be_missing(project, tmp_path):
    shutil.copytree(project / "metrics", tmp_path / "metrics")
    build(tmp_path, tmp_path / "page.html")
    text = words((tmp_path / "page.html").read_text())
    for sentence in (
        "No predictions were found in plots/",
        "No BIDS data set was found",
        "No cleaned recordings were found",
        "No pre-trained model was found",
        "No quality table",
    ):
        assert sentence in text


def test_no_metrics_is_a_wrong_request(tmp_path):
    with pytest.raises(UsageProblem, match="no metrics"):
        build(tmp_path, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"method": "de", "target": "x"}'])
def test_a_file_that_holds_no_metrics_is_named(text, tmp_path):
    (tmp_path / "metrics" / "x").mkdir(parents=True)
    (tmp_path / "metrics" / "x" / "de.json").write_text(text)
    with pytest.raises(DataProblem, match=r"metrics/x/de\.json"):
        build(tmp_path, tmp_path / "page.html")


def test_names_from_files_are_text_not_markup(project, tmp_path):
    text = (project / "metrics" / "demo" / "de.json").read_text()
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "de.json").write_text(text.replace('"demo"', '"<script>alert(1)</script>"'))
    build(tmp_path, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


# -- a page by itself, for everybody -----------------------------------------------------------------------------------


class Outline(HTMLParser):
    """Collects what a reader with a keyboard or a screen reader depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]


@pytest.fixture(scope="module", name="outline")
def parse(page) -> Outline:
    outline = Outline()
    outline.feed(page)
    return outline


def test_the_page_loads_nothing(outline, page):
    assert not outline.all("script", "img", "iframe", "object", "embed")
    targets = [attributes[name] for _, attributes in outline.tags for name in ("href", "src") if name in attributes]
    assert all(target.startswith(("#", "data:")) for target in targets)
    assert "url(" not in page
    assert "@import" not in page
    assert len(page.encode()) < 3_000_000


def test_links_lead_somewhere(outline):
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"][1:] for attributes in outline.all("a")}
    assert links <= set(ids)
    assert {"results", "data", "quality", "cleaning", "pretraining", "run", "limits"} <= links


def test_the_page_is_accessible(outline, page):
    headings = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch(r"h[1-6]", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))
    assert outline.all("html")[0]["lang"] == "en"
    for attributes in outline.all("svg"):
        assert attributes.get("aria-hidden") == "true" or len(attributes["aria-label"]) > 20
    assert page.count("<table") == page.count("<caption")
    assert all(attributes.get("scope") in ("col", "row", "rowgroup") for attributes in outline.all("th"))
    scrolled = [attributes for attributes in outline.all("div") if "scroll" in (attributes.get("class") or "")]
    assert scrolled
    assert all(attributes["tabindex"] == "0" and attributes["aria-label"] for attributes in scrolled)


def luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_have_contrast(scheme, page):
    """WCAG 2.2 AA: 4.5 for text, 3 for what a picture says."""
    block = re.findall(r":root \{(.*?)\}", page, re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    for ground in ("page", "card"):
        for name in ("text", "muted", "link", "good", "leak", "odd"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
        for name in ("before", "after", "m0", "m1", "m2", "m3", "m4", "m5"):
            assert contrast(colours[name], colours[ground]) >= 3, (name, ground)
    assert contrast(colours["warn-text"], colours["warn-page"]) >= 4.5


def test_the_same_project_gives_the_same_bytes_wherever_it_lies(project, page, tmp_path):
    elsewhere = tmp_path / "another" / "place"
    shutil.copytree(project, elsewhere)
    build(elsewhere, elsewhere / "reports" / "index.html")
    assert (elsewhere / "reports" / "index.html").read_text(encoding="utf-8") == page
    assert str(project) not in page
    assert [path.name for path in (project / "reports").iterdir()] == ["index.html"]


@needs_browser
def test_nothing_sticks_out_on_a_phone(page, tmp_path):
    found = "const root = document.documentElement; return root.scrollWidth - root.clientWidth"
    assert look(page, found, tmp_path, width=390)[0] == 0, "pixels beyond the screen"


# -- pictures ----------------------------------------------------------------------------------------------------------


def test_ticks_are_round_and_inside():
    assert svg.Scale(0, 1, 0, 100).ticks(4) == [0.0, 0.5, 1.0]
    assert svg.Scale(-0.3, 7.2, 0, 100).ticks(4) == [0, 2, 4, 6]
    assert svg.Scale(1e-4, 3e-4, 0, 1).ticks(4) == pytest.approx([1e-4, 1.5e-4, 2e-4, 2.5e-4, 3e-4], abs=1e-12)


def test_an_envelope_keeps_the_extremes():
    rng = np.random.default_rng(0)
    y = rng.normal(size=5000)
    y[1234], y[4321] = 50, -50
    x = np.arange(5000.0)
    thin_x, thin_y = svg.envelope(x, y, 100)
    assert len(thin_x) <= 200
    assert thin_y.max() == 50
    assert thin_y.min() == -50
    assert (np.diff(thin_x) > 0).all()


def test_a_curve_passes_through_its_points():
    x, y = np.array([0.0, 10.04, 20.0, 21.96]), np.array([5.0, -3.3, 0.0, 0.04])
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", svg.curve(x, y, style="")[9:-3])]
    steps = np.array(numbers).reshape(-1, 2)
    assert np.cumsum(steps, axis=0) == pytest.approx(np.column_stack([x, y]), abs=0.051)

"""The report's pictures: their numbers, what they say where something is missing, and the page in a browser."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import look, needs_browser
from sklearn.metrics import roc_auc_score, roc_curve

from eegpipe import datasets, embed
from eegpipe.affect import AffectSource
from eegpipe.connectivity import graph_of
from eegpipe.embed import Sample, rows_of
from eegpipe.errors import DataProblem
from eegpipe.evaluate import METHODS, EvaluateSettings, evaluate
from eegpipe.loader import Segments
from eegpipe.models.baselines import MlpSettings, de_features
from eegpipe.paired import Predicted, compare_files
from eegpipe.protocols import PROTOCOLS, SplitSettings
from eegpipe.report import build, figures_scores
from eegpipe.report.comparison import read_evaluations
from eegpipe.report.predicted import RATES, paired_interval, read_predictions, roc_curves
from eegpipe.report.reported import beside, read_reported
from eegpipe.report.tables import likeness, read_graphs
from eegpipe.results import write_graphs
from eegpipe.splits import make
from eegpipe.writing import table_text

from planted_segments import planted

CHANNELS = ("Fp1", "Fz", "F3", "F4", "C3", "Cz", "C4", "T7", "T8", "P3", "Pz", "P4", "Oz")
USUAL = ("fewshot_subject_stimulus", "fewshot_subject")


class Blind:
    """An encoder whose features are noise."""

    across = False
    manifest = {"datasets": {"other": {"store": "x", "subjects": ["01"], "stimuli": ["other/01"]}}}  # noqa: RUF012

    def features(self, segments):
        noise = np.random.default_rng(0).normal(size=(len(segments), 4))
        # A function of the segment itself, as the audit asks for.
        return noise * 0 + np.sin(1e4 * de_features(segments.eeg, segments.rate_hz)[:, :4])


def sample(name: str, *, seen: bool, offset: float, seed: int) -> Sample:
    rng = np.random.default_rng(seed)
    n, emotion = 160, np.arange(160) % 5
    affect = np.array([[-3, 2], [-2, -1], [0, 0], [2, -2], [3, 2]], dtype=float)[emotion]
    features = rng.normal(size=(n, 6)) + offset
    features[:, :2] += affect
    subject = (np.arange(n) // 5) % 4
    return Sample(
        name, seen, features, subject, ("01", "02", "03", "04"), np.arange(n), emotion, tuple("abcde"), affect
    )


def report_ratings(segments: Segments) -> None:
    """Valence follows the class; arousal is a habit of the person."""
    noise = np.random.default_rng(3).normal(size=(2, 5, 9))[:, segments.subject, segments.trial - 1]
    segments.valence = np.clip(2 * segments.label - 2 + noise[0], -4, 4).astype(np.float32)
    segments.arousal = np.clip(segments.subject - 2 + noise[1], -4, 4).astype(np.float32)
    segments.affect_source = np.full(len(segments), AffectSource.SELF_REPORT, dtype=np.int8)


@pytest.fixture(scope="module", name="project")
def make_project(tmp_path_factory) -> Path:
    """A target on which the baseline reads the class and the encoder nothing, with every table there is."""
    root = tmp_path_factory.mktemp("pictures")
    segments = planted("class", dataset="seed", subjects=5, clips=9)
    report_ratings(segments)
    splits = [make(one, segments, settings=SplitSettings(groups=2)) for one in USUAL]
    settings = EvaluateSettings(resamples=200, mlp=MlpSettings(least_steps=60, hidden=(16, 8)))
    for method in ("de", "emod"):
        plots = root / "plots" / "seed" / method
        encoder = Blind() if method == "emod" else None
        out = root / "metrics" / "seed" / f"{method}.json"
        evaluate(method, segments, splits, out, plots, encoder=encoder, settings=settings)
    tuned = json.loads((root / "metrics" / "seed" / "emod.json").read_text()) | {"method": "art_finetuned"}
    (root / "metrics" / "seed" / "art_finetuned.json").write_text(json.dumps(tuned))
    rng = np.random.default_rng(0)
    graphs = []
    for emotion in ("calm", "fear"):
        weights = rng.uniform(1, 2, size=(13, 13))
        graphs.append(graph_of(emotion, 7, CHANNELS, weights / weights.sum(axis=1, keepdims=True)))
    write_graphs(root / "plots" / "seed" / "art_finetuned", graphs)
    samples = [sample("other", seen=True, offset=5.0, seed=1), sample("seed", seen=False, offset=0.0, seed=2)]
    folder = root / "plots" / "seed" / "embedding"
    folder.mkdir(parents=True)
    for name, rows in rows_of(samples, "seed", seed=0).items():
        text = table_text(("method", *embed.HEADERS[name]), [("emod", *row) for row in rows])
        (folder / name).write_text(text, encoding="utf-8")
    header = ("setting", "value", "target", "method", "protocol", "balanced_accuracy", "low", "high", "chance")
    place = ("seed", "mdjpt", "loso_stimulus")
    sweep = [
        ("cda_lambda", value, *place, score, score - 0.1, score + 0.1, 0.33) for value, score in ((0, 0.4), (1, 0.5))
    ]
    (root / "plots" / "sweep.csv").write_text(table_text(header, sweep), encoding="utf-8")
    build(root, root / "reports" / "index.html")
    return root


@pytest.fixture(scope="module", name="page")
def read_page(project) -> str:
    return (project / "reports" / "index.html").read_text(encoding="utf-8")


def words(html: str) -> str:
    html = re.sub(r"<(style|svg).*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


# -- numbers -----------------------------------------------------------------------------------------------------------


def predicted(right: np.ndarray, subject: np.ndarray) -> Predicted:
    truth = np.arange(len(right)) % 2
    answer = np.where(right, truth, 1 - truth)
    one = np.zeros(len(right), dtype=int)
    return Predicted(subject, one, np.arange(len(right))[:, None], truth, np.eye(2)[answer])


def test_a_paired_interval_sees_what_people_share():
    """Half the people are easy for both, half hard for both; one method is always a little better."""
    rng = np.random.default_rng(0)
    subject = np.repeat([f"{number:02}" for number in range(20)], 200)
    easy = np.repeat(np.tile([0.9, 0.5], 10), 200)
    worse, better = rng.random(4000) < easy - 0.05, rng.random(4000) < easy + 0.05
    low, high = paired_interval(
        predicted(worse, subject), predicted(better, subject), resamples=500, confidence=0.95, seed=0
    )
    assert 0.05 < low < 0.1 < high < 0.15
    same = predicted(worse, subject)
    assert paired_interval(same, same, resamples=50, confidence=0.95, seed=0) == (0.0, 0.0)
    alone = predicted(worse[:200], subject[:200])
    assert paired_interval(alone, same, resamples=50, confidence=0.95, seed=0) is None
    assert paired_interval(same, same, resamples=0, confidence=0.95, seed=0) is None


def test_roc_curves_are_scikit_learns(project):
    evaluation = next(one for one in read_evaluations(project) if one.method == "de")
    known = read_predictions(project, evaluation, USUAL)
    one = known["fewshot_subject_stimulus"]
    curves = roc_curves(evaluation, one)
    assert [curve.class_name for curve in curves] == list(evaluation.classes)
    for label, curve in enumerate(curves):
        hits, areas = [], []
        for group in np.unique(one.group):
            mine = one.group == group
            own, score = one.truth[mine] == label, np.round(one.probabilities[mine, label], 1)
            rounded = replace(one, truth=one.truth[mine], group=one.group[mine], subject=one.subject[mine])
            rounded = replace(rounded, probabilities=np.round(one.probabilities[mine], 1))
            found = roc_curves(evaluation, rounded)[label]  # with many equal scores
            alarms, expected, _ = roc_curve(own, score, drop_intermediate=False)
            assert found.area == pytest.approx(roc_auc_score(own, score))
            np.testing.assert_allclose(found.hits, np.interp(RATES, alarms, expected))
            alarms, expected, _ = roc_curve(own, one.probabilities[mine, label], drop_intermediate=False)
            hits.append(np.interp(RATES, alarms, expected))
            areas.append(roc_auc_score(own, one.probabilities[mine, label]))
        np.testing.assert_allclose(curve.hits, np.mean(hits, axis=0))
        assert curve.area == pytest.approx(np.mean(areas))
    entry = json.loads((project / "metrics/seed/de.json").read_text())["protocols"]["fewshot_subject_stimulus"]
    assert np.mean([curve.area for curve in curves]) == pytest.approx(entry["auroc"]["value"], abs=1e-3)


def test_differences_are_those_of_the_metrics(page, project):
    scores = {
        method: json.loads((project / f"metrics/seed/{method}.json").read_text())["protocols"]
        for method in ("de", "emod")
    }
    strict = "fewshot_subject_stimulus"
    difference = (
        scores["emod"][strict]["balanced_accuracy"]["value"] - scores["de"][strict]["balanced_accuracy"]["value"]
    )
    assert difference < -0.1
    start = page.index('id="below-baseline"')
    box = words(page[start : page.index("</div>", start)])
    assert f"EMOD ({figures_scores.signed(difference)} points [" in box
    assert "below DE" in box
    # Its predictions are missing, so nothing can be said of its interval.
    assert "ART + GAT" not in box
    leak = (
        scores["de"]["fewshot_subject"]["balanced_accuracy"]["value"]
        - scores["de"][strict]["balanced_accuracy"]["value"]
    )
    label = re.search(r'aria-label="(Differences on seed\. [^"]*Few-shot: new people: [^"]*)"', page)[1]
    assert f"DE baseline, Few-shot: new people: {figures_scores.signed(leak)} points (" in label


def test_pairs_of_methods_are_tested_and_what_few_people_cannot_show_is_said(page, project):
    compared = compare_files([project / f"metrics/seed/{method}.json" for method in ("de", "emod")])
    (pair,) = compared.comparisons
    assert (pair.higher, pair.lower, pair.people) == ("de", "emod", 5)
    text = words(page[page.index('id="pairs"') : page.index('id="leaks"')])
    assert "seed: the difference does not hold" in text
    assert f"DE baseline over EMOD {figures_scores.signed(pair.difference)} (5)" in text
    assert "With 5 people no two methods can be told apart, however far apart they lie" in text
    assert "It takes 6 people or more." in text
    assert "Not among them: ART + GAT (no predictions are stored)." in text


def rating_rows(project: Path, methods: dict[str, str]) -> list[str]:
    """The table of ratings from the metrics, row by row, under the strictest protocol."""
    rows = []
    for rating in ("valence", "arousal"):
        for method, title in methods.items():
            content = json.loads((project / f"metrics/seed/{method}.json").read_text())
            entry, cells = content["protocols"][USUAL[0]]["ratings"][rating], [title]
            for name in ("concordance", "rank_correlation", "within_subject_rank_correlation"):
                ends = [entry[name]["value"], *entry[name]["interval"].values()]
                cells.append("{} [{}, {}]".format(*map(figures_scores.decimal, ends)))
            rows.append(f"{' '.join(cells)} {entry['n_subjects']} ({entry['n_trials']})")
    return rows


def ratings_table(page: str) -> str:
    return page[page.index('id="ratings"') : page.index('id="leaks"')]


def test_ratings_are_those_of_the_metrics_under_the_strictest_protocol(page, project):
    table = ratings_table(page)
    titles = {"de": "DE baseline", "emod": "EMOD", "art_finetuned": "ART + GAT"}
    text, rows = words(table), rating_rows(project, titles)
    places = [text.index(row) for row in rows]
    assert places == sorted(places)
    assert table.count('<th scope="row">') == len(rows) == 6
    assert places[2] < text.index("Arousal, from calm to excited") < places[3]
    assert "seed Few-shot: new people, new clips. Concordance is 1" in text


def edited(project: Path, to: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """The page after ``change`` of every protocol's entry in the metrics."""
    shutil.copytree(project / "metrics", to / "metrics")
    for path in (to / "metrics").rglob("*.json"):
        content = json.loads(path.read_text())
        for entry in content["protocols"].values():
            change(entry)
        path.write_text(json.dumps(content))
    build(to, to / "page.html")
    return (to / "page.html").read_text(encoding="utf-8")


def test_ratings_with_leaks_are_not_shown_and_without_any_there_is_no_section(project, tmp_path):
    def without(entry: dict[str, Any]) -> None:
        if entry["leak_free"]:
            entry["ratings"].clear()

    assert 'id="ratings"' not in edited(project, tmp_path, without)


def test_a_rating_without_a_score_is_a_dash(project, tmp_path):
    def constant(entry: dict[str, Any]) -> None:
        entry["ratings"]["arousal"]["rank_correlation"] |= {"value": None, "interval": None}

    text = words(ratings_table(edited(project, tmp_path, constant)))
    assert re.search(r"Arousal, from calm to excited DE baseline \S+ \[\S+ \S+\] – \S+ \[\S+ \S+\] 5 \(45\)", text)


def test_signed_numbers_have_no_minus_zero():
    assert figures_scores.signed(-0.0001) == "+0.0"
    assert figures_scores.signed(-0.012) == "−1.2"
    assert figures_scores.decimal(-0.001) == "0.00"
    assert figures_scores.decimal(-0.5) == "−0.50"


def test_terms_of_a_loss_fill_their_scales():
    picture = figures_scores.terms({"epoch": (1.0, 2.0, 3.0), "loss": (2.0, 1.99, 1.98), "isa_chance": (4.0, 4.0, 4.0)})
    steps = re.search(r'<path d="M[\d. ]+l([^"]+)" class="after"', picture)[1].split()
    assert abs(sum(map(float, steps[1::2]))) > 35  # of 44 units, however small the change
    assert "Terms of the loss over 3 epochs: loss from 2 to 1.98." in picture


# -- the papers' numbers -----------------------------------------------------------------------------------------------


def test_reported_numbers_name_what_exists():
    every = read_reported()
    assert len(every) == len({(one.method, one.data_set, one.protocol) for one in every})
    for one in every:
        assert one.method in METHODS
        assert one.protocol in PROTOCOLS
        assert one.data_set in datasets.NAMES
        assert one.metric in ("accuracy", "balanced_accuracy")
        assert 0 < one.value < 100
        assert one.source


def test_reported_numbers_stand_beside_the_nearest_row_with_reasons(page, project):
    evaluations = read_evaluations(project)
    found = {one.reported.method: one for one in beside(evaluations, [], ["seed"])}
    assert set(found) == {"emod_finetuned", "art_finetuned"}
    emod = found["emod_finetuned"]
    assert emod.same is None
    row, score = emod.clean
    assert (row.method, row.protocol) == ("emod", "fewshot_subject_stimulus")
    assert score == row.balanced
    reasons = "; ".join(emod.reasons)
    for reason in ("simulated", "emod_seed) was not run", "frozen here", "5 people tested here, 15", "leaks"):
        assert reason in reasons
    assert "simulated" not in "; ".join(beside(evaluations, [], [])[0].reasons)
    text = words(page[page.index('id="reported"') : page.index('id="features"')])
    assert "61.14 ± 0.83" in text
    assert "99.27" in text


# -- features ----------------------------------------------------------------------------------------------------------


def test_features_are_drawn_with_their_scores(page):
    text = page[page.index('id="features"') : page.index('id="data"')]
    assert "The data sets lie apart" in text
    assert re.search(r'aria-label="Map of EMOD features for the target seed, by data set: other, seed\."', text)
    assert re.search(r'aria-label="Map of EMOD features for the target seed, by valence: negative, neutral', text)
    assert "(new to the encoder)" in words(text)
    assert re.search(r"adjusted Rand index with emotion 0\.\d\d \(chance up to", words(text))
    assert text.count("Distances between 10 pairs of classes") == 2
    silhouettes = re.search(r'aria-label="Silhouettes by data set ([\d.]+)', text)
    assert float(silhouettes[1]) > 0.5


def test_the_graph_is_drawn_for_each_emotion(page, project):
    graphs = read_graphs(project, "seed", "art_finetuned")
    assert [graph.emotion for graph in graphs] == ["calm", "fear"]
    assert all(len(graph.edges) == round(0.15 * 78) for graph in graphs)
    assert all(sum(degree for degree, _ in graph.channels.values()) == 2 * len(graph.edges) for graph in graphs)
    assert -1 <= likeness(graphs) < 0.8  # two draws of noise
    assert likeness(graphs[:1]) is None
    assert page.count("data:image/png;base64,") == 2
    assert "calm: most edges at" in page
    assert "much the same for each" not in page


def test_a_sweep_is_drawn_where_it_was_collected(page, project, tmp_path):
    assert "over cda_lambda: 0: 40.0%, 1: 50.0%." in page
    shutil.copytree(project / "metrics", tmp_path / "metrics")
    build(tmp_path, tmp_path / "page.html")
    text = words((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "None was collected" in text
    assert "No maps of features were found" in text
    assert "Person by person" not in text


@pytest.mark.parametrize("name", ["embedding/points.csv", "de/fewshot.csv", "art_finetuned/attention_degree.csv"])
def test_a_damaged_table_is_named(name, project, tmp_path):
    shutil.copytree(project, tmp_path / "copy")
    path = tmp_path / "copy" / "plots" / "seed" / name
    path.write_text(path.read_text().replace(",", ";", 1), encoding="utf-8")
    with pytest.raises(DataProblem, match=f"plots/seed/{name}"):
        build(tmp_path / "copy", tmp_path / "page.html")


def test_a_damaged_archive_of_predictions_is_named(project, tmp_path):
    shutil.copytree(project, tmp_path / "copy")
    (tmp_path / "copy/plots/seed/de/predictions.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(DataProblem, match=r"plots/seed/de/predictions\.npz"):
        build(tmp_path / "copy", tmp_path / "page.html")


def test_predictions_of_another_evaluation_are_named(project, tmp_path):
    """Scores would be those of one evaluation, their intervals and curves those of the other."""
    shutil.copytree(project, tmp_path / "copy")
    path = tmp_path / "copy/plots/seed/de/predictions.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays[f"{USUAL[0]}/probabilities"] = arrays[f"{USUAL[0]}/probabilities"][:, ::-1]
    np.savez(path, **arrays)
    with pytest.raises(DataProblem, match=r"plots/seed/de/predictions\.npz: found arrays .* as the metrics say"):
        build(tmp_path / "copy", tmp_path / "page.html")


# -- in a browser ------------------------------------------------------------------------------------------------------

# A picture in an SVG does not say whether it could be drawn; the same data in an `img` does.
TWINS = """const twins = [...document.querySelectorAll('image, img')].map(one => {
  const twin = new Image();
  twin.src = one.getAttribute('href') || one.src;
  return twin;
})"""
MEASURE = """document.querySelectorAll('details').forEach(one => one.open = true);
  const root = document.documentElement, width = root.clientWidth;
  const broken = twins.filter(one => !one.naturalWidth).map(one => one.src.slice(0, 40));
  const out = [...document.querySelectorAll('figure, figure svg, h1, h2, h3, p, ul, dl')].filter(one =>
    !one.closest('.scroll') && one.getBoundingClientRect().right > width + 1).map(one => one.tagName);
  return {width, over: root.scrollWidth - width, out, broken, images: twins.length};"""


@needs_browser
@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_in_a_browser(width, page, tmp_path):
    """With everything unfolded: nothing sticks out, no picture is broken, the console stays silent."""
    found, console = look(page, MEASURE, tmp_path, width=width, before=TWINS)
    images = len(re.findall(r"<(?:image|img)\b", page))
    assert images
    # A scroll bar at the side takes some pixels.
    assert width - 20 <= found.pop("width") <= width
    assert found == {"over": 0, "out": [], "broken": [], "images": images}
    assert console == []


@needs_browser
def test_the_browser_finds_what_is_wrong(tmp_path):
    wrong = (
        '<!doctype html><body><img src="data:image/png;base64,AAAA"><p style="width:2000px">wide</p>'
        "<script>console.error('said')</script></body>"
    )
    found, console = look(wrong, MEASURE, tmp_path, width=390, before=TWINS)
    assert found["over"] > 1000
    assert found["out"] == ["P"]
    assert found["broken"] == ["data:image/png;base64,AAAA"]
    assert len(console) == 1

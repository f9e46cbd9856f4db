"""The page: everything that was found, put into the template."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from eegpipe import svg
from eegpipe.errors import UsageProblem
from eegpipe.paired import LEVEL
from eegpipe.protocols import PROTOCOLS
from eegpipe.report import figures, figures_scores, pictures, quality
from eegpipe.report.collect import DataSet, Model, read_data_sets, read_models
from eegpipe.report.comparison import (
    METHOD_TITLES,
    SHARED_CLASSIFIER,
    Evaluation,
    Gap,
    Row,
    read_evaluations,
)
from eegpipe.report.excerpts import SHOWN_S, excerpt
from eegpipe.writing import write_file

_FEW_SUBJECTS = 15


def write(root: Path, out: Path, targets: Sequence[str] | None = None) -> None:
    """See :func:`eegpipe.report.build`."""
    everything = read_evaluations(root)
    evaluations = [one for one in everything if targets is None or one.target in targets]
    others = sorted({one.target for one in everything} - {one.target for one in evaluations})
    if not evaluations:
        raise UsageProblem(
            f"{root / 'metrics'}: no metrics, so there is nothing to report. "
            "Run `dvc repro` or `eegpipe evaluate` first."
        )
    data_sets = read_data_sets(root)
    models = [one for one in read_models(root) if targets is None or one.target in targets]
    folder = files("eegpipe.report")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string((folder / "page.html").read_text(encoding="utf-8"))
    text = template.render(
        style=Markup((folder / "style.css").read_text(encoding="utf-8")),
        percent=_percent,
        share=_share,
        points=_points,
        gap_interval=_gap_interval,
        signed_decimal=figures_scores.decimal,
        decimal=_decimal,
        numbers=_numbers,
        higher=_higher,
        level=LEVEL,
        **_head(evaluations, data_sets),
        **_results(root, evaluations, data_sets),
        **pictures.papers(evaluations, models, [one.name for one in data_sets if one.simulated]),
        **pictures.features(root, evaluations),
        sweeps=pictures.sweep(root),
        **_data(evaluations, data_sets),
        **_quality(data_sets),
        **_cleaning(root, data_sets),
        **_pretraining(models),
        **_run(evaluations, data_sets, models),
        limits=[*_limits(evaluations, data_sets), *_not_shown(others)],
    )
    write_file(out, text.encode())


# -- words -------------------------------------------------------------------------------------------------------------


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _share(value: float | None) -> str:
    """Per cent without its sign, for columns that say so."""
    return "–" if value is None else f"{100 * value:.1f}"


def _points(value: float) -> str:
    return f"{100 * value:+.1f} points".replace("-", "−")


def _gap_interval(gap: Gap) -> str:
    if gap.low is None or gap.high is None:
        return "–"
    return f"[{figures_scores.signed(gap.low)}, {figures_scores.signed(gap.high)}]"


def _decimal(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _higher(gap: Gap) -> str:
    return f"{gap.higher_for} of {gap.of_subjects}" if gap.of_subjects else "–"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _facts(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, value) pairs."""
    pairs = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            pairs += _facts(value, f"{prefix}{name}.")
        else:
            pairs.append((f"{prefix}{name}", _value(value)))
    return pairs


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(f"({_value(item)})" if isinstance(item, list | tuple) else _value(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


# -- sections ----------------------------------------------------------------------------------------------------------


def _head(evaluations: Sequence[Evaluation], data_sets: Sequence[DataSet]) -> dict[str, Any]:
    targets = list(dict.fromkeys(one.target for one in evaluations))
    methods = list(dict.fromkeys(one.method for one in evaluations))
    titles = [METHOD_TITLES.get(method, method) for method in methods]
    own = [METHOD_TITLES[method] for method in methods if method in METHOD_TITLES and method not in SHARED_CLASSIFIER]
    tuned = f" except {_listed(own)}, which {'has its' if len(own) == 1 else 'have their'} own" if own else ""
    recorded = ""
    if data_sets:
        people, recordings = sum(one.subjects for one in data_sets), sum(len(one.recordings) for one in data_sets)
        hours = sum(one.hours for one in data_sets)
        recorded = (
            f"The data: {_count(recordings, 'recording')} of {people} people in {_count(len(data_sets), 'data set')}, "
            f"{hours:.1f} hours, from vendor files through BIDS, cleaning and segments."
        )
    return {
        "title": "Emotion from EEG: what holds for new people",
        "targets": targets,
        "what": (
            f"This page compares {_listed(titles)} at telling emotions or mental states from EEG, on "
            f"{_count(len(targets), 'target data set')}. Every method gets the same splits, and the same "
            f"classifier{tuned}; a pre-trained encoder has never seen the data set that it is tested on. {recorded}"
        )
        if len(methods) > 1
        else (
            f"This page shows how well {titles[0]} tells emotions or mental states from EEG, on "
            f"{_count(len(targets), 'target data set')}, under splits that were fixed before any training. {recorded}"
        ),
        "simulated": [one.name for one in data_sets if one.simulated],
        "real": [one.name for one in data_sets if not one.simulated],
    }


def _results(root: Path, evaluations: Sequence[Evaluation], data_sets: Sequence[DataSet]) -> dict[str, Any]:
    targets = list(dict.fromkeys(one.target for one in evaluations))
    known = list(METHOD_TITLES)
    methods = sorted({one.method for one in evaluations}, key=lambda name: (name not in known, name))
    methods.sort(key=lambda name: known.index(name) if name in known else len(known))
    simulated = {one.name for one in data_sets if one.simulated}
    rows = [row for one in evaluations for row in one.rows]
    clean = _in_order(row for row in rows if row.leak_free)
    leaky = _in_order(row for row in rows if not row.leak_free)
    reasons: dict[str, dict[str, None]] = {}
    for row in leaky:
        reasons.setdefault(row.title, {}).update(dict.fromkeys(row.leaks))
    refused = {reason: None for one in evaluations for reason in one.not_applicable.values()}
    confusions = [one.confusion for one in evaluations if one.confusion is not None]
    titles = {(row.target, row.method, row.protocol): row for row in rows}
    confidence = {float(one.settings["confidence"]) for one in evaluations}
    return {
        "cards": [_card(target, clean, evaluations, target in simulated) for target in targets],
        "confidence": " or ".join(f"{100 * value:g} %" for value in sorted(confidence)),
        "clips_apart": any(row.protocol in PROTOCOLS and PROTOCOLS[row.protocol].clips_apart for row in clean),
        "method_key": [(METHOD_TITLES.get(name, name), _symbol(number)) for number, name in enumerate(methods)],
        "forests": [
            (target, Markup(figures.forest([row for row in [*clean, *leaky] if row.target == target], methods)))
            for target in targets
        ],
        "clean_blocks": _blocks(clean),
        "leaky_blocks": _blocks(leaky),
        "leak_reasons": [(title, list(texts)) for title, texts in reasons.items()],
        **pictures.scores(root, evaluations, clean, methods),
        "not_applicable": list(refused),
        "confusions": [
            (titles[table.target, table.method, table.protocol], Markup(figures.confusion(table)))
            for table in confusions
        ],
    }


def _in_order(rows: Iterable[Row]) -> list[Row]:
    """Rivals stand together: by target, then by protocol from the strictest, methods as they came."""
    order = list(PROTOCOLS)
    place = {name: number for number, name in enumerate(order)}
    return sorted(rows, key=lambda row: (row.target, place.get(row.protocol, len(order)), row.protocol))


def _blocks(rows: Sequence[Row]) -> list[tuple[str, list[list[Row]]]]:
    """Ordered rows by target, then by protocol."""
    return [
        (target, [list(rivals) for _, rivals in groupby(mine, key=lambda row: row.protocol)])
        for target, mine in groupby(rows, key=lambda row: row.target)
    ]


def _card(target: str, clean: Sequence[Row], evaluations: Sequence[Evaluation], simulated: bool) -> dict[str, Any]:
    mine = [row for row in clean if row.target == target]
    rows = [row for row in mine if row.protocol == mine[0].protocol]
    of_target = next(one for one in evaluations if one.target == target)
    size = ""
    if rows:
        size = f"{_count(rows[0].subjects, 'test subject')}, {rows[0].trials} trials, {rows[0].segments} segments."
    classes = f"{len(of_target.classes)} classes: {', '.join(of_target.classes)}."
    return {"target": target, "simulated": simulated, "rows": rows, "classes": classes, "size": size}


def _symbol(method: int) -> Markup:
    shape = svg.marker(8, 8, 5.5, shape=method, style=f"mean m{method % 6}")
    return Markup(f'<svg viewBox="0 0 16 16" aria-hidden="true">{shape}</svg>')


def _line_symbol(style: str) -> Markup:
    return Markup(f'<svg viewBox="0 0 16 16" aria-hidden="true">{svg.line(0, 8, 16, 8, style=style)}</svg>')


def _data(evaluations: Sequence[Evaluation], data_sets: Sequence[DataSet]) -> dict[str, Any]:
    classes = {
        one.target: (
            one.definition,
            ", ".join(f"{name} ({count})" for name, count in zip(one.classes, one.class_trials, strict=True)),
        )
        for one in evaluations
    }
    return {"data_sets": data_sets, "classes": [(target, *text) for target, text in classes.items()]}


def _quality(data_sets: Sequence[DataSet]) -> dict[str, Any]:
    columns, rows = quality.summary(data_sets)
    missing = [one.name for one in data_sets if one.quality is None]
    return {
        "quality_missing": missing if data_sets else ["any data set"],
        "quality_columns": columns,
        "quality_rows": rows,
        "strips": [(data.title, Markup(figures.strip(data))) for data in quality.strips(data_sets)],
        "suspicious": quality.suspicious(data_sets),
        "odd_deviations": f"{quality.ODD_DEVIATIONS:g}",
    }


def _cleaning(root: Path, data_sets: Sequence[DataSet]) -> dict[str, Any]:
    pieces = []
    for one in data_sets:
        found = excerpt(root, one)
        if found is not None:
            words = {
                "name": one.name,
                "recording": found.recording.stem,
                "why": found.why,
                "seconds": f"Second {found.start_s:.0f} to {found.start_s + SHOWN_S:.0f}",
                "line_hz": f"{found.line_hz:g}",
            }
            pieces.append((words, Markup(figures.traces(found)), Markup(figures.spectra(found))))
    return {"excerpts": pieces, "before_symbol": _line_symbol("before"), "after_symbol": _line_symbol("after")}


def _pretraining(models: Sequence[Model]) -> dict[str, Any]:
    shown = []
    for model in models:
        seen = model.manifest["datasets"]
        words = {
            "title": f"{METHOD_TITLES.get(model.method, model.method)} for the target {model.target}",
            "facts": [
                ("Parameters", f"{model.parameters:,}".replace(",", " ")),
                *((name, _seen(entry)) for name, entry in seen.items()),
                ("Target seen", "yes" if model.target in seen else "no"),
                ("Variant", str(model.manifest.get("variant", "–"))),
                ("Labels read", str(model.manifest.get("labels", "–"))),
                *((("CDA weight", _value(model.manifest["cda_lambda"])),) if "cda_lambda" in model.manifest else ()),
                ("Seed", str(model.manifest.get("seed", "–"))),
            ],
        }
        drawn = figures.has_losses(model.log)
        terms = Markup(figures_scores.terms(model.log)) if drawn and len(model.log["epoch"]) > 1 else ""
        shown.append((words, Markup(figures.losses(model.log)) if drawn else "", terms))
    return {"models": shown}


def _seen(entry: Mapping[str, Any]) -> str:
    counts = [_count(len(entry["subjects"]), "subject"), _count(len(entry["stimuli"]), "clip")]
    return ", ".join([*counts, _count(entry["segments"], "segment")])


def _run(evaluations: Sequence[Evaluation], data_sets: Sequence[DataSet], models: Sequence[Model]) -> dict[str, Any]:
    blocks: list[tuple[str, list[tuple[str, str]]]] = []
    for one in data_sets:
        if one.filters:
            blocks.append((f"Cleaning of {one.name} (first recording)", _facts(one.filters)))
    for model in models:
        values = {"training": model.manifest.get("settings", {}), "network": model.config}
        blocks.append((f"Pre-training of {model.method} for {model.target}", _facts(values)))
    for evaluation in evaluations:
        blocks.append((f"Evaluation of {evaluation.method} on {evaluation.target}", _facts(evaluation.settings)))
    uses: dict[str, dict[str, None]] = {}
    for evaluation in evaluations:
        for row in evaluation.rows:
            for text in row.uses:
                uses.setdefault(text, {})[f"{row.method_title}, {row.title}"] = None
    software = dict.fromkeys(name for one in data_sets for name in one.software)
    for model in models:
        software |= dict.fromkeys(f"{name} {version}" for name, version in model.manifest.get("versions", {}).items())
    return {
        "evaluations": evaluations,
        "settings": _merged(blocks),
        "uses": [(text, "; ".join(where)) for text, where in uses.items()],
        "software": list(software),
    }


def _merged(blocks: Sequence[tuple[str, list[tuple[str, str]]]]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Blocks with equal content once, under all their names."""
    names: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for name, pairs in blocks:
        names.setdefault(tuple(pairs), []).append(name)
    return [("; ".join(known), list(pairs)) for pairs, known in names.items()]


def _not_shown(targets: Sequence[str]) -> list[str]:
    if not targets:
        return []
    return [
        f"Not shown: metrics of {_listed(targets)}. The settings do not name it as a target, so they are of earlier "
        "settings."
    ]


def _limits(evaluations: Sequence[Evaluation], data_sets: Sequence[DataSet]) -> list[str]:
    simulated = [one.name for one in data_sets if one.simulated]
    rows = [row for one in evaluations for row in one.rows]
    limits = []
    if simulated:
        limits.append(
            f"{_listed(simulated)}: simulated. The simulator plants emotion in the signal in a way that its makers "
            "chose, so a good result shows that the pipeline works, not that emotion can be read from EEG."
        )
    few = sorted({row.target for row in rows if row.subjects < _FEW_SUBJECTS})
    if few:
        limits.append(
            f"{_listed(few)}: fewer than {_FEW_SUBJECTS} test subjects. An interval over so few people is too narrow, "
            "and other people may well give another picture."
        )
    conditions = sorted({row.target for row in rows if any("condition" in note for note in row.notes)})
    if conditions:
        limits.append(
            f"{_listed(conditions)}: each class is one recording condition. Anything that differs between the "
            "conditions (time, movement, open or closed eyes) can be what is recognised."
        )
    seeds = {one.seed for one in evaluations}
    if len(seeds) == 1:
        limits.append(
            f"One seed ({seeds.pop()}). Intervals hold for other test subjects, not for other seeds of training."
        )
    failed = sum(len(one.failed) for one in data_sets)
    if failed:
        limits.append(
            f"{_count(failed, 'recording')} could not be cleaned and took part in nothing. Data quality says why."
        )
    limits += [
        "Each target has several rows. Some interval lies above chance by luck if one looks at many.",
        "Bad channels and removed components are chosen by rules and a trained classifier (ICLabel). Both err.",
        "A label is the vendor's: the emotion that a clip was meant to evoke or a rating after it, not what a person "
        "felt in every second.",
        "Nothing here is fit for diagnosis or for judging a person.",
    ]
    return limits

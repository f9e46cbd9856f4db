"""The quality page of one recording: what was done to it, in words and pictures, one file that needs nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from eegpipe.clean import drawings, topomap
from eegpipe.clean.attention import cautions, percent, short
from eegpipe.clean.evidence import Evidence
from eegpipe.clean.page_style import STYLE
from eegpipe.clean.record import kind_of_removal

_NONE = "–"
# Spectra begin here: below, a window of two seconds holds no whole period, and the logarithm needs no zero.
_LOWEST_HZ = 0.5
_SOURCE_LOWEST_HZ = 1.0
_FIGURES = ("blink_uv", "line_db", "alpha_peak_hz", "alpha_uv2", "amplitude_uv")
# A share of the mean blink worth a word, beside a component.
_TELLING_BLINK_SHARE = 0.05


def recording_page(stem: str, record: Mapping[str, Any], evidence: Evidence) -> str:
    """One recording as a page of HTML: no script, no network, the same bytes for the same input.

    Parameters
    ----------
    stem
        Of the recording's files, ``sub-01_task-emotion``.
    record
        :meth:`eegpipe.clean.chain.CleanRecord.as_json`.
    evidence
        Of the same run: as many topographies as the record has components.

    Raises
    ------
    ValueError
        If record and evidence are not of one run.
    """
    components = record["components"]
    if evidence.topographies_uv.shape[-1] != len(components):
        raise ValueError(f"{stem}: {evidence.topographies_uv.shape[-1]} topographies, {len(components)} components")
    seen = topomap.scalp(evidence.positions_m)
    good = np.array(
        [index for index, name in enumerate(evidence.names) if name not in record["bad_channels"]], dtype=int
    )
    body = [
        _head(stem, record, evidence),
        _figures(record, evidence, seen),
        _components(record, evidence, seen),
        _spectra(record, evidence),
        _signal(record, evidence),
    ]
    return page(stem, [drawings.head_symbol(seen, set(good.tolist())), *body])


def page(title: str, parts: Sequence[str]) -> str:
    """A whole document around ``parts``, which are HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)} - quality of the cleaning</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


# -- words -------------------------------------------------------------------------------------------------------------


def count(amount: int, thing: str) -> str:
    """``2 components``"""
    return f"{amount} {thing}{'' if amount == 1 else 's'}"


def _were(amount: int) -> str:
    return "was" if amount == 1 else "were"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def kind_of(component: Mapping[str, Any]) -> str:
    """ICLabel's most probable class; the one that decided, for a removed component."""
    if component["removed"]:
        return kind_of_removal(component["removed"])
    likely = component["probabilities"]
    return max(likely, key=likely.__getitem__) if likely else "other"


def _verdict(record: Mapping[str, Any], channels: int) -> str:
    """What happened to the recording, in two or three sentences."""
    bad = len(record["bad_channels"])
    fate = f"{_were(bad)} bad and {'is' if bad == 1 else 'are'} interpolated"
    said = [f"{bad} of {channels} channels {fate}." if bad else "No channel was bad."]
    components = record["components"]
    removed = [component for component in components if component["removed"]]
    if record["ica_skipped"]:
        said.append(f"No components were removed: {record['ica_skipped']}.")
    elif not removed:
        said.append(f"None of {count(len(components), 'component')} was removed.")
    else:
        kinds = [f"{amount} {kind}" for kind, amount in sorted(Counter(map(kind_of, removed)).items())]
        said.append(
            f"{len(removed)} of {count(len(components), 'component')} {_were(len(removed))} removed "
            f"({_listed(kinds)}); {percent(record['variance_kept'])} of the variance is left."
        )
    before_uv, after_uv = record["before"]["blink_uv"], record["after"]["blink_uv"]
    if before_uv is not None and after_uv is not None:
        said.append(f"The mean of {record['blinks']} blinks went from {short(before_uv)} to {short(after_uv)} µV.")
    return " ".join(said)


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record's figures under the names of the quality table's columns, for :func:`attention.cautions`."""
    sides = {f"{name}_{when}": record[when][name] for name in _FIGURES for when in ("before", "after")}
    return {**record, **sides}


def _head(stem: str, record: Mapping[str, Any], evidence: Evidence) -> str:
    told = cautions(flat(record))
    if told:
        items = "".join(f"<li>{escape(one[0].upper() + one[1:])}.</li>" for one in told.values())
        judged = f'<div class="attention"><strong>Worth a look</strong><ul>{items}</ul></div>'
    else:
        judged = '<p class="fine">Nothing in the figures of this recording asks for attention.</p>'
    parts = [("figures", "Figures"), ("components", "Components"), ("spectra", "Spectra"), ("signal", "Signal")]
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title in parts)
    return (
        f'<header><nav aria-label="Pages"><a href="index.html">All recordings</a>{links}</nav><h1>{escape(stem)}</h1>'
        f'<p class="lead">{escape(_verdict(record, len(evidence.names)))}</p>{judged}</header>'
    )


# -- figures -----------------------------------------------------------------------------------------------------------


def _band(band_hz: Sequence[float] | None) -> str:
    return _NONE if not band_hz else f"{band_hz[0]:g}-{band_hz[1]:g} Hz"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _iclabel(record: Mapping[str, Any]) -> str:
    if record["ica_skipped"]:
        return "not run"
    seen = f"sees {_band(record['iclabel_band_hz'])}"
    if record["iclabel_valid"]:
        return f"its conditions hold; {seen}"
    return f"outside its conditions ({record['iclabel_reason']}); {seen}; only clear eye components are removed"


def _figures(record: Mapping[str, Any], evidence: Evidence, seen: topomap.Scalp) -> str:
    before, after = record["before"], record["after"]
    rows = (
        ("Blinks, mean height", "blink_uv", "µV"),
        ("Mains above surroundings", "line_db", "dB"),
        ("Alpha peak", "alpha_peak_hz", "Hz"),
        ("Alpha power", "alpha_uv2", "µV²/Hz"),
        ("Amplitude, 1-40 Hz", "amplitude_uv", "µV"),
    )
    lines = "".join(
        f'<tr><th scope="row">{title}</th><td class="number">{_figure(before[name])}</td>'
        f'<td class="number">{_figure(after[name])}</td><td>{unit}</td></tr>'
        for title, name, unit in rows
    )
    table = (
        '<table><thead><tr><td></td><th class="number" scope="col">before</th><th class="number" scope="col">after</th>'
        f"<td></td></tr></thead><tbody>{lines}</tbody></table>"
    )
    per_weight = record["samples_used"] / max(1, len(record["components"])) ** 2
    converged = "converged" if record["converged"] else "did NOT converge"
    fitted = record["ica_skipped"] or f"{record['samples_used']} samples, {per_weight:.1f} per weight; {converged}"
    notches = ", ".join(f"{value:g}" for value in record["notches_hz"])
    filters = (
        f"{_band(record['band_hz'])}" if record["high_passed"] else f"below {record['band_hz'][1]:g} Hz, no high-pass"
    )
    facts = [
        ("Recording", f"{_duration(record['duration_s'])} in {count(record['blocks'], 'block')}"),
        ("Band of the data", _band(record["data_band_hz"])),
        ("Filter", filters + (f"; notch at {notches} Hz" if notches else "")),
        ("Calm seconds", percent(record["calm_share"], 1)),
        ("Rank", f"{record['rank']} dimensions of {count(len(evidence.names), 'channel')}"),
        ("ICA", fitted),
        ("ICLabel", _iclabel(record)),
        ("Variance kept", percent(record["variance_kept"], 1)),
    ]
    listed = "".join(f"<dt>{title}</dt><dd>{escape(text)}</dd>" for title, text in facts)
    bad = "".join(
        f"<li><strong>{escape(name)}</strong> {escape(reason)}</li>" for name, reason in record["bad_channels"].items()
    )
    electrodes = drawings.head("", seen.reach, f"Places of {len(evidence.names)} electrodes, bad ones crossed.")
    return (
        '<section id="figures"><h2>Figures</h2><div class="sides">'
        f'<div class="card"><dl class="facts">{listed}</dl></div>'
        f'<div class="card">{table}</div>'
        f'<div class="card"><h3>Bad channels ({len(record["bad_channels"])})</h3>{f"<ul>{bad}</ul>" if bad else ""}'
        f'<div class="layout">{electrodes}</div></div></div></section>'
    )


def _figure(value: float | None) -> str:
    return _NONE if value is None else short(value)


# -- components --------------------------------------------------------------------------------------------------------


def _components(record: Mapping[str, Any], evidence: Evidence, seen: topomap.Scalp) -> str:
    components = record["components"]
    if not components:
        why = record["ica_skipped"] or "there was no ICA"
        return f'<section id="components"><h2>Components</h2><p>None: {escape(why)}.</p></section>'
    places = {name: index for index, name in enumerate(evidence.names)}
    rows = np.array([places[name] for name in evidence.good])
    images = topomap.maps(seen, rows, evidence.topographies_uv)
    order = sorted(range(len(components)), key=lambda index: (-components[index]["variance"], index))
    removed = [index for index in order if components[index]["removed"]]
    kept = [index for index in order if not components[index]["removed"]]
    present = {kind_of(component) for component in components}
    likely = {name for one in components for name, share in one["probabilities"].items() if share >= 0.05}
    key = "".join(f'<li><i class="c-{name}"></i>{name}</li>' for name in drawings.CLASSES if name in present | likely)
    removed_cards = "".join(_removed_card(index, components[index], evidence, images[index], seen) for index in removed)
    kept_cards = "".join(_kept_card(index, components[index], images[index], seen) for index in kept)
    return (
        '<section id="components"><h2>Components</h2><p class="muted">Sorted by the variance they explain, '
        "numbered from 0 as in the record. Red and blue are opposite signs, each map has its own scale; the sign of a "
        "component means nothing. The bar shows ICLabel's probabilities:</p>"
        f'<ul class="key">{key}</ul>'
        f"<h3>Removed ({len(removed)})</h3>"
        f"{f'<div class=removed>{removed_cards}</div>' if removed else '<p>None.</p>'}"
        f'<h3>Kept ({len(kept)})</h3><ul class="kept">{kept_cards}</ul></section>'
    )


def _removed_card(index: int, one: Mapping[str, Any], evidence: Evidence, image: str, seen: topomap.Scalp) -> str:
    kind, name = kind_of(one), f"Component {index}"
    probability = one["probabilities"].get(kind)
    sure = f"{kind} {probability:.2f}" if probability is not None else kind
    told = [f"{percent(one['variance'], 1)} of the variance"]
    if sure not in one["removed"]:
        told.insert(0, sure)
    if one["blink_share"] >= _TELLING_BLINK_SHARE:
        told.append(f"{percent(one['blink_share'])} of the mean blink")
    largest_uv = float(np.abs(np.nan_to_num(evidence.topographies_uv[:, index])).max(initial=0))
    told.append(f"up to {short(largest_uv)} µV per standard deviation")
    shown = evidence.frequencies_hz >= _SOURCE_LOWEST_HZ
    course = evidence.source_excerpt[index]
    duration_s = len(course) / evidence.excerpt_rate_hz
    pictures = [drawings.head(image, seen.reach, f"{name}: {', '.join(told)}.")]
    pictures.append(
        drawings.source_spectrum(
            evidence.frequencies_hz[shown], evidence.source_power[index][shown], f"{name}: power spectrum."
        )
        if shown.any()
        else "<span></span>"
    )
    if len(course):
        pictures.append(drawings.source_course(course, duration_s, f"{name}: {duration_s:g} seconds, a rule every 5."))
    return (
        f'<article class="card"><header><h3>{name}</h3><span class="why">removed: {escape(one["removed"])}</span>'
        f'<span class="muted">{escape(", ".join(told))}</span></header>'
        f"<div>{pictures[0]}{drawings.class_bar(one['probabilities'])}</div>{''.join(pictures[1:])}</article>"
    )


def _kept_card(index: int, one: Mapping[str, Any], image: str, seen: topomap.Scalp) -> str:
    kind = kind_of(one)
    probability = one["probabilities"].get(kind)
    sure = f"{kind} {probability:.2f}" if probability is not None else kind
    share = percent(one["variance"], 1)
    picture = drawings.head(image, seen.reach, f"Component {index}: {sure}, {share} of the variance.")
    return (
        f'<li>{picture}{drawings.class_bar(one["probabilities"])}<span class="line2"><b>{index}</b> {share}</span>'
        f"<span>{escape(sure)}</span></li>"
    )


# -- spectra and signal ------------------------------------------------------------------------------------------------


def _spectra(record: Mapping[str, Any], evidence: Evidence) -> str:
    shown = evidence.frequencies_hz >= _LOWEST_HZ
    if shown.sum() < 2:
        return '<section id="spectra"><h2>Spectra</h2><p>Too short for a spectrum.</p></section>'
    frequencies_hz = evidence.frequencies_hz[shown]
    bad = record["bad_channels"]
    sides = (("before", evidence.power_before[:, shown], tuple(bad)), ("after", evidence.power_after[:, shown], ()))
    range_db = drawings.spectrum_range(*(power for _, power, _ in sides))
    figures = "".join(
        f"<figure><figcaption>{when.capitalize()} cleaning</figcaption>"
        f"{drawings.spectra(frequencies_hz, power, evidence.names, marked, range_db, when)}</figure>"
        for when, power, marked in sides
    )
    of_bad = '<li><i class="stroke s-bad"></i>bad channel (interpolated after cleaning)</li>' if bad else ""
    return (
        '<section id="spectra"><h2>Spectra</h2><ul class="key"><li><i class="stroke s-faint"></i>one channel</li>'
        '<li><i class="stroke s-before"></i>median before</li><li><i class="stroke s-after"></i>median after</li>'
        f'{of_bad}</ul><div class="pair">{figures}</div></section>'
    )


def _signal(record: Mapping[str, Any], evidence: Evidence) -> str:
    samples = evidence.excerpt_before_uv.shape[1]
    if not samples:
        return ""
    duration_s = samples / evidence.excerpt_rate_hz
    start_s = evidence.excerpt_start_s
    chosen = ", where most artefact was removed" if any(one["removed"] for one in record["components"]) else ""
    lane_uv = drawings.lane_uv(evidence.excerpt_after_uv)
    picture = drawings.stacked(
        evidence.excerpt_before_uv,
        evidence.excerpt_after_uv,
        evidence.names,
        record["bad_channels"],
        start_s,
        evidence.excerpt_rate_hz,
    )
    return (
        '<section id="signal"><h2>Signal</h2>'
        f'<p class="muted">Seconds {start_s:g} to {start_s + duration_s:g}{chosen}. Two neighbouring channels are '
        f"{lane_uv:g} µV apart; what leaves its place by more than {drawings.MOST_LANES} channels is cut. Bad channels "
        f"have a coloured name, are cut at {drawings.MOST_LANES_BAD}, and are interpolated after cleaning.</p>"
        '<ul class="key"><li><i class="stroke s-before"></i>before, not filtered</li>'
        f'<li><i class="stroke s-after"></i>after cleaning</li></ul><figure>{picture}</figure></section>'
    )

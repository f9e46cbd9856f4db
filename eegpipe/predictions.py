"""From features to predictions under one split: the same treatment and the same head for every method."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from eegpipe import audit, forked, metrics, progress, ratings
from eegpipe.connectivity import Graph, graphs
from eegpipe.errors import DataProblem
from eegpipe.features import lds_smooth, online_normalise, priors, streams, trials
from eegpipe.fingerprint import digest
from eegpipe.models.baselines import (
    BANDS,
    ClassShares,
    MlpSettings,
    class_prior,
    de_features,
    fit_mlp,
    fixed_threads,
    nearest_neighbour,
)
from eegpipe.protocols import PROTOCOLS, TRANSDUCTIVE
from eegpipe.splits import Fold, Split, knows_tested, part_mask
from eegpipe.trials import Classes, find_classes

if TYPE_CHECKING:
    from eegpipe.finetune import Trainer
    from eegpipe.loader import Segments
    from eegpipe.models.baselines_features import Part


@dataclass(frozen=True)
class EvaluateSettings:
    """How features are treated and scored. mdJPT's protocols have their own treatment, the published one."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    # "causal": mdJPT's online z-score, priors from training subjects. "training": z-score by the training part alone,
    # which uses nothing of the test subjects.
    normalisation: Literal["causal", "training"] = "causal"
    # "lds": Kalman smoothing within each trial, as published. Not causal: such a row is not called leak free.
    smoothing: Literal["none", "lds"] = "none"
    # What an encoder that normalises over a batch sees at once: a subject's segments of the "part", or of the whole
    # "session", several times quicker. The latter mixes clips of training and test: such a row is not called leak free.
    encoder_batch: Literal["part", "session"] = "part"
    # torch's threads for an encoder on the CPU. Not the machine's number, because last digits depend on it; more than
    # one pays for the paper's network on an idle machine and costs dearly where cores are shared.
    encoder_threads: Annotated[int, Ge(1), Le(256)] = 1
    mlp: MlpSettings = MlpSettings()  # noqa: RUF009  (frozen)
    # Bands of differential entropy, Hz.
    bands: tuple[tuple[float, float], ...] = BANDS
    # Resamples of test subjects for an interval; 0: none.
    resamples: Annotated[int, Ge(0), Le(100_000)] = 1000
    # Of the interval.
    confidence: Annotated[float, Gt(0), Lt(1)] = 0.95


class FeatureEncoder(Protocol):
    """A frozen encoder. ``manifest`` names what it has seen (see :func:`splits.assert_unseen`)."""

    @property
    def manifest(self) -> Mapping[str, Any]: ...

    @property
    def across(self) -> bool:
        """Whether features of a segment depend on the other segments of its session that are given."""
        ...

    def features(self, segments: Segments) -> np.ndarray:
        """(n, d). Never depends on other subjects."""
        ...


class FittedHead(Protocol):
    """A trained classifier of features. ``curve``: per epoch the training loss and, if watched, a score."""

    @property
    def curve(self) -> Sequence[tuple[float, float | None]]: ...

    def probabilities(self, part: Part) -> np.ndarray:
        """(n, class) float64, rows sum to 1."""
        ...


class Head(Protocol):
    """A classifier of features in the place of the shared one.

    ``reads_past``: whether an answer depends on the earlier segments of the same trial.
    """

    @property
    def reads_past(self) -> bool: ...

    def described(self) -> dict[str, Any]:
        """Every setting, in plain values."""
        ...

    def fit(
        self, train: Part, truth: np.ndarray, n_classes: int, watch: tuple[Part, np.ndarray] | None, seed: int
    ) -> FittedHead:
        """Train on ``train``; ``watch``: the validation part of the fold, None where the split has none."""
        ...


class FeatureCache:
    """Features before any treatment, computed once for each (subject, set of clips) that a part needs.

    ``head``: what classifies them; None: what all methods share.
    """

    def __init__(
        self,
        segments: Segments,
        encoder: FeatureEncoder | None,
        settings: EvaluateSettings,
        head: Head | None = None,
    ) -> None:
        self.head = head
        self.segments = segments
        self.encoder = encoder
        self.across = encoder is not None and encoder.across
        self.by_part = self.across and settings.encoder_batch == "part"
        self.settings = settings
        self._known: dict[bytes, np.ndarray] = {}

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """(len(rows), d) float64. ``rows`` : positions of all segments of a part, ascending."""
        pieces = []
        for mine, together in self._pieces(rows):
            key = together.tobytes()
            if key not in self._known:
                self._known[key] = self._compute(together)
            pieces.append((mine, self._known[key][np.searchsorted(together, mine)]))
        order = np.argsort(np.concatenate([mine for mine, _ in pieces]))
        return np.concatenate([values for _, values in pieces])[order].astype(np.float64)

    def fill(self, parts: Sequence[np.ndarray], workers: int) -> None:
        """Compute what these parts will ask for, in so many processes."""
        wanted = {together.tobytes(): together for rows in parts for _, together in self._pieces(rows)}
        missing = [key for key in wanted if key not in self._known]
        values = forked.in_order(lambda number: self._compute(wanted[missing[number]]), len(missing), workers)
        self._known |= zip(missing, values, strict=True)

    def _pieces(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each subject its segments among ``rows``, and those that are given to the encoder together."""
        for subject in np.unique(self.segments.subject[rows]):
            mine = rows[self.segments.subject[rows] == subject]
            yield mine, mine if self.by_part else np.flatnonzero(self.segments.subject == subject)

    def _compute(self, rows: np.ndarray) -> np.ndarray:
        chosen = self.segments.select(rows)
        if self.encoder is None:
            values = de_features(chosen.eeg, chosen.rate_hz, self.settings.bands)
        else:
            with fixed_threads(self.settings.encoder_threads):
                values = self.encoder.features(chosen)
        if not np.isfinite(values).all():
            where = f"features of {chosen.dataset}, subject {chosen.subject_names[chosen.subject[0]]}"
            cure = "Look at the subject's signal with `eegpipe inspect`, or pre-train the encoder again."
            raise DataProblem(where, "values that are not finite", "finite values", cure)
        return values


@dataclass(eq=False)
class Predictions:
    """All predictions under one split; one entry per predicted segment and group."""

    split: Split
    done: tuple[str, ...]  # uses of unlabelled test data, keys of TRANSDUCTIVE
    group: np.ndarray
    fold: np.ndarray
    row: np.ndarray  # position in the store
    truth: np.ndarray
    probabilities: np.ndarray
    chance: dict[str, float]
    curves: list[list[tuple[float, float | None]]]
    # Of the first fold, where the classifier has attention over a graph: one for each class that it tested.
    graphs: list[Graph] = field(default_factory=list)
    # Of a target with self-reports, where the classifier is the one that all methods share.
    rated: ratings.Rated | None = None


@dataclass(frozen=True, eq=False)
class _Answered:
    """One fold. rows, truth, probabilities, rated: of its test part; chance: of guessing; curve: of training."""

    rows: np.ndarray
    truth: np.ndarray
    probabilities: np.ndarray
    chance: dict[str, float]
    curve: list[tuple[float, float | None]]
    graphs: list[Graph]
    rated: np.ndarray | None  # (n, rating), predicted


def predict(
    split: Split,
    segments: Segments,
    features: FeatureCache | Trainer | ClassShares,
    settings: EvaluateSettings,
    seed: int,
    advance: progress.Advance,
    workers: int = 1,
) -> Predictions:
    """Train, or look up neighbours, in every fold of ``split`` and predict its test part; one ``advance`` a fold.

    ``features``: of a frozen encoder, for the classifier that all methods share or the head that comes with them; or a
    method's own training; or what needs labels only. ``workers``: processes that share the folds; no result depends on
    their number.
    """
    classes = find_classes(segments, split.settings["target"])
    groups = group_names(split)
    shared = isinstance(features, FeatureCache) and features.head is None
    told = told_to_all(split, segments, classes) if shared else None

    def one(number: int) -> _Answered:
        return _predict_fold(split, number, segments, classes, told, features, settings, seed)

    if isinstance(features, FeatureCache):  # once for all processes
        features.fill(
            [
                fold_rows(fold, part, segments, classes)
                for fold in split.folds
                for part in ("train", "validation", "test")
            ],
            workers,
        )
    answered = forked.in_order(one, len(split.folds), workers, partial(advance, note=split.protocol))
    chances = [(fold.group, len(a.rows), a.chance) for fold, a in zip(split.folds, answered, strict=True)]
    counts = [len(a.rows) for a in answered]
    rows = np.concatenate([a.rows for a in answered])
    # As they are stored: whoever computes a metric again from the file must find the same digits.
    probabilities = np.concatenate([a.probabilities for a in answered]).astype(np.float32).astype(np.float64)
    predicted = [a.rated.astype(np.float32) for a in answered if a.rated is not None]
    rated = ratings.of_test(np.concatenate(predicted), told, rows) if told is not None else None
    return Predictions(
        split=split,
        done=_uses(split, segments, rows, features, settings),
        group=np.repeat([groups.index(fold.group) for fold in split.folds], counts),
        fold=np.repeat(np.arange(len(split.folds)), counts),
        row=rows,
        truth=np.concatenate([a.truth for a in answered]),
        probabilities=probabilities,
        chance=mean_chance(chances),
        curves=[a.curve for a in answered if a.curve],
        graphs=answered[0].graphs,
        rated=rated,
    )


def _predict_fold(
    split: Split,
    number: int,
    segments: Segments,
    classes: Classes,
    told: ratings.Reports | None,
    features: FeatureCache | Trainer | ClassShares,
    settings: EvaluateSettings,
    seed: int,
) -> _Answered:
    """The ``number``-th fold. The first one of a split is also probed for what its row declares.

    ``told``: ratings to be predicted beside the classes; None: none.
    """
    plan, fold, n_classes = PROTOCOLS[split.protocol], split.folds[number], len(classes.names)
    rows = {part: fold_rows(fold, part, segments, classes) for part in ("train", "validation", "test")}
    for part in ("train", "test"):
        if not len(rows[part]):
            cure = "Cut shorter windows or steps, or use a protocol that draws whole trials."
            where = f"{split.protocol} on {segments.dataset}, fold {fold.name}"
            raise DataProblem(f"{where}: {part} part", "no segment", "at least one", cure)
    y = {part: classes.of_segment[positions] for part, positions in rows.items()}
    fold_seed = int(digest(seed, fold.name)[:8], 16)
    uses = _uses(split, segments, rows["test"], features, settings)
    read: list[Graph] = []
    rated: np.ndarray | None = None
    if isinstance(features, FeatureCache):
        raw = {part: features(positions) for part, positions in rows.items() if len(positions)}
        x = treated(raw, rows, segments, settings, published=plan.as_mdjpt)
        if features.head is None:
            answer, curve = _shared_classifier(split, fold, x, y, n_classes, settings, fold_seed)
        else:
            answer, curve = _own_head(features.head, segments, rows, x, y, n_classes, fold_seed)
        probabilities = answer(x["test"])
        answers = [answer]
        if told is not None:
            answers.append(ratings.fit(x["train"], told, rows["train"]).predict)
            rated = answers[1](x["test"])
        if not number:
            given = [probabilities] if rated is None else [probabilities, rated]
            _probe_treatment(raw, rows, segments, settings, uses, x, answers, given, split)
    elif isinstance(features, ClassShares):
        probabilities, curve = features.probabilities(y["train"], n_classes, len(rows["test"])), []
    else:
        chosen = {part: segments.select(positions) for part, positions in rows.items()}
        watch = (chosen["validation"], y["validation"]) if len(y["validation"]) else None
        fitted = features.fit(chosen["train"], y["train"], n_classes, watch, fold_seed)
        probabilities, curve = fitted.probabilities(chosen["test"]), list(fitted.curve)
        if not number:
            where = f"{split.protocol} on {segments.dataset}"
            audit.assert_answers_apart(fitted, chosen["test"], probabilities, features.across, where)
            # Here and not later: a process that shares the folds hands back arrays, not networks.
            read = graphs(fitted, chosen["test"], y["test"], classes.names)
    guess = metrics.chance(class_prior(y["train"], n_classes), class_prior(y["test"], n_classes))
    return _Answered(rows["test"], y["test"], probabilities, guess, list(curve), read, rated)


# Treated features of a test part, (n, d), to probabilities, (n, class), or to ratings, (n, rating).
_Answer = Callable[[np.ndarray], np.ndarray]


def _shared_classifier(
    split: Split,
    fold: Fold,
    x: Mapping[str, np.ndarray],
    y: Mapping[str, np.ndarray],
    n_classes: int,
    settings: EvaluateSettings,
    seed: int,
) -> tuple[_Answer, list[tuple[float, float | None]]]:
    """What answers for a test part, and the curve of training; nearest neighbours have none."""
    if PROTOCOLS[split.protocol].kind == "zeroshot":
        return lambda tested: nearest_neighbour(x["train"], y["train"], tested, n_classes), []
    watched = "test" if split.test_selects else "validation"
    watch = (x[watched], y[watched]) if len(y[watched]) and (split.test_selects or fold.validation) else None
    fitted = fit_mlp(x["train"], y["train"], n_classes, settings.mlp, seed=seed, watch=watch)
    return fitted.probabilities, fitted.curve


def _own_head(
    head: Head,
    segments: Segments,
    rows: Mapping[str, np.ndarray],
    x: Mapping[str, np.ndarray],
    y: Mapping[str, np.ndarray],
    n_classes: int,
    seed: int,
) -> tuple[_Answer, list[tuple[float, float | None]]]:
    """As :func:`_shared_classifier`; the head also learns which segments are one trial, but never a test label."""
    from eegpipe.models.baselines_features import Part

    def part(name: str, values: np.ndarray) -> Part:
        return Part(values, [np.searchsorted(rows[name], trial) for trial in trials(segments, rows[name])])

    watch = (part("validation", x["validation"]), y["validation"]) if len(y["validation"]) else None
    fitted = head.fit(part("train", x["train"]), y["train"], n_classes, watch, seed)
    return lambda tested: fitted.probabilities(part("test", tested)), list(fitted.curve)


def _probe_treatment(
    raw: Mapping[str, np.ndarray],
    rows: Mapping[str, np.ndarray],
    segments: Segments,
    settings: EvaluateSettings,
    uses: Sequence[str],
    x: Mapping[str, np.ndarray],
    answers: Sequence[_Answer],
    given: Sequence[np.ndarray],
    split: Split,
) -> None:
    """Treat and answer again with a few test segments changed: :func:`audit.assert_declared`.

    ``given``: what each of ``answers`` said of the test part.
    """
    if "priors_over_all_subjects" in uses:
        return  # declared: every test segment reaches everything
    changed, held = audit.probed(segments, rows["test"], uses)
    other = dict(raw)
    other["test"] = audit.loud(raw["test"], changed)
    again = treated(other, rows, segments, settings, published=PROTOCOLS[split.protocol].as_mdjpt)
    where = f"{split.protocol} on {segments.dataset}"
    after = np.hstack([answer(again["test"]) for answer in answers])
    audit.assert_declared(where, x, again, np.hstack(given), after, held)


def told_to_all(split: Split, segments: Segments, classes: Classes) -> ratings.Reports | None:
    """The ratings to be predicted under a split; None where there are none, or a training part has none."""
    told = ratings.reports(segments) if ratings.covers(split.protocol) else None
    if told is None:
        return None
    known = ~np.isnan(told.values).any(axis=1)
    trained = (fold_rows(fold, "train", segments, classes) for fold in split.folds)
    return told if all(known[rows].any() for rows in trained) else None


def group_names(split: Split) -> list[str]:
    """Names of the groups, in the order in which predictions number them."""
    return list(dict.fromkeys(fold.group for fold in split.folds))


def fold_rows(fold: Fold, part: str, segments: Segments, classes: Classes) -> np.ndarray:
    """Positions of the segments of a part that have a class, ascending."""
    return np.flatnonzero(part_mask(fold, part, segments) & (classes.of_segment >= 0))


def _uses(
    split: Split,
    segments: Segments,
    tested: np.ndarray,
    features: FeatureCache | Trainer | ClassShares,
    settings: EvaluateSettings,
) -> tuple[str, ...]:
    """What this evaluation does with unlabelled test data; ``tested``: rows of all test parts."""
    if isinstance(features, ClassShares):
        return ()
    source = features.encoder if isinstance(features, FeatureCache) else features
    knows = False
    if source is not None and source.manifest is not None:
        mask = np.zeros(len(segments.subject), dtype=bool)
        mask[tested] = True
        knows = knows_tested(source.manifest, segments, mask)
    is_treated = isinstance(features, FeatureCache)
    reads_past = isinstance(features, FeatureCache) and features.head is not None and features.head.reads_past
    return uses_of(
        split.protocol,
        settings if is_treated else None,
        across=features.across,
        knows=knows,
        reads_past=reads_past,
    )


def uses_of(
    protocol: str, settings: EvaluateSettings | None, *, across: bool, knows: bool, reads_past: bool
) -> tuple[str, ...]:
    """Which uses of unlabelled test data, keys of ``TRANSDUCTIVE``, follow from the terms of an evaluation.

    Parameters
    ----------
    settings : EvaluateSettings or None
        How features are treated; None: a method's own training on segments, without such a treatment.
    across : bool
        Answers (features) of a segment depend on the other segments of its session that are given.
    knows : bool
        The encoder was pre-trained on a tested subject.
    reads_past : bool
        The classifier reads earlier segments of the trial.
    """
    plan = PROTOCOLS[protocol]
    done = dict.fromkeys(TRANSDUCTIVE, False) | {"encoder_batch": across, "encoder_knows_target": knows}
    if settings is not None:
        # A session has segments of one part only if subjects are apart and clips are not.
        mixed = plan.draw != "datasets" and (plan.clips_apart or "subject" not in plan.apart)
        done |= {
            "causal_normalisation": plan.as_mdjpt or settings.normalisation == "causal",
            "earlier_segments": reads_past,
            "encoder_whole_session": across and settings.encoder_batch != "part" and mixed,
            "lds_smoothing": plan.as_mdjpt or settings.smoothing == "lds",
            "priors_over_all_subjects": plan.as_mdjpt,
        }
    return tuple(name for name in TRANSDUCTIVE if done[name])


def mean_chance(chances: Sequence[tuple[str, int, dict[str, float]]]) -> dict[str, float]:
    """Mean over the segments of a group, then over groups, as the scores themselves."""
    result = {}
    for name in chances[0][2]:
        of_groups = []
        for group in dict.fromkeys(group for group, _, _ in chances):
            mine = [(count, guess[name]) for one, count, guess in chances if one == group]
            of_groups.append(sum(count * value for count, value in mine) / sum(count for count, _ in mine))
        result[name] = round(float(np.mean(of_groups)), 6)
    return result


def treated(
    raw: Mapping[str, np.ndarray],
    rows: Mapping[str, np.ndarray],
    segments: Segments,
    settings: EvaluateSettings,
    *,
    published: bool,
) -> dict[str, np.ndarray]:
    """Normalised and smoothed features of each part, (n, d) each. Parts never share a stream or a trial."""
    start_from = list(raw) if published else ["train"]
    known = np.concatenate([raw[part] for part in start_from])
    owners = np.concatenate([segments.subject[rows[part]] for part in start_from])
    mean, variance = priors(known, owners)
    if not published and settings.normalisation == "training":
        variance = known.var(axis=0)
    result = {part: np.empty((0, known.shape[1])) for part in rows}
    for part, values in raw.items():
        out = np.empty_like(values)
        if published or settings.normalisation == "causal":
            for stream in streams(segments, rows[part]):
                at = np.searchsorted(rows[part], stream)
                out[at] = online_normalise(values[at], mean, variance)
        else:
            out = (values - mean) / np.sqrt(variance + 1e-10)
        if published or settings.smoothing == "lds":
            for trial in trials(segments, rows[part]):
                at = np.searchsorted(rows[part], trial)
                out[at] = lds_smooth(out[at])
        result[part] = out
    return result

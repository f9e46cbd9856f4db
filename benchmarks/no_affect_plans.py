"""What the central test simulates, and what of the evaluation each method goes through there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

METHODS = ("de_linear", "de", "de_lstm", "mdjpt", "emod", "emod_finetuned", "art", "art_finetuned")
NETWORKS = ("eegnet", "shallow", "deep4")
SLOWEST = "eegconformer"  # without EVERY only where asked for: minutes for each training
# Plants what can leak, stronger than in the demo: clips whose power differs whatever their label, trials that differ
# for no reason. Affect, where it is planted, has to be found beside it.
TO_LEAK = {"clip_size": 2.5, "wander_size": 2.0, "affect_size": 3.0}


@dataclass(frozen=True)
class Plan:
    """What of the evaluation a method goes through, for the sake of time.

    leaking
        Of the protocols that leak only these; None: all of the world's.
    most_folds
        Only so many folds of each protocol, drawn by their names; None: all.
    """

    leaking: tuple[str, ...] | None = None
    protocols: tuple[str, ...] | None = None  # None: all of the world's
    groups: int = 3
    subject_folds: int = 2
    most_folds: int | None = None


@dataclass(frozen=True)
class World:
    """A simulated data set.

    encoders
        The target whose encoders are taken: their pre-training has not seen this data set.
    simulated
        In place of the settings that ``params.yaml`` has for the data set, or of the defaults where it has none.
    protocols
        None: every protocol that the data set can have.
    networks, emod
        As those of the study, whose place they take.
    """

    dataset: str
    encoders: str
    simulated: Mapping[str, Any]
    protocols: tuple[str, ...] | None = None
    networks: Mapping[str, Any] = field(default_factory=dict)
    emod: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """Worlds, plans of single methods beside the usual one, and settings in place of those of ``params.yaml``.

    first_seed
        Of the first world's simulation. Not that of the pipeline, whose results chose the demo's settings.
    networks, emod, art
        Of the training of networks on raw windows; of EMOD's and ART's fine-tuning.
    short
        Windowing of the networks; None: ART's.
    ica
        False: recordings are cleaned without ICA.
    across
        This data set is also tested by classifiers that learned from all others of the study; None: none is.
    """

    worlds: tuple[World, ...]
    usual: Plan
    plans: Mapping[str, Plan]
    first_seed: int
    networks: Mapping[str, Any]
    emod: Mapping[str, Any] = field(default_factory=dict)
    art: Mapping[str, Any] = field(default_factory=dict)
    short: Mapping[str, Any] | None = None
    ica: bool = True
    across: str | None = None


def usual(*, to_leak: bool) -> Study:
    """One data set, the protocols that most people use. Where every fold trains a whole network there is less: EMOD
    with its largest training parts and one leak of each kind; networks with one training group, and for 100 steps."""
    protocols = ("fewshot_subject_stimulus", "kfold_subject_stimulus", "zeroshot_subject_stimulus")
    leaking = ("fewshot_subject", "zeroshot_subject", "art_within")
    emod = Plan(protocols=("kfold_subject_stimulus", "fewshot_subject", "art_within"))
    network = Plan(protocols=("fewshot_subject_stimulus", "fewshot_subject"), groups=1)
    return Study(
        (World("seed", "seed", TO_LEAK if to_leak else {}, (*protocols, *leaking)),),
        Plan(),
        {"emod_finetuned": emod, **dict.fromkeys((*NETWORKS, SLOWEST), network)},
        first_seed=101,
        networks={"batch": 16, "epochs": 5, "least_steps": 100},
    )


# Without artefacts, so without ICA, and with as much affect as can be planted: training parts are small.
_SMALL = {**TO_LEAK, "trial_s": 8.0, "affect_size": 5.0, "artefact_size": 0.0}
_SOME_THAT_LEAK = ("fewshot_subject", "emod_seed", "emod_seedv", "emod_faced")
_FEW: dict[str, Any] = {"groups": 2, "subject_folds": 5}

# Every protocol, every method. SEED has three sessions here and can have all protocols but those that are made for
# other data sets, and those within a subject that keep clips apart without trying: SEED-IV's sessions show other clips.
# The more classes, the longer it takes to learn them.
EVERY = Study(
    (
        World("seed", "seed", {"subjects": 3, "sessions": 3, **_SMALL}),
        World(
            "seed_iv",
            "seed",
            {"subjects": 2, "sessions": 2, **_SMALL},
            ("within_session_blocked", "within_trial_blocked"),
            networks={"least_steps": 100},
        ),
        World(
            "seed_v",
            "seed",
            {"subjects": 5, "sessions": 2, **_SMALL},
            ("emod_seedv_subject", "emod_seedv"),
            networks={"least_steps": 150},
            emod={"epochs": 25},
        ),
        World(
            "faced",
            "faced",
            {"subjects": 9, "sessions": 1, **_SMALL},
            ("emod_faced_stimulus", "emod_faced"),
            networks={"least_steps": 150},
            emod={"epochs": 15},
        ),
    ),
    Plan(most_folds=4, **_FEW),
    {
        name: Plan(_SOME_THAT_LEAK, most_folds=2, **_FEW)
        for name in ("emod_finetuned", "art_finetuned", *NETWORKS, SLOWEST)
    },
    first_seed=401,
    networks={"batch": 16, "epochs": 1, "least_steps": 60, "learning_rate": 0.003},
    emod={"epochs": 8, "batch": 8},
    art={"epochs": 20, "batch": 16},
    short={"rate_hz": 100.0, "band_hz": (1.0, 40.0), "window_s": 1.0, "step_s": 1.0},
    ica=False,
    across="seed",
)

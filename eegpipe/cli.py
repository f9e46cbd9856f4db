"""The ``eegpipe`` command: every stage of the pipeline as a command of its own, without DVC.

Commands import what they need when they run, so that ``eegpipe --help`` answers at once. Exit codes: 0 good, 1 a
problem was found in data, 2 wrong usage.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, cast

import typer

from eegpipe.errors import UsageProblem, did_you_mean
from eegpipe.terminal import exit_code, print_outcomes, print_table

if TYPE_CHECKING:
    from eegpipe.params import MethodParams, Params, Size

app = typer.Typer(
    name="eegpipe",
    help="From vendor files of emotion-EEG data sets to BIDS, to clean labelled segments, to an honest comparison of "
    "pre-training methods. Each command is one step; `dvc repro` runs them all.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

P = ParamSpec("P")

DatasetName = Annotated[
    str, typer.Argument(metavar="DATASET", help="Name of a data set; `eegpipe datasets` lists them.")
]
VariantName = Annotated[
    str | None,
    typer.Option(
        "--variant",
        metavar="NAME",
        help="Which form of the data set. Default: what is there, or the first that `eegpipe datasets` lists.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1, envvar="EEGPIPE_WORKERS", help="Processes on this machine. Default: as cores and memory allow."
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="WHERE",
        envvar="EEGPIPE_SCHEDULER",
        help="Use a cluster instead: the address of a running Dask scheduler (tcp://node1:8786), or slurm, or "
        "slurm:FILE.yaml with settings of the jobs.",
    ),
]
Device = Annotated[str, typer.Option(envvar="EEGPIPE_DEVICE", help="Where to compute: cpu, cuda, cuda:1.")]
AllowPartial = Annotated[
    bool, typer.Option(help="Go on with the recordings that are there and right; say what is not.")
]
ParamsFile = Annotated[
    Path | None,
    typer.Option(
        "--params", metavar="FILE", help="Take the settings from this params.yaml. Default: those of the package."
    ),
]
Others = Annotated[
    list[Path] | None,
    typer.Option(
        "--from", metavar="STORE", help="Store of another data set to learn from; may be given several times."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of a table.")]
Out = Annotated[
    Path, typer.Argument(metavar="OUT", help="What to write. An earlier result there is brought up to date.")
]


def reports_problems(command: Callable[P, int | None]) -> Callable[P, None]:
    """Turn a command's return value and eegpipe's own exceptions into messages and exit codes."""

    @functools.wraps(command)
    def wrapped(*arguments: P.args, **options: P.kwargs) -> None:
        raise typer.Exit(exit_code(lambda: command(*arguments, **options)))

    return wrapped


def _existing(path: Path, what: str) -> Path:
    if not path.exists():
        raise UsageProblem(f"{path}: does not exist, expected {what}.")
    return path


def _params(path: Path | None) -> Params | None:
    """A whole params.yaml, checked; None if none was named."""
    if path is None:
        return None
    from eegpipe.params import load

    return load(path)


@app.command()
@reports_problems
def datasets(
    name: Annotated[
        str | None, typer.Argument(metavar="[DATASET]", help="Say all about this one: files, access, oddities.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """List the data sets that eegpipe reads.

    With a name: its variants, the folders that are expected, where to ask for it, licence, citation, size and the known
    irregularities of the release.
    """
    from eegpipe import catalogue
    from eegpipe import datasets as known

    if name is not None:
        dataset = known.get(name)
        if as_json:
            print(json.dumps(catalogue.details(dataset), indent=2, ensure_ascii=False))
        else:
            catalogue.show(dataset)
    elif as_json:
        print(json.dumps([catalogue.details(known.get(one)) for one in known.NAMES], indent=2, ensure_ascii=False))
    else:
        print_table(
            "Data sets",
            catalogue.rows(),
            columns=("name", "title", "subjects", "sessions", "trials", "variants", "size"),
        )
        print("`eegpipe datasets NAME` says all about one.")
    return 0


@app.command()
@reports_problems
def simulate(
    dataset: DatasetName,
    out: Out,
    subjects: Annotated[
        int | None, typer.Option(min=1, help="How many subjects. Default: as many as the vendor has.")
    ] = None,
    sessions: Annotated[
        int | None, typer.Option(min=1, help="How many sessions per subject, where there are several.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=5, help="Length of a trial. Default: the vendor's lengths.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    variant: VariantName = None,
    traps: Annotated[
        bool, typer.Option("--traps", help="Also write the irregularities that are documented of the vendor's files.")
    ] = False,
    affect: Annotated[
        bool, typer.Option(help="Plant emotion in the signal; without it, nothing can be decoded.")
    ] = True,
    truth: Annotated[
        Path | None, typer.Option(help="Where to write what was planted. Default: OUT with '-truth' appended.")
    ] = None,
) -> int:
    """Write simulated vendor files of a data set.

    For whoever has no licence yet: the whole pipeline runs on them.

    File names, keys, shapes, types, orders and units are the vendor's; only counts and durations shrink. The planted
    truth (clean signal, artefact times, valence and arousal) is written beside, where no reader looks.
    """
    from eegpipe.simulate import SimulateSettings
    from eegpipe.simulate import simulate as run

    settings = SimulateSettings(
        variant=variant, subjects=subjects, sessions=sessions, trial_s=seconds, traps=traps, seed=seed, affect=affect
    )
    run(dataset, out, settings, truth=truth or out.with_name(out.name + "-truth"))
    print(out)
    return 0


@app.command()
@reports_problems
def inspect(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Anything that eegpipe reads or writes.")],
    variant: VariantName = None,
    read: Annotated[
        bool, typer.Option("--read", help="Also read every recording of a vendor folder and compare it with the facts.")
    ] = False,
    as_json: AsJson = False,
    validate: Annotated[bool, typer.Option(help="Also run the official BIDS validator on a BIDS data set.")] = False,
) -> int:
    """Show what a path holds and what is wrong with it.

    Recognises a raw vendor folder, a BIDS data set, a cleaned derivative, a segment store and a model.
    """
    from eegpipe.inspect import inspect as look
    from eegpipe.inspect_report import show

    report = look(path, validate=validate, variant=variant, read=read)
    if as_json:
        print(report.to_json())
    else:
        show(report)
    return 0 if report.ok else 1


@app.command()
@reports_problems
def bids(
    dataset: DatasetName,
    raw: Annotated[Path, typer.Argument(metavar="RAW", help="The vendor's folder, as unpacked.")],
    out: Out,
    variant: VariantName = None,
    allow_partial: AllowPartial = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> int:
    """Convert vendor files to a BIDS-EEG data set.

    The facts of the data set are asserted on the way. A wrong file is one clear error; the others go on.
    """
    from eegpipe import datasets as known
    from eegpipe.bids import convert

    found = known.recognise(_existing(raw, f"the vendor folder of {dataset}"))
    if found and dataset in known.NAMES and found[0].name != dataset and not known.get(dataset).recognise(raw):
        raise UsageProblem(f"{raw}: holds files of '{found[0].name}', not of '{dataset}'. Name the other data set.")
    outcomes = convert(
        known.at(dataset, raw),
        raw,
        out,
        variant=variant,
        allow_partial=allow_partial,
        workers=workers,
        scheduler=scheduler,
    )
    return print_outcomes(outcomes, allow_partial=allow_partial)


@app.command()
@reports_problems
def clean(
    bids: Annotated[Path, typer.Argument(metavar="BIDS", help="A BIDS data set that `eegpipe bids` wrote.")],
    out: Out,
    params: ParamsFile = None,
    preset: Annotated[
        str | None,
        typer.Option(help="What a paper did: mdjpt, emod or art; house: our own defaults."),
    ] = None,
    allow_partial: AllowPartial = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> int:
    """Clean every recording of a BIDS data set.

    Filter, bad channels, ICA with ICLabel, average reference. Writes a BIDS derivative with quality.tsv, and pages to
    look at in quality/. What is finished is kept when the command runs again.
    """
    from eegpipe.clean.settings import PRESETS, CleanSettings
    from eegpipe.clean.stage import PAGES, clean_dataset

    chosen = _params(params)
    settings = chosen.clean if chosen else CleanSettings()
    if preset is not None:
        if preset not in PRESETS:
            raise UsageProblem(f"No preset '{preset}'.{did_you_mean(preset, PRESETS)}")
        settings = replace(settings, preset=cast(Any, preset))
    outcomes = clean_dataset(
        _existing(bids, "a BIDS data set"),
        out,
        settings,
        allow_partial=allow_partial,
        workers=workers,
        scheduler=scheduler,
    )
    typer.echo(f"Look at {out / PAGES / 'index.html'}")
    return print_outcomes(outcomes, allow_partial=allow_partial)


@app.command()
@reports_problems
def segment(
    clean: Annotated[Path, typer.Argument(metavar="CLEAN", help="A cleaned derivative that `eegpipe clean` wrote.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The Zarr store to write (name it *.zarr).")],
    windowing: Annotated[str, typer.Option(help="Name of a windowing: rate, band, window and step.")] = "mdjpt",
    params: ParamsFile = None,
) -> int:
    """Cut cleaned recordings into a labelled Zarr store.

    Windows on the stimulus clock with subject, trial, stimulus, label, valence and arousal; xarray alone opens it.
    """
    from eegpipe.segment import WINDOWINGS, segment_dataset

    chosen = _params(params)
    known = {name: sizes[chosen.size] for name, sizes in chosen.windowing.items()} if chosen else WINDOWINGS
    if windowing not in known:
        raise UsageProblem(f"No windowing '{windowing}'.{did_you_mean(windowing, known)}")
    segment_dataset(_existing(clean, "a cleaned derivative"), out, windowing=windowing, settings=known[windowing])
    print(out)
    return 0


@app.command()
@reports_problems
def split(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="The target's segment store.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for one manifest per protocol.")],
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A protocol that `eegpipe protocols` lists; may be given several times. Default: the usual ones.",
        ),
    ] = None,
    others: Others = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Default: that of the settings, 0.")] = None,
    params: ParamsFile = None,
) -> int:
    """Decide who is trained on and who is tested on.

    Before any training; written as one hashed manifest per protocol. A protocol that the data set cannot have is named
    with its reason in not_applicable.tsv. Manifests of other protocols in OUT are removed. With --from, OUT gets one
    manifest: the other data sets train, the target is tested.
    """
    from eegpipe import across
    from eegpipe.loader import load, load_labels
    from eegpipe.splits import write_all

    chosen = _params(params)
    _existing(store, "a segment store")
    if others:
        if protocol or seed is not None:
            raise UsageProblem("--from makes one manifest, and draws no test part: leave --protocol and --seed out.")
        labels = [load_labels(_existing(path, "a segment store")) for path in (store, *others)]
        print(across.write_split(labels[0], labels[1:], out, chosen.split if chosen else None))
        return 0
    target = load(store)
    for manifest in write_all(target, out, protocols=protocol, seed=seed, settings=chosen.split if chosen else None):
        print(manifest)
    return 0


@app.command(name="protocols")
@reports_problems
def list_protocols(as_json: AsJson = False) -> int:
    """List the evaluation protocols.

    What training and test part never share, which paper a protocol repeats, and which stricter protocol it is to be
    compared with. Whether a row is leak free depends on the data set too, and stands in its manifest.
    """
    from eegpipe.protocols import PROTOCOLS, USUAL

    rows = [
        {
            "name": name,
            "usual": name in USUAL,
            "kind": plan.kind,
            "apart": ", ".join(plan.apart),
            "paper": plan.paper,
            "counterpart": plan.counterpart or "",
            "summary": plan.summary,
        }
        for name, plan in PROTOCOLS.items()
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        print_table("Protocols", rows)
    return 0


def _of_method(params: Params, method: str) -> MethodParams:
    sizes: dict[str, Mapping[Size, MethodParams]] = {"mdjpt": params.mdjpt, "emod": params.emod, "art": params.art}
    return sizes[method][params.size]


@app.command()
@reports_problems
def pretrain(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="mdjpt, emod or art")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the model.")],
    stores: Annotated[
        list[Path], typer.Argument(metavar="STORE...", help="Segment stores to train on: all but the target's.")
    ],
    cda_lambda: Annotated[float, typer.Option(min=0, help="Weight of covariance alignment (mdJPT).")] = 0.02,
    target: Annotated[
        Path | None, typer.Option(help="Store of the target; only its channel names are read (ART, intersection).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Device = "cpu",
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            envvar="EEGPIPE_PROCESSES",
            help="Processes that share the draws of a step, with cuda on a GPU each; the result is the same. torchrun "
            "can start them too. Default: on a CPU one a core, if the draws can be shared evenly; on a GPU one.",
        ),
    ] = None,
    curve: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the losses here, after every epoch.")
    ] = None,
    params: ParamsFile = None,
) -> int:
    """Pre-train an encoder on several data sets.

    mdjpt and art read no labels; emod reads valence and arousal of the stores. Goes on where it stopped if it was
    interrupted. Without --params: the papers' sizes.
    """
    from eegpipe.methods import get
    from eegpipe.processes import how_many, join, start, started

    known = get(method)
    chosen = _params(params)
    size = _of_method(chosen, method) if chosen else None
    settings = size.training if size else known.training()
    if not started() and (count := how_many(processes, settings.draws_per_step, device)) > 1:
        return start(count)
    from eegpipe.loader import load_all
    from eegpipe.store import channel_names
    from eegpipe.train import pretrain as run

    with join(device) as group:
        run(
            load_all([_existing(store, "a segment store") for store in stores]),
            out,
            config=size.model if size else known.config(),
            settings=settings,
            cda_lambda=cda_lambda,
            channels_of={"target": channel_names(_existing(target, "a segment store"))} if target else None,
            seed=seed,
            device=group.device,
            group=group,
            curve=curve,
        )
    if group.leads:
        print(out)
    return 0


@app.command()
@reports_problems
def evaluate(
    method: Annotated[
        str,
        typer.Argument(
            metavar="METHOD",
            help="mdjpt, emod, art, emod_finetuned or art_finetuned with --model; de or another baseline; mdjpt_across "
            "and the like with --from.",
        ),
    ],
    store: Annotated[Path, typer.Argument(metavar="STORE", help="The target's segment store.")],
    splits: Annotated[Path, typer.Argument(metavar="SPLITS", help="Folder of manifests that `eegpipe split` wrote.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for metrics.json, predictions and plot data.")],
    model: Annotated[Path | None, typer.Option(help="Folder of a pre-trained model.")] = None,
    others: Others = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Device = "cpu",
    workers: Workers = None,
    params: ParamsFile = None,
) -> int:
    """Test a method on a target under stored splits.

    Refuses any overlap of what is tested with what the encoder or the classifier has seen.
    """
    from eegpipe.evaluate import EvaluateSettings, evaluate_target, family
    from eegpipe.finetune import SUFFIX
    from eegpipe.models.baseline_settings import BASELINES

    chosen = _params(params)
    settings = chosen.evaluate[chosen.size] if chosen else EvaluateSettings()
    own: dict[str, Any] = {}
    if chosen and family(method) in BASELINES:
        own = {"baseline": chosen.baseline[chosen.size]}
    if chosen and method == "emod" + SUFFIX:
        own = {"finetune": chosen.emod[chosen.size].finetune}
    if chosen and method == "art" + SUFFIX:
        own = {"finetune": chosen.art[chosen.size].finetune, "graph": chosen.art[chosen.size].graph}
    evaluate_target(
        method,
        _existing(store, "a segment store"),
        _existing(splits, "split manifests"),
        out / "metrics.json",
        out,
        model=model,
        others=[_existing(path, "a segment store") for path in others or ()],
        settings=settings,
        **own,
        seed=seed,
        device=device,
        workers=workers,
    )
    return results([out])


@app.command()
@reports_problems
def verify(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="METRICS.json...", help="Metrics files of `eegpipe evaluate`, or folders of them."),
    ],
    root: Annotated[
        Path | None,
        typer.Option(help="Project folder with data/, models/ and plots/. Default: the one in which metrics/ lies."),
    ] = None,
    plots: Annotated[Path | None, typer.Option(help="Folder with predictions.npz, of one METRICS.json.")] = None,
    splits: Annotated[Path | None, typer.Option(help="Folder of split manifests, of one METRICS.json.")] = None,
    store: Annotated[Path | None, typer.Option(help="Segment store, of one METRICS.json.")] = None,
    model: Annotated[Path | None, typer.Option(help="Folder of the pre-trained model, of one METRICS.json.")] = None,
    others: Others = None,
    as_json: AsJson = False,
) -> int:
    """Compute metrics again from the stored predictions and compare.

    Also says whether predictions, splits, segment store and model are those that the metrics name, and runs the
    assertions against leaks again. Exit code 0 only if everything matches.
    """
    from eegpipe.verify import show, verify_all

    found = [
        file
        for path in files
        for file in (sorted(path.rglob("*.json")) if _existing(path, "metrics").is_dir() else [path])
    ]
    places: dict[str, Any] = {"plots": plots, "splits": splits, "store": store, "model": model}
    named = {name: path for name, path in places.items() if path is not None}
    if others:
        named["others"] = [_existing(path, "a segment store") for path in others]
    if not found:
        raise UsageProblem(f"{', '.join(map(str, files))}: no metrics found. Run `eegpipe evaluate` first.")
    if named and len(found) > 1:
        option = next(iter(named)).replace("others", "from")
        raise UsageProblem(f"--{option} is of one metrics file, found {len(found)}. Name one of them.")
    return show(verify_all(found, root=root, **named), as_json=as_json)


@app.command()
@reports_problems
def compare(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="METRICS.json...", help="Metrics files of `eegpipe evaluate` on one target, or folders of them."
        ),
    ],
    protocol: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Default: the strictest protocol that is leak free for all or most of them."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Say which methods differ.

    Every pair, paired over test subjects, with p corrected for the number of pairs; also says when there are too few
    people to tell any two apart.
    """
    from eegpipe.paired import compare_files, show

    found = [
        file
        for path in files
        for file in (sorted(path.rglob("*.json")) if _existing(path, "metrics").is_dir() else [path])
    ]
    if not found:
        raise UsageProblem(f"{', '.join(map(str, files))}: no metrics found. Run `eegpipe evaluate` first.")
    show(compare_files(found, protocol), as_json=as_json)
    return 0


@app.command()
@reports_problems
def report(
    root: Annotated[
        Path, typer.Argument(metavar="ROOT", help="Project folder with data/, models/, metrics/ and plots/.")
    ] = Path(),
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The page to write.")] = Path("reports/index.html"),
) -> int:
    """Write the page of results.

    One self-contained HTML file: results, data, quality, pictures, limits.
    """
    from eegpipe.report import build

    build(root, out)
    print(out)
    return 0


@app.command()
@reports_problems
def sweep(
    experiments: Annotated[
        Path, typer.Argument(metavar="EXPERIMENTS", help="What `dvc exp show --json` printed, as a file.")
    ],
    setting: Annotated[
        str, typer.Argument(metavar="SETTING", help="Name in params.yaml, as for `dvc exp run -S`: cda_lambda.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The table to write.")] = Path("plots/sweep.csv"),
) -> int:
    """Collect scores over the values of one setting.

    Balanced accuracy of the strictest leak-free protocol, of the methods that depend on the setting. The report draws
    plots/sweep.csv as a curve.
    """
    from eegpipe.sweep import collect

    points = collect(_existing(experiments, "the output of `dvc exp show --json`"), setting, out)
    print_table(setting, [dict(vars(point)) for point in points])
    print(out)
    return 0


@app.command(name="results")
@reports_problems
def show_results(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FOLDER...]",
            help="Folders with metrics. Default: those of the targets in params.yaml, or metrics/ without that file.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Print the table of results."""
    settings = Path("params.yaml")
    if not folders and settings.is_file():
        from eegpipe.params import load

        # What lies there of other targets is of earlier settings.
        folders = [folder for target in load(settings).targets if (folder := Path("metrics", target)).is_dir()]
    return results(folders or [Path("metrics")], as_json=as_json)


def results(folders: Sequence[Path], *, as_json: bool = False) -> int:
    """Print one row per method, target and protocol found in ``folders``."""
    from eegpipe.evaluate import summary_rows

    files = sorted(file for folder in folders for file in _existing(folder, "a folder of metrics").rglob("*.json"))
    rows: list[dict[str, Any]] = summary_rows([json.loads(file.read_text(encoding="utf-8")) for file in files])
    if not rows:
        raise UsageProblem(
            f"{', '.join(map(str, folders))}: no metrics found. Run `dvc repro` or `eegpipe evaluate` first."
        )
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        print_table("Results", rows)
    return 0


def main() -> None:
    """Entry point of the console script."""
    app()

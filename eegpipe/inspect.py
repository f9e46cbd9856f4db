"""What is in a folder, and what is missing or suspicious about it: ``eegpipe inspect``.

One function a kind of folder, in ``inspect_data`` (vendor files, BIDS, cleaned), ``inspect_store`` and
``inspect_model``. Each fills a :class:`eegpipe.inspect_report.Report`; nothing is changed, and a fault in the data is a
finding, never an exception.
"""

from __future__ import annotations

from pathlib import Path

from eegpipe.errors import UsageProblem
from eegpipe.inspect_report import Report


def inspect(path: Path, *, validate: bool = False, variant: str | None = None, read: bool = False) -> Report:
    """Recognise what ``path`` is and look into it.

    Parameters
    ----------
    path : Path
        A vendor's folder, a BIDS data set, a cleaned derivative, a segment store or a model.
    validate : bool
        Also run the official BIDS validator (on BIDS data sets and derivatives).
    variant : str, optional
        Which form of a vendor's data set to look at, where the folder holds several.
    read : bool
        Read every recording of a vendor's folder and compare it with the facts, as a conversion would.

    Raises
    ------
    UsageProblem
        ``path`` does not exist, or is none of these.
    """
    from eegpipe import datasets
    from eegpipe.inspect_data import inspect_bids, inspect_vendor
    from eegpipe.inspect_model import inspect_model
    from eegpipe.inspect_store import inspect_store

    path = Path(path)
    if not path.exists():
        raise UsageProblem(f"{path}: does not exist.")
    if (path / "zarr.json").is_file():
        return inspect_store(path)
    if any((path / name).is_file() for name in ("weights.safetensors", "config.json", "manifest.json")):
        return inspect_model(path)
    found = datasets.recognise(path) if path.is_dir() else None
    if found is not None:
        dataset, form = found
        return inspect_vendor(path, dataset, dataset.variant(variant) if variant else form, read=read)
    if (path / "dataset_description.json").is_file():
        return inspect_bids(path, validate=validate)
    if variant:
        raise UsageProblem(f"{path}: is no vendor folder, so it has no variant '{variant}'.")
    hints = "\n".join(
        f"  {known.title.partition(':')[0]}: {form.files}"
        for known in map(datasets.get, datasets.NAMES)
        for form in known.variants
    )
    raise UsageProblem(
        f"{path}: not recognised. Looked for the vendor's files of\n{hints}\n"
        "  a BIDS data set or a cleaned derivative: dataset_description.json\n"
        "  a segment store: zarr.json\n"
        "  a model: weights.safetensors, config.json, manifest.json\n"
        "Name the folder that directly holds these; `eegpipe datasets NAME` shows what a data set's folder holds."
    )

"""Stage `pretrain`: one method on all data sets but the target."""

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from eegpipe.loader import load
from eegpipe.params import MethodParams, Params, Size
from eegpipe.runtime import Runtime
from eegpipe.store import channel_names
from eegpipe.train import pretrain

import stage


def main(
    params: Params, runtime: Runtime, method: str, target: str, own: str, segments: str, out: str, curve: str
) -> None:
    sizes: dict[str, Mapping[Size, MethodParams]] = {"mdjpt": params.mdjpt, "emod": params.emod, "art": params.art}
    chosen = sizes[method][params.size]
    pretrain(
        [load(Path(segments) / f"{dataset}.zarr") for dataset in params.sources if dataset != target],
        Path(out),
        config=chosen.model,
        settings=chosen.training,
        **json.loads(Path(own).read_text(encoding="utf-8")),
        channels_of={target: channel_names(Path(segments) / f"{target}.zarr")},
        seed=params.seed,
        device=runtime.device,
    )
    # The log lies in the folder of the model; DVC draws only files that are outputs of their own.
    Path(curve).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(out) / "log.csv", curve)


if __name__ == "__main__":
    stage.run(main, *sys.argv[1:])

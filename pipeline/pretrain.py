"""Stage `pretrain`: one method on the data sets of its mix, without the target unless the settings ask for it."""

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from eegpipe.loader import load
from eegpipe.params import MethodName, MethodParams, Params, Size
from eegpipe.runtime import Runtime
from eegpipe.store import channel_names
from eegpipe.train import pretrain

import stage


def main(
    params: Params, runtime: Runtime, method: MethodName, target: str, own: str, segments: str, out: str, curve: str
) -> None:
    sizes: dict[str, Mapping[Size, MethodParams]] = {"mdjpt": params.mdjpt, "emod": params.emod, "art": params.art}
    chosen = sizes[method][params.size]
    mix = params.mixes[method][params.size] if params.sources is None else params.sources
    learned = [dataset for dataset in mix if dataset != target or params.pretrain_on_target]
    pretrain(
        [load(Path(segments) / f"{dataset}.zarr") for dataset in learned],
        Path(out),
        config=chosen.model,
        settings=chosen.training,
        **json.loads(Path(own).read_text(encoding="utf-8")),
        channels_of={target: channel_names(Path(segments) / f"{target}.zarr")},
        tested_too=target if target in learned else None,
        seed=params.seed,
        device=runtime.device,
    )
    # The log lies in the folder of the model; DVC draws only files that are outputs of their own.
    Path(curve).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(out) / "log.csv", curve)


if __name__ == "__main__":
    stage.run(main, *sys.argv[1:])

"""Stage `pretrain`: one method on the data sets of its mix, without the target unless the settings ask for it.

Where a step has several draws, processes share them (EEGPIPE_PROCESSES, torchrun); the result is the same.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from eegpipe import processes
from eegpipe.params import MethodName, MethodParams, Params, Size
from eegpipe.runtime import Runtime

import stage


def main(
    params: Params, runtime: Runtime, method: MethodName, target: str, own: str, segments: str, out: str, curve: str
) -> int:
    sizes: dict[str, Mapping[Size, MethodParams]] = {"mdjpt": params.mdjpt, "emod": params.emod, "art": params.art}
    chosen = sizes[method][params.size]
    if not processes.started():
        count = processes.how_many(runtime.processes, chosen.training.draws_per_step, runtime.device)
        if count > 1:
            return processes.start(count)
    mix = params.mixes[method][params.size] if params.sources is None else params.sources
    learned = [dataset for dataset in mix if dataset != target or params.pretrain_on_target]
    # Only here: the process that starts the others needs no torch.
    from eegpipe.loader import load_all
    from eegpipe.store import channel_names
    from eegpipe.train import pretrain

    with processes.join(runtime.device) as group:
        pretrain(
            load_all([Path(segments) / f"{dataset}.zarr" for dataset in learned]),
            Path(out),
            config=chosen.model,
            settings=chosen.training,
            **json.loads(Path(own).read_text(encoding="utf-8")),
            channels_of={target: channel_names(Path(segments) / f"{target}.zarr")},
            tested_too=target if target in learned else None,
            seed=params.seed,
            device=group.device,
            group=group,
            # DVC draws only files that are outputs of their own, and the model's folder appears at the end.
            curve=Path(curve),
        )
    return 0


if __name__ == "__main__":
    stage.run(main, *sys.argv[1:])

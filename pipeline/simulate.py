"""Stage `simulate`: vendor files of one data set from the simulator, for whoever has no licence yet."""

import shutil
import sys
from pathlib import Path

from eegpipe.params import Params
from eegpipe.runtime import Runtime
from eegpipe.simulate import simulate

import stage


def main(params: Params, _: Runtime, dataset: str, out: str, truth: str) -> None:
    if params.raw[dataset] != out:
        # The user has the real files: the stage has nothing to do, but DVC wants its outputs to exist.
        for folder in (Path(out), Path(truth)):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (folder / "not-simulated.txt").write_text(
                f"raw.{dataset} in params.yaml names other files.\n", encoding="utf-8"
            )
        return
    simulate(dataset, Path(out), params.simulate[dataset], truth=Path(truth))


if __name__ == "__main__":
    stage.run(main, *sys.argv[1:])

"""The signal in the files of the first two simulated people, opened without any code of the package."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
from scipy.io import loadmat


def file_signals(name: str, tree: Path) -> dict[str, np.ndarray]:
    """Recording -> (channel, sample) of the joined file, opened with plain scipy and pickle."""
    if name == "seed":
        files = {"sub-01_ses-1_task-emotion": "1_20131027.mat", "sub-02_ses-1_task-emotion": "2_20140404.mat"}
        loaded = {stem: loadmat(tree / "Preprocessed_EEG" / file) for stem, file in files.items()}
        return {
            stem: np.concatenate([array for key, array in content.items() if "_eeg" in key], axis=1)
            for stem, content in loaded.items()
        }
    if name == "deap":
        content = {n: (tree / "data_preprocessed_python" / f"s{n:02d}.dat").read_bytes() for n in (1, 2)}
        arrays = {n: pickle.loads(text, encoding="latin1")["data"][:, :32] for n, text in content.items()}
        return {f"sub-{n:02d}_task-emotion": np.concatenate(list(array), axis=1) for n, array in arrays.items()}
    if name == "faced":
        content = {n: (tree / "Processed_data" / f"sub{n:03d}.pkl").read_bytes() for n in (0, 1)}
        return {f"sub-{n:03d}_task-emotion": np.hstack(pickle.loads(text)) for n, text in content.items()}
    data = loadmat(tree / "DREAMER.mat")["DREAMER"][0, 0]["Data"]
    joined = {}
    for n in (1, 2):
        eeg = data[0, n - 1][0, 0]["EEG"][0, 0]
        parts = [eeg[part][clip, 0] for clip in range(18) for part in ("baseline", "stimuli")]
        joined[f"sub-{n:02d}_task-emotion"] = np.concatenate(parts).T
    return joined

"""The two chains, each run alone in a fresh process on a recording from disk.

``ours`` is :func:`eegpipe.clean.chain.clean_recording`. The rival is the chain that tutorials of MNE and of ICLabel
write, given the broken channels that ours must find by itself.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from measure import Cost, cost, resident_bytes

if TYPE_CHECKING:
    import mne

    from eegpipe.recording import Recording

OURS = "ours"
RIVALS = ("infomax", "picard")
PILOT = "pilot"
LINE_HZ = 50.0
BAND_HZ = (0.3, 49.0)
ICA_BAND_HZ = (1.0, 100.0)
THRESHOLD = 0.8
_REMOVED = ("eye blink", "muscle artifact")
_PILOT_STEPS = 6
_BLAS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class TooSlow(Exception):
    """A chain was ended because it took too long."""


@dataclass(frozen=True)
class Result:
    """``removed``: labels of the removed components. ``steps``: seconds by function, where they were asked for.
    ``output``: (channel, sample) float32 in microvolt, a file beside the recording; None if none was written."""

    cost: Cost
    removed: list[str]
    bad: list[str]
    iterations: int
    components: int
    steps: dict[str, float] = field(default_factory=dict)
    output: Path | None = None


def run(
    chain: str,
    folder: Path,
    threads: int,
    *,
    profile: bool = False,
    keep_output: bool = True,
    most_s: float | None = None,
) -> Result:
    """Run one chain in a process of its own with ``threads`` threads for BLAS and, in ours, for the chain.

    Raises
    ------
    TooSlow
        If the process takes longer than ``most_s``; it is ended then.
    """
    wanted = {"chain": chain, "folder": str(folder), "threads": threads, "profile": profile, "keep": keep_output}
    answer = _child(wanted, threads, most_s)
    output = answer.pop("output")
    return Result(Cost(**answer.pop("cost")), output=Path(output) if output else None, **answer)


def better_threads(method: str, folder: Path, choices: tuple[int, ...] = (1, 2)) -> tuple[int, dict[int, float]]:
    """With how many BLAS threads the rival's ICA is fastest: a few steps on the whole recording with each number."""
    seconds = {
        threads: _child({"chain": PILOT, "folder": str(folder), "method": method}, threads)["seconds"]
        for threads in choices
    }
    return min(seconds, key=lambda threads: seconds[threads]), seconds


def _child(wanted: dict[str, Any], threads: int, most_s: float | None = None) -> dict[str, Any]:
    environment = {**os.environ, **dict.fromkeys(_BLAS, str(threads))}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        question, answer = Path(scratch) / "question.json", Path(scratch) / "answer.json"
        question.write_text(json.dumps(wanted), encoding="utf-8")
        try:
            done = subprocess.run(
                [sys.executable, __file__, str(question), str(answer)],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=most_s,
            )
        except subprocess.TimeoutExpired:
            raise TooSlow from None
        if done.returncode:
            raise SystemExit(f"The chain {wanted['chain']} failed:\n{done.stderr[-3000:]}")
        return json.loads(answer.read_text(encoding="utf-8"))


# --- in the child -----------------------------------------------------------------------------------------------------


def _answer(wanted: dict[str, Any]) -> dict[str, Any]:
    from planted_recording import read

    folder = Path(wanted["folder"])
    if wanted["chain"] == PILOT:
        return {"seconds": _pilot(wanted["method"], np.array(read(folder).signal_uv))}
    warnings.simplefilter("ignore")
    chain = _chain(wanted["chain"], wanted["threads"])
    chain(_warming_up(), ["F7"])
    baseline = resident_bytes()
    planted = read(folder)
    recording = in_memory(planted.signal_uv, planted.case.channels, planted.case.rate_hz)
    bad = list(planted.bad)
    del planted  # its mapped pages would count
    timers = _Timers() if wanted["profile"] else None
    (cleaned, facts), spent = cost(lambda: chain(recording, bad), baseline)
    output = None
    if wanted["keep"]:
        output = folder / f"output_{wanted['chain']}.npy"
        np.save(output, (cleaned.get_data() * 1e6).astype(np.float32))
    steps = dict(timers.seconds) if timers else {}
    return {"cost": asdict(spent), "steps": steps, "output": str(output) if output else None, **facts}


def _chain(name: str, threads: int) -> Callable[[Recording, list[str]], tuple[mne.io.BaseRaw, dict[str, Any]]]:
    if name == OURS:
        return functools.partial(_ours, threads=threads)
    return functools.partial(_rival, method=name)


def _ours(recording: Recording, _: list[str], *, threads: int) -> tuple[mne.io.BaseRaw, dict[str, Any]]:
    from eegpipe.clean.chain import clean_recording
    from eegpipe.clean.settings import CleanSettings

    done = clean_recording(recording, CleanSettings(), threads=threads)
    record = done.record
    facts = {"removed": record.removed, "bad": list(record.bad_channels), "components": len(record.components)}
    return done.recording.raw, {**facts, "iterations": 0}


def _rival(recording: Recording, bad: list[str], *, method: str) -> tuple[mne.io.BaseRaw, dict[str, Any]]:
    import mne
    from mne.preprocessing import ICA
    from mne_icalabel import label_components

    raw = recording.raw
    raw.info["bads"] = bad
    nyquist_hz = raw.info["sfreq"] / 2
    lines_hz = np.arange(LINE_HZ, nyquist_hz, LINE_HZ)
    highest_hz = ICA_BAND_HZ[1] if ICA_BAND_HZ[1] < nyquist_hz else None

    raw_ica = raw.copy().filter(ICA_BAND_HZ[0], highest_hz, verbose="error")
    raw_ica.notch_filter(lines_hz[lines_hz < (highest_hz or nyquist_hz)], verbose="error")
    raw_ica.set_eeg_reference("average", verbose="error")
    raw_clean = raw.copy().filter(*BAND_HZ, verbose="error").notch_filter(lines_hz, verbose="error")
    raw_clean.set_eeg_reference("average", verbose="error")

    rank = len(mne.pick_types(raw.info, eeg=True)) - 1  # without the bad ones; the average reference costs one
    fit_params = {"extended": True} if method == "infomax" else {"ortho": False, "extended": True}
    ica = ICA(n_components=rank, method=method, fit_params=fit_params, random_state=97, verbose="error")
    ica.fit(raw_ica, verbose="error")
    with mne.use_log_level("error"):
        found = label_components(raw_ica, ica, method="iclabel")
    labels = list(zip(found["labels"], found["y_pred_proba"], strict=True))
    exclude = [n for n, (label, share) in enumerate(labels) if label in _REMOVED and share >= THRESHOLD]
    ica.apply(raw_clean, exclude=exclude, verbose="error")
    raw_clean.interpolate_bads(verbose="error")
    raw_clean.set_eeg_reference("average", verbose="error")
    removed = [f"{labels[number][0]} {labels[number][1]:.2f}" for number in exclude]
    return raw_clean, {"removed": removed, "bad": bad, "components": rank, "iterations": int(ica.n_iter_)}


def _pilot(method: str, signal_uv: np.ndarray) -> float:
    """Seconds of a few steps of an ICA on samples of the recording's number and rank: how many cores help."""
    if method == "infomax":
        from mne.preprocessing import infomax

        fit = functools.partial(infomax, extended=True, max_iter=_PILOT_STEPS, random_state=97, verbose="error")
    else:
        from picard import picard

        fit = functools.partial(
            picard, ortho=False, extended=True, max_iter=_PILOT_STEPS, random_state=97, centering=False, whiten=False
        )
    whitened = np.random.default_rng(0).laplace(size=(len(signal_uv) - 1, signal_uv.shape[1]))
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(whitened.T if method == "infomax" else whitened)
    return time.perf_counter() - start


def in_memory(signal_uv: np.ndarray, names: tuple[str, ...], rate_hz: float) -> Recording:
    """A recording of ``signal_uv`` (channel, sample) as readers make it: float64, volt, template positions."""
    import mne

    from eegpipe import channels
    from eegpipe.recording import Recording, RecordingId

    signal = np.empty(signal_uv.shape)
    for row, channel_uv in enumerate(signal_uv):  # one at a time: no second array
        np.multiply(channel_uv, 1e-6, out=signal[row])
    info = mne.create_info(list(names), rate_hz, "eeg", verbose="error")
    raw = mne.io.RawArray(signal, info, verbose="error")
    montage = mne.channels.make_dig_montage({name: channels.position(name) for name in names}, coord_frame="head")
    raw.set_montage(montage, verbose="error")
    return Recording(RecordingId("01"), raw, [], "", LINE_HZ)


def _warming_up() -> Recording:
    """Half a minute of noise: what a chain imports or compiles at its first call is there before the measurement."""
    names = ("Fp1", "Fp2", "F7", "F8", "Fz", "C3", "C4", "Cz", "P7", "P8", "Pz", "O1", "O2")
    random = np.random.default_rng(0)
    mixing = np.eye(len(names)) + 0.3 * random.standard_normal((len(names), len(names)))
    signal_uv = 10 * mixing @ random.laplace(size=(len(names), 6000))
    return in_memory(signal_uv, names, 200.0)


class _Timers:
    """Seconds that each function of :mod:`eegpipe.clean` takes itself, without those that it calls.

    All functions of the package are wrapped where a module can see them, so that the chain needs no code for it. Times
    of threads that run side by side are added up.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._local, self._lock = threading.local(), threading.Lock()
        modules = [module for name, module in sorted(sys.modules.items()) if name.startswith("eegpipe.clean.")]
        wrapped: dict[int, Callable] = {}
        for module in modules:
            for name, value in list(vars(module).items()):
                if inspect.isfunction(value) and value.__module__.startswith("eegpipe.clean."):
                    if id(value) not in wrapped:
                        wrapped[id(value)] = self._timed(value)
                    setattr(module, name, wrapped[id(value)])

    def _timed(self, function: Callable) -> Callable:
        label = f"{function.__module__.removeprefix('eegpipe.clean.')}.{function.__name__}"

        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            inner: list[float] = getattr(self._local, "inner", [])
            self._local.inner = []
            start = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                spent = time.perf_counter() - start
                with self._lock:
                    self.seconds[label] += spent - sum(self._local.inner)
                self._local.inner = [*inner, spent]

        return timed


if __name__ == "__main__":
    question, answer = map(Path, sys.argv[1:3])
    given = json.loads(question.read_text(encoding="utf-8"))
    answer.write_text(json.dumps(_answer(given)), encoding="utf-8")

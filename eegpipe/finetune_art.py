"""Fine-tuning ART + GAT on one training part, normally one subject's: two learning rates, an ensemble of checkpoints.

Which checkpoints are kept is decided by validation data: a part that is given, or one that is taken from the training
part. Test data is not an argument of :func:`fine_tune`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.loader import Segments
from eegpipe.models.art import ITEMS_AT_ONCE, Art, channel_features
from eegpipe.models.art_settings import ArtConfig, FineTuneSettings, GatConfig
from eegpipe.models.art_windows import ArtWindows, SessionScales
from eegpipe.models.baselines import fixed_threads
from eegpipe.models.channel_schema import places
from eegpipe.models.gat import ChannelClassifier, Connectivity
from eegpipe.protocols import shuffled

__all__ = ["ArtClassifier", "FineTuneSettings", "FittedArt", "fine_tune", "validation_rows"]


class ArtClassifier(nn.Module):
    """Encoder and classifier in one.

    Parameters
    ----------
    encoder : Art
        Becomes part of this module and is trained with it.
    graph : GatConfig
    nodes : sequence of str
        Channels of the classifier, in order of their ids; a data set may lack some of them.
    n_classes : int
    """

    def __init__(self, encoder: Art, graph: GatConfig, nodes: Sequence[str], n_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = ChannelClassifier(graph, nodes, width=encoder.config.width, n_classes=n_classes)

    def features(self, windows: ArtWindows, rows: np.ndarray) -> Tensor:
        """(len(rows), channel of the data, width)"""
        device = self.encoder.position.device
        x_BCT = torch.from_numpy(windows(rows)).to(device)
        return channel_features(self.encoder, x_BCT, windows.rate_hz, torch.from_numpy(windows.mixture).to(device))

    def on_nodes(self, features_BCD: Tensor, names: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        """The features at the nodes of the classifier, and which nodes are present (None: all)."""
        nodes = self.head.names
        if tuple(names) == nodes:
            return features_BCD, None
        at = torch.from_numpy(places(names, nodes)).to(features_BCD.device)
        shape = (len(features_BCD), len(nodes), features_BCD.shape[-1])
        spread_BCD = features_BCD.new_zeros(shape).index_copy(1, at, features_BCD)
        present_C = torch.zeros(len(nodes), dtype=torch.bool, device=features_BCD.device).index_fill(0, at, True)
        return spread_BCD, present_C.expand(len(features_BCD), -1)

    def forward(self, windows: ArtWindows, rows: np.ndarray) -> Tensor:
        """Logits, (len(rows), class)."""
        return self.head(*self.on_nodes(self.features(windows, rows), windows.names))


@dataclass(frozen=True, eq=False)
class FittedArt:
    """An ensemble of checkpoints of one training.

    epochs : those whose checkpoints are kept, 1-based, the best first
    curve : per epoch the mean training loss and the validation accuracy
    """

    network: ArtClassifier
    states: tuple[dict[str, Tensor], ...]
    epochs: tuple[int, ...]
    curve: list[tuple[float, float | None]]
    n_classes: int
    _scales: SessionScales | None
    _threads: int
    _frozen: bool  # the encoder was not trained

    def probabilities(self, segments: Segments) -> np.ndarray:
        """(n, class) float64, rows sum to 1: mean of the checkpoints' probabilities.

        With the scaling over sessions, a session that was trained on keeps the scale of its training windows; another
        one is scaled by its windows in ``segments``, without their labels.
        """
        total = np.zeros((len(segments), self.n_classes))
        batches: _Batches | None = None
        for model, windows in self._members(segments):
            if batches is None or not self._frozen:  # a frozen encoder is the same in every checkpoint
                batches = _Batches(model, windows, frozen=self._frozen)
            for rows in _pieces(windows):
                total[rows] += torch.softmax(batches(rows).double(), dim=1).cpu().numpy()
        return total / len(self.states)

    @property
    def has_attention(self) -> bool:
        """Whether channels attend to each other over a graph, so that :meth:`connectivity` says something learned."""
        return self.network.head.config.graph == "gat"

    def connectivity(self, segments: Segments) -> Connectivity:
        """Attention over the graph of channels, mean over the windows and the checkpoints."""
        return self.connectivity_of(segments, np.zeros(len(segments), dtype=np.int64))[0]

    def connectivity_of(self, segments: Segments, group: np.ndarray) -> list[Connectivity]:
        """As :meth:`connectivity`, apart for each group of windows.

        Parameters
        ----------
        group : (n,) int
            0 to the number of groups - 1, each at least once. All windows are scaled together, as for an answer.
        """
        count = np.bincount(group)
        total: np.ndarray | None = None
        known: dict[int, Tensor] = {}  # a frozen encoder is the same in every checkpoint
        for model, windows in self._members(segments):
            for rows in _pieces(windows):
                first = int(rows[0])
                features = known[first] if first in known else model.features(windows, rows)
                if self._frozen:
                    known[first] = features
                read = model.head.attention(*model.on_nodes(features, windows.names)).double().cpu().numpy()
                total = np.zeros((len(count), *read.shape[:1], *read.shape[2:])) if total is None else total
                for one in np.unique(group[rows]):
                    total[one] += read[:, group[rows] == one].sum(axis=1)
        if total is None:
            raise UsageProblem("No windows to read attention from.")
        names = self.network.head.names
        return [Connectivity(names, total[one] / (count[one] * len(self.states))) for one in range(len(count))]

    def _members(self, segments: Segments) -> Iterator[tuple[ArtClassifier, ArtWindows]]:
        windows = ArtWindows(segments, self.network.encoder.config, self._scales)
        with fixed_threads(self._threads), torch.inference_mode():
            for state in self.states:
                self.network.load_state_dict(state)
                yield self.network.eval(), windows


def fine_tune(
    encoder: Art | ArtConfig,
    train: Segments,
    truth: np.ndarray,
    n_classes: int,
    *,
    graph: GatConfig,
    settings: FineTuneSettings,
    validation: tuple[Segments, np.ndarray] | None = None,
    nodes: Literal["data", "encoder"] = "data",
    seed: int,
    device: str = "cpu",
    threads: int = 1,
) -> FittedArt:
    """Train encoder and classifier together with AdamW and cross-entropy; keep the checkpoints best on validation data.

    Parameters
    ----------
    encoder : Art or ArtConfig
        Pre-trained, of which a copy is trained; or the settings, channels included, of a network that starts from
        random weights.
    train : Segments
    truth : (len(train),) int, 0 to n_classes - 1
    graph : GatConfig
    settings : FineTuneSettings
    validation : (Segments, truth) or None
        None: ``settings.validation_share`` of the training part is taken for it (:func:`validation_rows`) and not
        trained on.
    nodes : "data" or "encoder"
        Channels of the classifier: those of the data, or all that the encoder knows (union schema), absent ones masked.
    seed : int
        Of new weights, the batches and dropout.
    device : str
    threads : int
        torch's, on the CPU: last digits depend on their number.

    Raises
    ------
    DataProblem
        From the scaling and the channels; a loss that is not finite; too few trials to take validation data from.
    UsageProblem
        Windows that the tokenizer cannot take; ``nodes="encoder"`` with a channel that the encoder does not know.
    """
    truth = np.asarray(truth, dtype=np.int64)
    if validation is None:
        watching = validation_rows(
            train, truth, settings.validation_share, settings.validation_unit, where=f"fine-tuning on {train.dataset}"
        )
        validation = train.select(watching), truth[watching]
        train, truth = train.select(~watching), truth[~watching]
    watched, watched_truth = validation
    with fixed_threads(threads), torch.random.fork_rng(devices=[device] if "cuda" in device else []):
        torch.manual_seed(seed)
        encoder = Art(encoder) if isinstance(encoder, ArtConfig) else encoder
        if nodes == "encoder":  # there is no node for a channel that the encoder does not know
            encoder = _with_known_channels_only(encoder)
        windows = ArtWindows(train, encoder.config)
        watched_windows = ArtWindows(watched, encoder.config, windows.scales)
        names = windows.names if nodes == "data" else encoder.config.channels
        network = ArtClassifier(copy.deepcopy(encoder), graph, names, n_classes).to(device)
        network.encoder.requires_grad_(settings.encoder_rate > 0)
        frozen = settings.encoder_rate == 0
        batches = _Batches(network, windows, frozen=frozen)
        judged = _Batches(network, watched_windows, frozen=frozen)
        groups = [{"params": list(network.head.parameters()), "lr": settings.head_rate}]
        if settings.encoder_rate > 0:
            trained = [parameter for name, parameter in network.encoder.named_parameters() if "projection" not in name]
            groups.append({"params": trained, "lr": settings.encoder_rate})
        optimiser = torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
        target = torch.from_numpy(truth).to(device)
        curve: list[tuple[float, float | None]] = []
        kept: list[tuple[float, int, dict[str, Tensor]]] = []
        for epoch in range(1, settings.epochs + 1):
            loss = _epoch(network, batches, target, optimiser, settings.batch)
            if not np.isfinite(loss):
                cure = "Lower encoder_rate and head_rate."
                raise DataProblem(f"fine-tuning on {train.dataset}, epoch {epoch}", f"loss {loss}", "a number", cure)
            accuracy = _accuracy(network, judged, watched_truth)
            curve.append((loss, accuracy))
            # Of equals the earlier one: sorting is stable, and a later one enters only if it is better than the last.
            if len(kept) < settings.ensemble or accuracy > kept[-1][0]:
                state = {name: value.detach().clone() for name, value in network.state_dict().items()}
                kept = sorted([*kept, (accuracy, epoch, state)], key=lambda one: -one[0])[: settings.ensemble]
    epochs = tuple(epoch for _, epoch, _ in kept)
    states = tuple(state for _, _, state in kept)
    return FittedArt(network, states, epochs, curve, n_classes, windows.scales, threads, frozen)


def _with_known_channels_only(encoder: Art) -> Art:
    copied = copy.deepcopy(encoder)
    copied.config = replace(encoder.config, unknown_channels="drop")
    return copied


class _Batches:
    """Logits of some windows: through the encoder, or from features that a frozen encoder gave once."""

    def __init__(self, network: ArtClassifier, windows: ArtWindows, *, frozen: bool) -> None:
        self.network, self.windows = network, windows
        self._features: Tensor | None = None
        if frozen:
            network.encoder.eval()
            with torch.no_grad():
                self._features = torch.cat([network.features(windows, rows) for rows in _pieces(windows)])

    def __call__(self, rows: np.ndarray) -> Tensor:
        if self._features is None:
            return self.network(self.windows, rows)
        features = self._features[torch.from_numpy(rows).to(self._features.device)]
        return self.network.head(*self.network.on_nodes(features, self.windows.names))


def _epoch(
    network: ArtClassifier, batches: _Batches, target: Tensor, optimiser: torch.optim.Optimizer, size: int
) -> float:
    network.train()
    total = 0.0
    for rows in torch.randperm(len(target)).split(size):
        loss = nn.functional.cross_entropy(batches(rows.numpy()), target[rows.to(target.device)])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        total += loss.item() * len(rows)
    return total / len(target)


@torch.no_grad()
def _accuracy(network: ArtClassifier, batches: _Batches, truth: np.ndarray) -> float:
    network.eval()
    answers = [batches(rows).argmax(dim=1).cpu().numpy() for rows in _pieces(batches.windows)]
    return float((np.concatenate(answers) == truth).mean())


def _pieces(windows: ArtWindows) -> list[np.ndarray]:
    """Rows that pass the network at once where no gradient is needed."""
    size = max(ITEMS_AT_ONCE // len(windows.names), 1)
    return [np.arange(start, min(start + size, len(windows))) for start in range(0, len(windows), size)]


def validation_rows(
    segments: Segments, truth: np.ndarray, share: float, unit: Literal["trial", "window"] = "trial", *, where: str
) -> np.ndarray:
    """Which segments of a training part are to choose checkpoints, (n,) bool.

    Of each class the same share of trials (or windows), at least one where the class has two. The draw depends on
    names and numbers of the trials only: the same trials whatever the seed of training and the order of segments.

    Raises
    ------
    DataProblem
        If no class has two trials (windows).
    """
    columns = [segments.subject, segments.session, segments.trial, segments.stimulus]
    if unit == "window":
        columns.append(np.round(np.asarray(segments.stimulus_time) * segments.rate_hz).astype(np.int64))
    units, owner = np.unique(
        np.stack([column.astype(np.int64) for column in columns], axis=1), axis=0, return_inverse=True
    )
    owner = owner.ravel()
    label = np.zeros(len(units), dtype=np.int64)
    label[owner] = truth
    names = [
        "/".join([segments.subject_names[one[0]], segments.session_names[one[1]], *map(str, one[2:])]) for one in units
    ]
    chosen: list[int] = []
    for number in np.unique(label):
        members = {names[index]: int(index) for index in np.flatnonzero(label == number)}
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        order = shuffled(members, segments.dataset, "art validation")
        chosen += [members[name] for name in order[:count]]
    if not chosen:
        found = f"one {unit} of each class"
        cure = "Give a validation part, or a larger training part"
        cure += ", or take single windows (validation_unit: window)." if unit == "trial" else "."
        raise DataProblem(where, found, f"two {unit}s of a class", cure)
    return np.isin(owner, chosen)

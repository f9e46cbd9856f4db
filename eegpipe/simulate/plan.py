"""What a data set's experiment was, and how much of it is simulated: counts and durations may shrink, nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace

from eegpipe.errors import UsageProblem
from eegpipe.simulate import SimulateSettings


@dataclass(frozen=True)
class Clip:
    """One film clip as its makers meant it.

    number
        Unique in the data set: clips of different sessions have different numbers, unless they are the same clip.
    latent : (valence, arousal, approach)
        Each from -1 to 1: what the clip evokes on average. See :mod:`eegpipe.simulate.affective`.
    label
        The vendor's class in words, or None.
    stimulus_s
        Seconds of signal that the vendor's file holds of it.
    """

    number: int
    latent: tuple[float, float, float]
    label: str | None
    stimulus_s: int


@dataclass(frozen=True)
class Design:
    """The vendor's experiment in full.

    people
        The subjects' numbers.
    clips
        In the order of the vendor's file; of all sessions, or of the first where ``sessions_clips`` gives each its own.
    trap_people
        The fewest people whose files show every documented irregularity; with ``traps`` they are simulated first.
    inside_baseline_s
        Seconds of baseline in the same array as the clip, which the facts count as the trial's.
    """

    name: str
    people: tuple[int, ...]
    sessions: int
    clips: tuple[Clip, ...]
    sessions_clips: tuple[tuple[Clip, ...], ...] = ()
    trap_people: tuple[int, ...] = ()
    inside_baseline_s: int = 0


@dataclass(frozen=True)
class Plan:
    """A design after shrinking, with the settings it shall be simulated with."""

    design: Design
    settings: SimulateSettings
    people: tuple[int, ...]
    sessions: int
    clips: tuple[Clip, ...]
    sessions_clips: tuple[tuple[Clip, ...], ...] = ()

    @property
    def traps(self) -> bool:
        """Whether the documented irregularities are written."""
        return self.settings.traps

    def clips_of(self, session: int) -> tuple[Clip, ...]:
        """The clips of a session (1 is the first)."""
        return self.sessions_clips[session - 1] if self.sessions_clips else self.clips

    def facts(self) -> dict[str, object]:
        """The facts for the simulator's marker, as :class:`eegpipe.datasets.base.Facts` names them."""
        facts: dict[str, object] = {
            "subjects": len(self.people),
            "sessions": self.sessions,
            "trials": len(self.clips),
            "people": list(self.people),
        }
        if self.sessions_clips:
            return facts | {"sessions_trial_s": [self._trial_s(clips) for clips in self.sessions_clips]}
        return facts | {"trial_s": self._trial_s(self.clips)}

    def _trial_s(self, clips: tuple[Clip, ...]) -> list[float]:
        return [float(clip.stimulus_s + self.design.inside_baseline_s) for clip in clips]


def shrink(design: Design, settings: SimulateSettings) -> Plan:
    """Apply the counts and durations of the settings.

    Raises
    ------
    UsageProblem
        If the settings ask for more than the vendor has.
    """
    everything = [clip for clips in design.sessions_clips or (design.clips,) for clip in clips]
    mean_s = sum(clip.stimulus_s for clip in everything) / len(everything)
    limits = {"subjects": len(design.people), "sessions": design.sessions, "trial_s": int(mean_s)}
    for name, limit in limits.items():
        wanted = getattr(settings, name)
        if wanted is not None and wanted > limit:
            raise UsageProblem(
                f"simulate.{name} = {wanted} is more than {design.name} has ({limit}). The simulator only shrinks."
            )
    scale = 1.0 if settings.trial_s is None else settings.trial_s / mean_s

    def shorter(clips: tuple[Clip, ...]) -> tuple[Clip, ...]:
        return tuple(replace(clip, stimulus_s=max(1, round(clip.stimulus_s * scale))) for clip in clips)

    order = design.people
    if settings.traps:
        order = (*design.trap_people, *(number for number in design.people if number not in design.trap_people))
    sessions = settings.sessions or design.sessions
    return Plan(
        design,
        settings,
        people=tuple(sorted(order[: settings.subjects])),
        sessions=sessions,
        clips=shorter(design.clips),
        sessions_clips=tuple(map(shorter, design.sessions_clips))[:sessions],
    )

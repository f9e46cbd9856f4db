"""What a data set's experiment was, and how much of it is simulated: counts and durations may shrink, nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace

from eegpipe.errors import UsageProblem
from eegpipe.simulate import SimulateSettings


@dataclass(frozen=True)
class Clip:
    """One film clip as its makers meant it.

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

    ``inside_baseline_s``: seconds of baseline in the same array as the clip, which the facts count as the trial's.
    """

    name: str
    subjects: int
    sessions: int
    clips: tuple[Clip, ...]
    inside_baseline_s: int = 0


@dataclass(frozen=True)
class Plan:
    """A design after shrinking, with the settings it shall be simulated with."""

    design: Design
    settings: SimulateSettings
    subjects: int
    sessions: int
    clips: tuple[Clip, ...]

    def facts(self) -> dict[str, object]:
        """The facts for the simulator's marker, as :class:`eegpipe.datasets.base.Facts` names them."""
        return {
            "subjects": self.subjects,
            "sessions": self.sessions,
            "trials": len(self.clips),
            "trial_s": [float(clip.stimulus_s + self.design.inside_baseline_s) for clip in self.clips],
        }


def shrink(design: Design, settings: SimulateSettings) -> Plan:
    """Apply the counts and durations of the settings.

    Raises
    ------
    UsageProblem
        If the settings ask for more than the vendor has.
    """
    mean_s = sum(clip.stimulus_s for clip in design.clips) / len(design.clips)
    limits = {"subjects": design.subjects, "sessions": design.sessions, "trial_s": int(mean_s)}
    for name, limit in limits.items():
        wanted = getattr(settings, name)
        if wanted is not None and wanted > limit:
            raise UsageProblem(
                f"simulate.{name} = {wanted} is more than {design.name} has ({limit}). The simulator only shrinks."
            )
    clips = design.clips
    if settings.trial_s is not None:
        scale = settings.trial_s / mean_s
        clips = tuple(replace(clip, stimulus_s=max(1, round(clip.stimulus_s * scale))) for clip in clips)
    return Plan(design, settings, settings.subjects or design.subjects, settings.sessions or design.sessions, clips)

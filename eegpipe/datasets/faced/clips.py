"""FACED's 28 clips: emotion, length, and when each was shown. Common to all forms of the data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eegpipe import affect
from eegpipe.datasets.folders import numbers_text
from eegpipe.errors import DataProblem
from eegpipe.recording import Event

# Emotion of videos 1..28 and the median over subjects of how long each was shown, in seconds.
LABELS = ("anger", "disgust", "fear", "sadness", "neutral", "amusement", "inspiration", "joy", "tenderness")
VIDEO_LABEL = tuple(word for word in LABELS for _ in range(4 if word == "neutral" else 3))
VIDEO_S = (
    81.138, 63.941, 73.214, 78.646, 69.383, 90.547, 56.085, 60.265, 105.804, 45.108, 60.156, 82.048, 35.099, 44.319,
    38.934, 43.065, 55.917, 69.707, 73.268, 129.118, 77.118, 75.802, 34.13, 37.259, 67.632, 63.123, 54.161, 77.475,
)  # fmt: skip

# Subjects 036-060 saw video 22 with 8 s more at its beginning (83.909 to 83.928 s), which leaves its end where it is.
LONG_VIDEO, LONG_SUBJECTS, LONG_EXTRA_S = 22, range(36, 61), 8.116
# How far the marked length of a clip lies from the median at most (reported: -0.479 to +0.928 s).
_SHORTER_S, _LONGER_S = 0.6, 1.0

SCALE = (0.0, 7.0)
_RATING_ORDER = "joy tenderness inspiration amusement anger disgust fear sadness arousal valence familiarity liking"
RATINGS = tuple(_RATING_ORDER.split())
Ratings = Mapping[int, Mapping[str, float]]  # video -> name -> value


@dataclass(frozen=True)
class Presented:
    """A clip as the markers have it: seconds from the first sample of the recording."""

    video: int
    onset_s: float
    duration_s: float


def extra_s(video: int, subject: int) -> float:
    """Seconds by which a subject's version of a video is longer at its beginning."""
    return LONG_EXTRA_S if video == LONG_VIDEO and subject in LONG_SUBJECTS else 0.0


def check_presented(
    presented: Sequence[Presented], subject: int, trial_s: Sequence[float], recording_s: float, where: str
) -> None:
    """Refuse a list of clips that is not every video once, each with its length, inside the recording.

    Parameters
    ----------
    presented
        In order of time.
    trial_s
        Seconds of each video, in order of its number.
    recording_s
        Seconds of the whole recording.
    """
    cure = "The markers do not belong to this recording, or are damaged: copy the file again from the vendor's archive."
    counts = Counter(one.video for one in presented)
    missing = [video for video in range(1, len(trial_s) + 1) if not counts[video]]
    surplus = [video for video, count in sorted(counts.items()) if count > 1 or video > len(trial_s)]
    if missing or surplus:
        words = [f"no clip {numbers_text(missing)}"] if missing else []
        words += [f"more than one clip {numbers_text(surplus)}"] if surplus else []
        raise DataProblem(where, " and ".join(words), f"each of the clips 1 to {len(trial_s)} once", cure)
    end_s = 0.0
    for one in presented:
        usual_s = trial_s[one.video - 1] + extra_s(one.video, subject)
        if not -_SHORTER_S <= one.duration_s - usual_s <= _LONGER_S:
            expected = f"{usual_s:g} s (-{_SHORTER_S:g} to +{_LONGER_S:g})"
            raise DataProblem(f"{where}: clip {one.video}", f"a length of {one.duration_s:g} s", expected, cure)
        if one.onset_s < end_s or one.onset_s + one.duration_s > recording_s:
            found = f"{one.onset_s:g} to {one.onset_s + one.duration_s:g} s"
            expected = f"a clip between {end_s:g} s, where the one before it ends, and the end at {recording_s:g} s"
            raise DataProblem(f"{where}: clip {one.video}", found, expected, cure)
        end_s = one.onset_s + one.duration_s


def stimuli(presented: Sequence[Presented], subject: int, ratings: Ratings) -> list[Event]:
    """The stimulus events of a continuous recording: trials count presentations, 1 is the first.

    A clip's offsets count from the beginning of the version that most people saw.
    """
    return [
        stimulus(
            one.video,
            trial=trial,
            onset_s=one.onset_s,
            duration_s=one.duration_s,
            offset_s=-extra_s(one.video, subject),
            ratings=ratings,
        )
        for trial, one in enumerate(presented, start=1)
    ]


def stimulus(video: int, *, trial: int, onset_s: float, duration_s: float, offset_s: float, ratings: Ratings) -> Event:
    """The event of one video, with the subject's own ratings if there are any, else with the norm of its emotion."""
    own = ratings.get(video)
    label = VIDEO_LABEL[video - 1]
    return Event(
        onset_s=onset_s,
        duration_s=duration_s,
        kind="stimulus",
        trial=trial,
        stimulus=f"faced/{video:02d}",
        stimulus_offset_s=offset_s,
        label=label,
        ratings=dict(own or {}),
        affect=affect.from_rating(own["valence"], own["arousal"], SCALE) if own else affect.from_word(label),
    )


def check_ratings(values: Sequence[float], where: str) -> dict[str, float]:
    """The twelve ratings of one clip by name, refused if one lies outside the scale."""
    low, high = SCALE
    for name, value in zip(RATINGS, values, strict=True):
        if not low <= value <= high:
            cure = "Copy the file from the vendor's archive again."
            raise DataProblem(where, f"{name} {value:g}", f"{low:g} to {high:g}", cure)
    return dict(zip(RATINGS, map(float, values), strict=True))

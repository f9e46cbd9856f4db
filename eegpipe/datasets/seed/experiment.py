"""SEED's experiment, the same in all its files: 15 people, three sessions, the same 15 clips in every session."""

from __future__ import annotations

WORDS = {-1: "negative", 0: "neutral", 1: "positive"}
LABEL_SEQUENCE = (1, 0, -1, -1, 0, 1, -1, 0, 1, 1, 0, -1, 0, 1, -1)  # of the 15 clips
SEX = "MFFMMMFFMFFMFMF"  # subjects 1..15, from the vendor's list of participants

# Where the clips begin and end in the raw recordings, in seconds: the vendor's time.txt, there in samples at 1000 Hz.
START_S = (27, 290, 551, 784, 1050, 1262, 1484, 1748, 1993, 2287, 2551, 2812, 3072, 3335, 3599)
STOP_S = (262, 523, 757, 1022, 1235, 1457, 1721, 1964, 2258, 2524, 2786, 3045, 3307, 3573, 3805)
TRIAL_S = tuple(float(stop - start) for start, stop in zip(START_S, STOP_S, strict=True))

"""Stretches of time as subtitles, which players show over the video: WebVTT and SubRip."""

import html
from collections.abc import Iterable, Sequence

from stvit_video.visible import visible

Cue = tuple[float, float, str]
"""Start and end in seconds, and what is shown."""


def vtt_text(cues: Iterable[Cue]) -> str:
    """Write WebVTT."""
    blocks = [
        f"{clock(start)} --> {clock(end)}\n{html.escape(visible(words), quote=False)}\n"
        for start, end, words in cues
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def srt_text(cues: Sequence[Cue]) -> str:
    """Write SubRip (.srt); its markup is that of HTML, so angle brackets are written otherwise."""
    return "\n".join(
        f"{number}\n{clock(start, point=',')} --> {clock(end, point=',')}\n"
        f"{visible(words).translate(_BRACKETS)}\n"
        for number, (start, end, words) in enumerate(cues, start=1)
    )


def clock(seconds: float, *, point: str = ".") -> str:
    """Write a time as players do: `00:01:02.500`."""
    minutes, milliseconds = divmod(round(1000 * seconds), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"


_BRACKETS = str.maketrans({"<": "\u2039", ">": "\u203a"})

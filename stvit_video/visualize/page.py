"""The page: one file that shows tubes of tokens on the frames, by a script of its own.

Nothing is loaded from elsewhere; a browser runs no script but the one whose hash the page names,
whatever a label or a file is called.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from stvit_video.evaluation.timeline import WindowPrediction, own_times
from stvit_video.report.token_colours import FAINTEST, PALETTE, STRONGEST
from stvit_video.visible import visible
from stvit_video.visualize.drawing import Kept
from stvit_video.visualize.reading import ReadVideo

_UNSAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
"""What could end the script, in JSON."""


def page_text(video: ReadVideo, kept: Kept, *, title: str, about: str) -> str:
    """Write the page as HTML; `about` stands below the title."""
    data = {**_page_data(video, kept), "title": visible(title), "about": visible(about)}
    body, style, script = (_part(f"page.{kind}") for kind in ("html", "css", "js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline';"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>stvit-video clusters</title>\n<style>\n{style}</style></head>\n"
        f"<body>\n{body}"
        f'<script type="application/json" id="data">{_script_json(data)}</script>\n'
        f"<script>{script}</script>\n</body></html>\n"
    )


def windows_data(windows: Sequence[WindowPrediction]) -> list[dict[str, Any]]:
    """Return windows with their answers as scripts read them, and from when to when each counts."""
    return [
        {
            "start": window.start_seconds,
            "end": window.end_seconds,
            "from": start,
            "to": end,
            "topk": [{**entry, "label": visible(entry["label"])} for entry in window.topk],
        }
        for window, (start, end) in zip(windows, own_times(windows), strict=True)
    ]


def _page_data(video: ReadVideo, kept: Kept) -> dict[str, Any]:
    """Return what the script reads."""
    lens, frames = video.lens, kept.page
    top, left, bottom, right = lens.crop
    return {
        "frames": [_base64(jpeg) for jpeg in kept.jpegs],
        "times": [round(float(video.times[frame]), 3) for frame in frames],
        "steps": video.step[frames].tolist(),
        "window": video.window[frames].tolist(),
        "windows": windows_data(video.windows),
        "grid": list(video.tubes.shape[1:]),
        "owner": _base64(video.tubes.astype("<u2").tobytes()),  # -1 is 65535
        "strength": _base64((255 * video.strength).round().astype(np.uint8).tobytes()),
        "colours": video.colours.tolist(),
        "palette": ["#" + bytes(colour).hex() for colour in PALETTE],
        "alpha": [FAINTEST, STRONGEST],
        "size": [lens.height, lens.width],
        "crop": {
            "top": top,
            "left": left,
            "bottom": bottom,
            "right": right,
            "cell": list(lens.cell),
        },
    }


def _script_json(data: Any) -> str:
    """Write JSON that cannot end the script it stands in."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).translate(_UNSAFE)


def _part(name: str) -> str:
    return files("stvit_video.visualize").joinpath(name).read_text(encoding="utf-8")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")

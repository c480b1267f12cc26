"""Results as a notebook shows them: tables, and a picture in small.

Legend: H W pixels, C colours.
"""

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stvit_video.report.tables import Table, html_text, html_words

_SIDE = 240
"""Pixels of the longer side of a picture, at most."""


def results_html(
    tables: Sequence[Table], *, text: str = "", picture: NDArray[np.uint8] | None = None
) -> str:
    """Write a paragraph, tables, and a picture (H, W, C) in small beside them as HTML."""
    parts = [f"<p>{html_words(text)}</p>"] if text else []
    parts += [html_text(table) for table in tables]
    beside = "" if picture is None else f"<div>{_thumbnail(picture)}</div>"
    return (
        '<div style="display: flex; flex-wrap: wrap; gap: 1em; align-items: flex-start">\n'
        f"{beside}<div>{''.join(parts)}</div></div>\n"
    )


def _thumbnail(picture: NDArray[np.uint8]) -> str:
    """Write a picture (H, W, C) as a JPEG inside its element."""
    small = Image.fromarray(picture)
    small.thumbnail((_SIDE, _SIDE))
    stream = io.BytesIO()
    small.convert("RGB").save(stream, "jpeg", quality=80)
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    return f'<img alt="a frame of the video" src="data:image/jpeg;base64,{data}">'

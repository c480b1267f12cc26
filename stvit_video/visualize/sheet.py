"""The contact sheet: moments of a video, each as it is and with its tokens below.

Legend: H W pixels, C colours.
"""

from collections.abc import Sequence

from stvit_video.report.clusters import PictureRow, row_figure, with_few_colours
from stvit_video.visualize.drawing import Picture
from stvit_video.visualize.reading import ReadVideo

_COLUMNS = 4


def draw_sheet(
    moments: Sequence[tuple[int, Picture, Picture]], video: ReadVideo, *, title: str
) -> bytes:
    """Draw moments, frame number, picture and picture with tokens, as a PNG picture."""
    rows = []
    for start in range(0, len(moments), _COLUMNS):
        part = moments[start : start + _COLUMNS]
        names = [_caption(video, number) for number, _, _ in part]
        rows.append(PictureRow("", [plain for _, plain, _ in part], names))
        rows.append(PictureRow("", [drawn for _, _, drawn in part]))
    return with_few_colours(row_figure(rows, title=title, side=2.6).png())


def _caption(video: ReadVideo, number: int) -> str:
    best = video.windows[video.window[number]].topk[0]
    return f"{video.times[number]:.2f} s: {best['label']} ({best['score']:.2f})"

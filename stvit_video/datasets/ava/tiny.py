"""A tiny data set laid out as AVA, for trying a recipe where the data set is not there."""

from pathlib import Path

from stvit_video.files import write_file
from stvit_video.video.numbered import numbered_picture, write_pictures

LABEL_MAP = "ava_action_list_v2.2.pbtxt"
_IDS = (1, 3, 12)
"""As in the official map, there are holes."""
_SECONDS = 4
_FPS = 10


def write_tiny_ava(root: Path, *, num_frames: dict[str, int]) -> dict[str, Path]:
    """Write so many key frames of each part into `root`; return the annotations of each.

    There is a film for every three of them, all below `trainval/`, and the label map beside the
    annotations, as the official archives have it.
    """
    films, annotations = root / "trainval", root / "annotations"
    films.mkdir(parents=True)
    write_file(
        annotations / LABEL_MAP,
        "".join(f'item {{\n  name: "action {i}"\n  id: {i}\n}}\n' for i in _IDS),
    )
    pictures = [numbered_picture(i, width=96, height=72) for i in range(_FPS * _SECONDS)]
    found = {}
    for part, count in num_frames.items():
        rows = []
        for number in range(count):
            film = f"{part}_{number // 3:07d}"
            path = films / f"{film}.mp4"
            if not path.exists():
                options = {"preset": "ultrafast", "x264-params": "log=-1"}
                write_pictures(path, pictures, fps=_FPS, options=options)
            place = f"{film},{901 + number % 3:04d}"
            rows += [
                f"{place},0.100,0.200,0.500,0.900,{_IDS[number % 3]},0\n",
                f"{place},0.100,0.200,0.500,0.900,{_IDS[-1]},0\n" * (number % 3 != 2),
                f"{place},0.600,0.100,0.900,0.950,{_IDS[0]},1\n",
            ]
        found[part] = annotations / f"ava_{part}_v2.2.csv"
        write_file(found[part], "".join(rows))
    return found

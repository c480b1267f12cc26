"""Link the boxes of key frames that follow each other: a person over time.

Legend: N boxes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stvit_video.detection.actions.frame_ap import box_overlap

LEAST_OVERLAP = 0.3
"""IoU of boxes of one person in neighbouring key frames."""
MOST_GAP = 2.0
"""Seconds between neighbouring key frames of a track."""


def link_boxes(seconds: Sequence[float], boxes: Sequence[NDArray[np.float32]]) -> list[list[int]]:
    """Number the person of each box, key frame by key frame, in the order of their seconds.

    Of all pairs of boxes of two neighbouring key frames the one that overlaps most is linked first.
    """
    tracks: list[list[int]] = []
    num_tracks = 0
    for number, own in enumerate(boxes):
        found = [-1] * len(own)
        if number and seconds[number] - seconds[number - 1] <= MOST_GAP:
            before = boxes[number - 1]
            rows, columns = np.indices((len(before), len(own))).reshape(2, -1)
            overlap = box_overlap(before[rows], own[columns])
            taken: set[int] = set()
            for pair in np.argsort(-overlap, kind="stable").tolist():
                row, column = int(rows[pair]), int(columns[pair])
                if overlap[pair] < LEAST_OVERLAP or row in taken or found[column] >= 0:
                    continue
                taken.add(row)
                found[column] = tracks[-1][row]
        for place, track in enumerate(found):
            if track < 0:
                found[place], num_tracks = num_tracks, num_tracks + 1
        tracks.append(found)
    return tracks

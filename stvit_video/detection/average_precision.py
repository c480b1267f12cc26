"""Average precision as PASCAL VOC has it since 2010: the area below the highest precision that is
had at each recall or beyond.

Legend: D detections of a class.
"""

import numpy as np
from numpy.typing import NDArray


def average_precision(is_right: NDArray[np.bool_], num_truths: int) -> float:
    """Return the average precision of detections (D,), best first; nan where nothing is true."""
    if num_truths == 0:
        return float("nan")
    precision = np.cumsum(is_right) / np.arange(1, len(is_right) + 1)
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    return float(highest[is_right].sum() / num_truths)

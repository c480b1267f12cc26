"""The picture that stands for a video where a result of it is shown.

Legend: H W pixels, C colours.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stvit_video.errors import VideoDecodeError
from stvit_video.video.decoding.open import read_frames


def middle_frame(video: str, num_frames: int) -> NDArray[np.uint8] | None:
    """Read the frame in the middle of a file, uint8 (H, W, C); None where it cannot be read."""
    if not num_frames or not Path(video).is_file():
        return None
    try:
        return read_frames(video, [num_frames // 2])[0].numpy()
    except VideoDecodeError:
        return None

"""A model that clusters, in a run folder, and what is drawn with it."""

import numpy as np
import pytest
import torch

from stvit_video import create_model, write_checkpoint
from stvit_video.datasets.windows import WindowLength
from stvit_video.evaluation.predictor import Predictor
from stvit_video.video.numbered import write_pictures
from stvit_video.visualize.run import visualize_video

HOSTILE = '</script><script>document.title="owned"</script><img src=x onerror=alert(1)>'
LABELS = ("waving", HOSTILE, "a\u202eb\u2028c")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """A model whose semantic tokens begin as the means of 4 x 2 x 2 windows."""
    torch.manual_seed(0)
    model = create_model("demo_tiny", num_classes=3, semantic="4x2x2@1", frame_stride=1)
    folder = tmp_path_factory.mktemp("run")
    write_checkpoint(model, folder, labels=LABELS)
    return folder


@pytest.fixture(scope="session")
def moving_video(tmp_path_factory):
    """30 frames, 160x96 at 25 fps: a bright square walks to the right over a dark ground."""
    path = tmp_path_factory.mktemp("moving") / f"{HOSTILE.replace('/', '_')}.mp4"
    pictures = []
    for number in range(30):
        picture = np.full((96, 160, 3), (40, 60, 50), np.uint8)
        left = 20 + 3 * number
        picture[30:60, left : left + 30] = (230, 190, 40)
        pictures.append(picture)
    write_pictures(path, pictures, options={"x264-params": "log=-1"})
    return path


@pytest.fixture(scope="session")
def drawn(run_folder, moving_video, tmp_path_factory):
    """Everything that `visualize_video` writes of that video."""
    folder = tmp_path_factory.mktemp("drawn")
    predictor = Predictor.load(run_folder, device="cpu")
    visualize_video(
        moving_video, predictor, folder, length=WindowLength(), max_duration=60.0, top_k=3
    )
    return folder

import io

import numpy as np
import pytest
import torch
from PIL import Image

import stvit_video
from stvit_video.report.clusters import colour_patches


@pytest.fixture(scope="module")
def predictor():
    torch.manual_seed(0)
    return stvit_video.Predictor(stvit_video.create_model("demo_tiny", semantic="4x2x2@2"))


def pictures_of(figure):
    """Pictures of the upper and of the lower row."""
    drawn = [np.asarray(axis.get_images()[0].get_array()) for axis in figure.axes]
    return drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]


def test_the_centre_clip_stands_above_the_colours_of_its_tokens(predictor, numbered_video):
    figure = stvit_video.plot_clusters(predictor, numbered_video)
    above, below = pictures_of(figure)
    look = predictor.model.preprocessing
    start = (60 - (look.num_frames - 1) * look.frame_stride - 1) // 2
    indices = [start + i * look.frame_stride for i in range(look.num_frames)]
    frames = stvit_video.read_frames(numbered_video, indices)
    clip = stvit_video.preprocess(frames, look)
    weights = predictor.model.forward_assignments(clip)[0].detach().numpy()
    shown = np.stack(above)
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in (look.mean, look.std))
    pixels = (clip[0] * std + mean).permute(1, 2, 3, 0)[::2] * 255  # a time step is 2 frames
    assert np.abs(shown - pixels.numpy()).max() <= 1
    assert np.array_equal(np.stack(below), colour_patches(shown, weights))
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == ["frame 1", "frame 3", "frame 5", "frame 7"]


def test_frames_in_memory_are_drawn_as_their_file(predictor, counting_video):
    frames = stvit_video.read_frames(counting_video, range(20))
    of_file = pictures_of(stvit_video.plot_clusters(predictor, counting_video))
    of_frames = pictures_of(stvit_video.plot_clusters(predictor, frames.numpy(), fps=10))
    assert np.array_equal(of_file, of_frames)


def test_a_long_clip_shows_eight_moments(numbered_video):
    model = stvit_video.create_model("demo_tiny", semantic="4x2x2@2", num_frames=40, frame_stride=1)
    figure = stvit_video.plot_clusters(stvit_video.Predictor(model), numbered_video)
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert (len(titles), titles[0], titles[-1]) == (8, "frame 1", "frame 39")


def test_a_notebook_shows_the_figure(predictor, counting_video):
    figure = stvit_video.plot_clusters(predictor, counting_video)
    picture = Image.open(io.BytesIO(figure._repr_png_()))
    assert picture.size == (737, 501)


def test_a_dense_model_and_a_broken_file_are_told(predictor, counting_video, tmp_path):
    dense = stvit_video.Predictor(stvit_video.create_model("demo_tiny"))
    with pytest.raises(stvit_video.StvitVideoError, match="demo_tiny is dense: no token gathers"):
        stvit_video.plot_clusters(dense, counting_video)
    with pytest.raises(stvit_video.VideoDecodeError, match=r"gone\.mp4: missing"):
        stvit_video.plot_clusters(predictor, tmp_path / "gone.mp4")

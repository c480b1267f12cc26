import struct
from dataclasses import replace

import av
import numpy as np
import pytest
import torch

from stvit_video.settings.data import AugmentationConfig
from stvit_video.settings.model import Preprocessing
from stvit_video.video.decoding.open import open_video
from stvit_video.video.numbered import write_pictures
from stvit_video.video.pixels.crops import build_transform
from stvit_video.video.pixels.planes import make_clips, resize_weights, stack_planes

PREPROCESSING = Preprocessing(num_frames=3, frame_stride=4, image_size=48)
CROPS = {
    "evaluation": None,
    "random_resized": AugmentationConfig(),
    "scale_jitter": AugmentationConfig(crop="scale_jitter"),
    "center": AugmentationConfig(crop="center"),
}
HEIGHT, WIDTH = 64, 86


def _photo(number, height=HEIGHT, width=WIDTH):
    """Smooth colours with a few edges, as photos have: uint8 (H, W, C)."""
    rows, columns = np.mgrid[:height, :width] / 20
    waves = [np.sin(rows + number / 9 + i) * np.cos(columns * (1 + i / 3)) for i in range(3)]
    picture = (128 + 100 * np.stack(waves, -1)).astype(np.uint8)
    picture[10:30, 20 + number : 40 + number] = (250, 30, 60)
    return picture


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    path = tmp_path_factory.mktemp("planes") / "photos.mp4"
    write_pictures(path, (_photo(i) for i in range(12)), options={"crf": "10"})
    return path


@pytest.fixture(scope="module")
def photos_in(tmp_path_factory):
    """Photos with a colour matrix and a range, by their codes in ITU-T H.273 and FFmpeg."""

    def write(colorspace, color_range):
        path = tmp_path_factory.mktemp("colours") / "photos.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
            stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
            stream.codec_context.colorspace = colorspace
            stream.codec_context.color_range = color_range
            for number in range(12):
                frame = av.VideoFrame.from_ndarray(_photo(number), format="rgb24")
                frame = frame.reformat(format="yuv420p")
                frame.colorspace, frame.color_range = colorspace, color_range
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return write


def _both(path, augmentation, *, seed=0, crop_index=0, indices=(0, 4, 8)):
    """A clip made in the worker, and the same by its planes."""
    transform = build_transform(
        PREPROCESSING, augmentation=augmentation, num_crops=3, normalize=False, ship_planes=True
    )
    with open_video(path, backend="pyav") as decoder:
        torch.manual_seed(seed)
        clip = transform(decoder.frames(indices), crop_index)
        torch.manual_seed(seed)
        planes = transform.cut_planes(decoder.planes(indices), slice(None), crop_index)
    return clip, planes


def _difference(clip, planes, dtype=None):
    made = make_clips(stack_planes([planes]), dtype=dtype)[0]
    assert made.shape == clip.shape
    assert made.dtype == torch.uint8
    return (made.float() - clip.float()).abs()


@pytest.mark.parametrize("crop_index", [0, 1, 2])
@pytest.mark.parametrize("name", CROPS)
def test_clips_made_of_planes_are_those_that_a_worker_makes(photos, name, crop_index):
    difference = _difference(*_both(photos, CROPS[name], seed=crop_index, crop_index=crop_index))
    assert difference.mean() < 0.6
    assert (difference > 2).float().mean() < 0.005


def test_half_precision_as_on_a_gpu_keeps_the_tolerance(photos):
    for seed in range(4):
        clip, planes = _both(photos, CROPS["random_resized"], seed=seed)
        difference = _difference(clip, planes, torch.float16)
        assert difference.mean() < 0.6
        assert (difference > 2).float().mean() < 0.005


@pytest.mark.parametrize("color_range", [1, 2])
@pytest.mark.parametrize("colorspace", [1, 2, 4, 5, 6, 7, 9])
def test_colours_are_those_of_the_matrix_that_the_file_names(photos_in, colorspace, color_range):
    difference = _difference(*_both(photos_in(colorspace, color_range), None))
    assert difference.mean() < 0.6
    assert (difference > 3).float().mean() < 0.005


def test_clips_of_different_sizes_share_a_batch(photos, tmp_path):
    path = tmp_path / "upright.mp4"
    write_pictures(path, (_photo(i, 100, 60) for i in range(9)), options={"crf": "10"})
    pairs = [_both(photos, None), _both(path, None), _both(photos, CROPS["random_resized"])]
    batch = stack_planes([planes for _, planes in pairs])
    assert batch.luma.shape[0] == 3
    made = make_clips(batch)
    for clip, one in zip([clip for clip, _ in pairs], made, strict=True):
        assert (clip.float() - one.float()).abs().mean() < 0.6


def test_what_pads_a_batch_has_no_weight(photos, tmp_path):
    path = tmp_path / "odd.mp4"
    write_pictures(path, (_photo(i, 58, 74) for i in range(9)), options={"crf": "10"})
    clips = [planes for _, planes in (_both(path, None), _both(photos, CROPS["random_resized"]))]
    made = []
    for grey in (0, 255):
        batch = stack_planes(clips, take=lambda n, grey=grey: (torch.full((n,), grey).byte(), -1))
        assert (batch.height % 4, batch.width % 16) == (0, 0)
        assert batch.height * batch.width > clips[0].luma[0].numel()
        made.append(make_clips(batch))
    assert torch.equal(*made)


def test_frames_that_repeat_or_go_back_are_where_they_were_asked_for(photos):
    clip, planes = _both(photos, None, indices=(8, 0, 8))
    assert torch.equal(planes.luma[0], planes.luma[2])
    assert _difference(clip, planes).mean() < 0.6


def test_only_what_the_window_shows_is_shipped(photos):
    _, planes = _both(photos, None)  # the left of three squares: 64 of 86 columns and the border
    assert planes.luma.shape == (3, 64, 66)
    assert planes.chroma.shape == (3, 2, 32, 33)


@pytest.mark.parametrize("box", [(0, 86, 64, 0), (7, 60, 48, 0), (0, 86, 60, 9), (3, 20, 48, 0)])
def test_the_weights_are_those_of_torchvision(box):
    start, length, resized, first = box
    row = torch.rand(1, 1, 1, 86) * 255
    weights = resize_weights(torch.tensor([box], dtype=torch.float32), 86, size=48)[0]
    cut = row[..., start : start + length].expand(-1, -1, 48, -1)
    wanted = torch.nn.functional.interpolate(
        cut, size=(48, resized), mode="bilinear", antialias=True
    )[0, 0, 0, first : first + 48]
    assert torch.allclose(row[0, 0, 0] @ weights.T, wanted, atol=1e-3)
    assert torch.allclose(weights.sum(-1), torch.ones(48))


@pytest.mark.parametrize(
    ("pix_fmt", "size"), [("yuv444p", (64, 86)), ("yuv420p10le", (64, 86)), ("yuv444p", (63, 85))]
)
def test_other_layouts_have_no_planes_to_ship(tmp_path, pix_fmt, size):
    path = tmp_path / "other.mp4"
    pictures = (_photo(i, *size) for i in range(9))
    write_pictures(path, pictures, pix_fmt=pix_fmt, codec="libx264")
    with open_video(path, backend="pyav") as decoder:
        assert decoder.planes([0, 4]) is None
    with open_video(path, backend="decord") as decoder:
        assert decoder.planes([0, 4]) is None


def test_pictures_that_are_not_shown_as_they_are_stored_have_no_planes(photos, tmp_path):
    data = bytearray(photos.read_bytes())
    at = data.find(b"tkhd") + 4 + 40
    one = 1 << 16
    data[at : at + 36] = struct.pack(">9i", -one, 0, 0, 0, one, 0, WIDTH * one, 0, 1 << 30)
    path = tmp_path / "mirrored.mp4"
    path.write_bytes(data)
    with open_video(path, backend="pyav") as decoder:
        assert decoder.index.display.is_mirrored
        assert decoder.planes([0, 4]) is None


def test_frames_much_larger_than_the_clip_are_not_shipped():
    transform = build_transform(PREPROCESSING, normalize=False, ship_planes=True)
    assert transform.takes(64, 144)
    assert not transform.takes(64, 146)
    assert replace(transform, size=49).takes(64, 146)

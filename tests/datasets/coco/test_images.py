"""Images as they are decoded, what is in them, and those that cannot be read."""

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from stvit_video.datasets.coco.annotations import read_coco
from stvit_video.datasets.coco.decode import decode_image
from stvit_video.datasets.coco.images import CocoImages, FailedImage
from stvit_video.datasets.coco.tiny import HEIGHT, WIDTH, coco_categories, write_tiny_coco
from stvit_video.datasets.sampler import ItemKey
from stvit_video.errors import ImageDecodeError


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    root = tmp_path_factory.mktemp("coco") / "tiny"
    paths = write_tiny_coco(root, num_images={"train": 4, "val": 3})
    return {part: (path, root / f"{part}2017") for part, path in paths.items()}


def test_the_tiny_set_has_the_layout_of_coco(tiny):
    path, folder = tiny["train"]
    assert path.name == "instances_train2017.json"
    assert path.parent.name == "annotations"
    assert sorted(p.name for p in folder.iterdir())[0] == "000000000001.jpg"
    found = read_coco(path, folder, masks=True)
    assert (len(found), found.num_classes) == (4, 80)
    assert found.category_ids == tuple(coco_categories())
    assert (found.category_ids[11], found.class_names[11]) == (13, "stop sign")
    assert (found.category_ids[79], found.class_names[79]) == (90, "toothbrush")
    assert found.bounds.diff().tolist() == [3, 2, 3, 0]
    assert found.is_crowd.nonzero().flatten().tolist() == [3]
    assert isinstance(json.loads(path.read_text())["annotations"][3]["segmentation"], dict)
    assert len(read_coco(*tiny["val"], masks=True)) == 3


def test_a_target_is_what_a_detector_of_torchvision_takes(tiny):
    found = read_coco(*tiny["train"], masks=True)
    image, target, index = CocoImages(found)[1]
    assert index == 1
    assert (image.dtype, image.shape) == (torch.uint8, (3, HEIGHT, WIDTH))
    with Image.open(found.images[1].path) as stored:
        assert torch.equal(image.permute(1, 2, 0), torch.from_numpy(np.array(stored)))
    assert {name: (t.dtype, tuple(t.shape)) for name, t in target.items()} == {
        "boxes": (torch.float32, (2, 4)),
        "labels": (torch.int64, (2,)),
        "area": (torch.float32, (2,)),
        "iscrowd": (torch.int64, (2,)),
        "image_id": (torch.int64, ()),
        "masks": (torch.uint8, (2, HEIGHT, WIDTH)),
    }
    assert target["iscrowd"].tolist() == [1, 0]
    assert int(target["image_id"]) == 2
    for box, mask, area in zip(target["boxes"], target["masks"], target["area"], strict=True):
        rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
        around = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert torch.tensor(around).sub(box).abs().max() < 1.5
        assert mask.sum() == area


def test_training_takes_no_crowds_and_masks_only_where_they_are_wanted(tiny):
    found = read_coco(*tiny["train"], masks=True)
    target = CocoImages(found, keeps_crowds=False)[1].target
    assert target["iscrowd"].tolist() == [0]
    assert torch.equal(target["masks"], CocoImages(found)[1].target["masks"][1:])
    assert "masks" not in CocoImages(found, draws_masks=False)[1].target
    empty = CocoImages(found)[3].target
    assert empty["boxes"].shape == (0, 4)
    assert empty["masks"].shape == (0, HEIGHT, WIDTH)


def test_a_flip_takes_boxes_and_masks_along_and_depends_on_the_seed_alone(tiny):
    found = read_coco(*tiny["train"], masks=True)
    plain = CocoImages(found)[0]
    flipped = CocoImages(found, flip=1.0)[0]
    assert type(flipped.image) is torch.Tensor
    assert torch.equal(flipped.image, plain.image.flip(-1))
    assert torch.equal(flipped.target["masks"], plain.target["masks"].flip(-1))
    left, top, right, bottom = plain.target["boxes"].T
    expected = torch.stack([WIDTH - right, top, WIDTH - left, bottom], dim=1)
    assert torch.allclose(flipped.target["boxes"], expected)
    half = CocoImages(found, flip=0.5)
    turned = []
    for seed in range(16):
        first, again = (half[ItemKey(0, seed)].image for _ in range(2))
        assert torch.equal(first, again)
        turned.append(torch.equal(first, flipped.image))
    assert 2 < sum(turned) < 14


def test_a_box_over_the_border_is_clipped_for_the_detector(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [-0.5, 3, 41.25, 27.5]}
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 30, "width": 40}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [box],
    }
    (tmp_path / "o.json").write_text(json.dumps(content))
    found = read_coco(tmp_path / "o.json", masks=False)
    assert found.boxes.tolist() == [[-0.5, 3, 40.75, 30.5]]
    assert CocoImages(found)[0].target["boxes"].tolist() == [[0, 3, 40, 30]]


def _save(path, array, **how):
    Image.fromarray(array).save(path, **how)
    return path


def test_every_kind_of_image_becomes_rgb(tmp_path):
    draw = np.random.default_rng(1)
    colour = draw.integers(0, 256, (6, 8, 3), np.uint8)
    grey = draw.integers(0, 2**16, (6, 8)).astype(np.uint16)
    as_rgb = Image.fromarray(colour)
    as_rgb.save(tmp_path / "cmyk.png")
    files = {
        "rgb.png": colour,
        "rgb.bmp": colour,
        "alpha.png": np.dstack([colour, colour[..., :1]]),
    }
    for name, array in files.items():
        found = decode_image(_save(tmp_path / name, array), max_pixels=48)
        assert torch.equal(found.permute(1, 2, 0), torch.from_numpy(colour))
    deep = decode_image(_save(tmp_path / "deep.png", grey), max_pixels=48)
    assert torch.equal(deep[1], torch.from_numpy((grey >> 8).astype(np.uint8)))
    palette = as_rgb.quantize(4)
    palette.save(tmp_path / "palette.png", transparency=b"\0\1\2\3")
    expected = torch.from_numpy(np.array(palette.convert("RGB")))
    assert torch.equal(
        decode_image(tmp_path / "palette.png", max_pixels=48).permute(1, 2, 0), expected
    )
    Image.new("CMYK", (8, 6), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg")
    assert (decode_image(tmp_path / "cmyk.jpg", max_pixels=48)[0] > 200).all()
    Image.new("RGB", (8, 6), "red").save(tmp_path / "a.webp", lossless=True)
    assert decode_image(tmp_path / "a.webp", max_pixels=48)[:, 0, 0].tolist() == [255, 0, 0]


def test_an_image_is_not_turned_by_its_exif(tmp_path):
    picture = Image.new("RGB", (8, 6))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert decode_image(tmp_path / "a.jpg", max_pixels=48).shape == (3, 6, 8)


def _files(folder):
    noise = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    whole = {name: _save(folder / name, noise).read_bytes() for name in ("a.jpg", "a.png")}
    return {
        "missing": ("x.jpg", None, "missing"),
        "empty": ("x.jpg", b"", "empty"),
        "text": ("x.jpg", b"no image", "not an image (JPEG, PNG, WebP and BMP are read)"),
        "script": ("x.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        "cut jpeg": ("x.jpg", whole["a.jpg"][:3000], "damaged: image file is truncated"),
        "cut png": ("x.png", whole["a.png"][:3000], "damaged: "),
        "large": ("x.png", whole["a.png"], "too large: 80x64 pixels, at most 5000 (data.max_pi"),
    }


@pytest.mark.parametrize(
    "kind", ["missing", "empty", "text", "script", "cut jpeg", "cut png", "large"]
)
def test_what_cannot_be_decoded_is_one_line(tmp_path, kind):
    name, content, expected = _files(tmp_path)[kind]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    most = 5000 if kind == "large" else 5120
    with pytest.raises(ImageDecodeError) as error:
        decode_image(tmp_path / name, max_pixels=most)
    assert str(error.value).startswith(f"{tmp_path / name}: {expected}")
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


def test_a_bomb_is_not_unpacked(tmp_path):
    import struct
    import zlib

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    (tmp_path / "b.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"")
    )
    with pytest.raises(ImageDecodeError, match=r"b\.png: too large: "):
        decode_image(tmp_path / "b.png", max_pixels=2**40)
    with pytest.raises(ImageDecodeError, match=r"b\.png: too large: "):
        decode_image(tmp_path / "b.png", max_pixels=2**20)


def test_an_image_that_cannot_be_read_is_told_in_its_place(tiny, tmp_path):
    found = read_coco(*tiny["val"], masks=False)
    images = CocoImages(found)
    path = found.images[1].path
    content = path.read_bytes()
    try:
        Image.new("RGB", (HEIGHT, WIDTH)).save(path)
        item = images[1]
        assert isinstance(item, FailedImage)
        assert item.image_index == 1
        assert str(item.error) == (
            f"{path}: is {HEIGHT}x{WIDTH} pixels, its annotations say {WIDTH}x{HEIGHT}"
        )
        path.unlink()
        assert str(images[1].error) == f"{path}: missing"
    finally:
        path.write_bytes(content)
    with pytest.raises(IndexError, match=r"image 3 outside 0\.\.2"):
        images[3]

"""Records of images, and the pictures with what was found in them."""

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as pycoco

from stvit_video.detection.pictures.answers import Detections
from stvit_video.detection.pictures.draw import beside, draw_objects
from stvit_video.detection.pictures.predict import predict_images
from stvit_video.errors import ConfigError, DatasetError
from stvit_video.report.token_colours import PALETTE
from tests.detection.pictures.conftest import Told


def _predict(detector, paths, *, folder=None, score_threshold=0.5, **how):
    records = []
    done = predict_images(
        detector,
        ["cat", "dog\x1b[31m", "emu"],
        paths,
        folder=folder,
        score_threshold=score_threshold,
        device=torch.device("cpu"),
        batch_size=3,
        keep=records.append,
        **how,
    )
    return done, records


def test_records_in_order_with_bad_files_among_them(random_objects, tmp_path):
    folder, detector = random_objects
    (tmp_path / "bad.jpg").write_bytes(b"no")
    most = max(detector.answers, key=lambda number: len(detector.answers[number]["scores"]))
    paths = [folder / f"{most}.png", tmp_path / "bad.jpg", folder / "3.png", folder / "1.png"]
    counts = []
    done, records = _predict(detector, paths, progress=counts.append)
    assert [record["image"] for record in records] == list(map(str, paths))
    assert records[1] == {
        "image": str(paths[1]),
        "error": f"{paths[1]}: not an image (JPEG, PNG, WebP and BMP are read)",
    }
    assert records[2]["objects"] == []
    answer = detector.answers[most]
    kept = (answer["scores"] >= 0.5).nonzero().flatten().tolist()
    assert 0 < len(kept) < len(answer["scores"])
    for place, one in zip(kept, records[0]["objects"], strict=True):
        assert one["label"] == ["cat", "dog\x1b[31m", "emu"][int(answer["labels"][place]) - 1]
        assert one["score"] == float(answer["scores"][place])
        assert one["box"] == answer["boxes"][place].tolist()
        mask = pycoco.decode(one["mask"])
        assert np.array_equal(mask, (answer["masks"][place, 0] > 0.5).numpy())
    with Image.open(paths[0]) as image:
        assert (records[0]["width"], records[0]["height"]) == image.size
    assert (done.num_found, done.num_failed, sum(counts)) == (4, 1, 4)
    assert done.num_objects == sum(len(record.get("objects", ())) for record in records)
    assert done.table.note == "3 of 4 images can be read"
    assert [row[1] for row in done.table.rows] == [
        len(record["objects"]) for record in records if "objects" in record
    ]


def test_nothing_to_read(tmp_path, random_objects):
    with pytest.raises(DatasetError, match="no image is named; name files, folders or patterns"):
        _predict(random_objects[1], [])
    with pytest.raises(DatasetError, match=r"^none of the 1 images can be read: .*x.png: missing$"):
        _predict(random_objects[1], [tmp_path / "x.png"])


def _black(path, size=(60, 40)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)
    return path


def _found(*, box=(10.0, 12, 40, 30), score=0.9, label=2, mask=None, count=1):
    runs = None if mask is None else pycoco.encode(np.asfortranarray(mask, np.uint8))
    masks = None if runs is None else [{"size": runs["size"], "counts": runs["counts"].decode()}]
    return Detections(torch.tensor([box] * count), [label] * count, [score] * count, masks)


@pytest.fixture
def one_box():
    answer = {
        "boxes": torch.tensor([[10.0, 12, 40, 30]]),
        "labels": torch.tensor([1]),
        "scores": torch.tensor([0.9]),
    }
    return Told({0: answer})


def test_pictures_are_written_below_the_folders_that_set_them_apart(tmp_path, one_box):
    names = ("in/a/x.png", "in/b/x.png", "in/b/y.jpg", "in/b/y.bmp", "in/b/y.png")
    paths = [_black(tmp_path / name) for name in names]
    _predict(one_box, paths, folder=tmp_path / "out")
    written = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*"))
    assert written == ["a/x.png", "b/x.png", "b/y.bmp.png", "b/y.jpg", "b/y.png"]
    with Image.open(tmp_path / "out/b/y.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (60, 40))
    with Image.open(tmp_path / "out/a/x.png") as image:
        drawn = np.array(image)
    assert tuple(drawn[25, 10]) == tuple(PALETTE[1])
    assert tuple(drawn[38, 50]) == (0, 0, 0)


def test_no_image_is_written_over_itself(tmp_path, one_box):
    path = _black(tmp_path / "in/x.png")
    with pytest.raises(ConfigError) as error:
        _predict(one_box, [path], folder=tmp_path / "in")
    assert str(error.value) == (
        f"{path} would be written over itself; choose another folder for the pictures"
    )


def test_a_class_has_one_colour_and_a_mask_a_tint():
    picture = np.zeros((80, 120, 3), np.uint8)
    mask = np.zeros((80, 120), bool)
    mask[50:70, 60:100] = True
    drawn = draw_objects(picture, _found(mask=mask, box=(60.0, 50, 100, 70)), ["cat", "dog"])
    colour = PALETTE[2].astype(float)
    assert drawn[60, 75].tolist() == (colour * 0.45).round().tolist()
    assert drawn[60, 60].tolist() == colour.tolist()
    assert not picture.any()
    assert not drawn[10, 10].any()


@pytest.mark.parametrize(
    "box", [(0.0, 0, 30, 20), (-5.0, -5, 200, 200), (110.0, 70, 119, 79), (50.0, 30, 50, 30)]
)
def test_names_stay_within_the_picture(box):
    picture = np.full((80, 120, 3), 7, np.uint8)
    drawn = draw_objects(picture, _found(box=box), ["cat", "d"])
    assert drawn.shape == picture.shape
    ground = (drawn == PALETTE[2]).all(axis=-1)
    assert ground.sum() > 150
    assert draw_objects(picture[:3, :3], _found(box=box), ["cat", "d"]).shape == (3, 3, 3)


def test_hostile_names_are_drawn_as_text_and_short():
    picture = np.full((80, 320, 3), 7, np.uint8)
    hostile, shown = ("dog\x1b[31m\n", "dog\\x1b[31m\\n")
    drawn = [draw_objects(picture, _found(), ["cat", name]) for name in (hostile, shown)]
    assert np.array_equal(*drawn)
    long = [draw_objects(picture, _found(), ["cat", "i" * n + "d" * 10]) for n in (31, 5000)]
    assert np.array_equal(*long)
    assert not np.array_equal(long[0], draw_objects(picture, _found(), ["cat", "i" * 30]))


def test_clusters_lie_beside_the_picture_on_the_part_of_the_grid_that_it_covers():
    picture = np.full((40, 60, 3), 100, np.uint8)
    weights = np.zeros((2, 4, 4), np.float32)
    weights[0, :, :2], weights[1, :, 2:] = 1, 1
    drawn = beside(picture, weights)
    assert drawn.shape == (40, 122, 3)
    assert np.array_equal(drawn[:, :60], picture)
    right = drawn[:, 62:]
    assert (right[5, 3] != right[5, 55]).any()
    assert (right[:, 1:29] == right[5, 3]).all()
    drawn = beside(picture, weights, plain=picture // 2)
    assert np.array_equal(drawn[:, :60], picture)
    assert (drawn[5, 65] < right[5, 3]).all()
    half = beside(picture, weights, covered=(1.0, 0.5))[:, 62:]
    assert (half == right[5, 3]).all()

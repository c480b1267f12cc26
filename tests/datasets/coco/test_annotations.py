"""COCO files that are read, and the one line about those that cannot be."""

import copy
import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as pycoco

from stvit_video.datasets.coco.annotations import read_coco
from stvit_video.errors import DatasetError, MissingFileError

SQUARE = [[10.0, 5.0, 20.0, 5.0, 20.0, 15.0, 10.0, 15.0]]


def _object(id=1, image_id=7, category_id=9, bbox=(10, 5, 10, 10), **fields):
    row = {"id": id, "image_id": image_id, "category_id": category_id, "bbox": list(bbox)}
    return row | {"segmentation": SQUARE, "area": 100.0, "iscrowd": 0} | fields


CONTENT = {
    "images": [
        {"id": 7, "file_name": "a.png", "height": 30, "width": 40},
        {"id": 3, "file_name": "below/b.png", "height": 30, "width": 40},
        {"id": 5, "file_name": "c.png", "height": 20, "width": 50},
    ],
    "categories": [{"id": 9, "name": "dog"}, {"id": 2, "name": "cat"}],
    "annotations": [
        _object(1, 7, 9),
        _object(8, 3, 2, (0, 0, 40.6, 30)),
        _object(2, 7, 2, (1.5, 2, 3, 4), area=7.25),
    ],
}


@pytest.fixture
def read(tmp_path):
    """Write images, and annotations that a function may have changed; read them."""
    (tmp_path / "below").mkdir()
    for image in CONTENT["images"]:
        size = (image["width"], image["height"])
        Image.new("RGB", size).save(tmp_path / image["file_name"])

    def read(change=lambda content: content, **how):
        content = copy.deepcopy(CONTENT)
        content = change(content) or content
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / "o.json").write_text(text)
        return read_coco(tmp_path / "o.json", **{"masks": True} | how)

    return read


def test_images_objects_and_classes_are_those_of_the_file(read, tmp_path):
    found = read()
    assert list(found.images) == [
        (tmp_path / "a.png", 7, 30, 40),
        (tmp_path / "below/b.png", 3, 30, 40),
        (tmp_path / "c.png", 5, 20, 50),
    ]
    assert found.images[1:] == list(found.images)[1:]
    assert (found.class_names, found.category_ids) == (("cat", "dog"), (2, 9))
    assert found.num_classes == 2
    first = found.objects(0)
    assert first.boxes.tolist() == [[10, 5, 20, 15], [1.5, 2, 4.5, 6]]
    assert first.labels.tolist() == [2, 1]
    assert first.areas.tolist() == [100, 7.25]
    assert (first.ids.tolist(), first.rows) == ([1, 2], range(0, 2))
    assert found.objects(1).boxes.tolist() == [[0, 0, 40.6, 30]]
    assert len(found.objects(2).boxes) == 0
    assert found.notes == []


def test_classes_take_the_order_of_a_model(read):
    found = read(class_names=["dog", "cat"])
    assert (found.class_names, found.category_ids) == (("dog", "cat"), (9, 2))
    assert found.objects(0).labels.tolist() == [1, 2]


def test_boxes_without_an_area_are_left_out_and_counted(read, tmp_path):
    def change(content):
        content["annotations"] += [
            _object(11, 3, 9, (4, 4, 0, 9)),
            _object(12, 7, 9, (40.5, 1, 0.2, 4)),
        ]

    found = read(change)
    assert found.num_without_area == 2
    assert found.ids.tolist() == [1, 2, 8]
    assert found.notes == [f"{tmp_path}/o.json: 2 objects whose boxes have no area left out"]


def test_fields_that_others_leave_out_have_their_usual_value(read):
    def change(content):
        for row in content["annotations"]:
            del row["iscrowd"], row["area"], row["segmentation"]

    found = read(change, masks=False)
    assert found.areas.tolist() == [100, 12, pytest.approx(40.6 * 30)]
    assert not found.is_crowd.any()
    assert found.masks is None


def test_masks_are_those_of_pycocotools(read):
    crowd = np.zeros((30, 40), np.uint8)
    crowd[3:9, 2:31] = 1
    packed = pycoco.encode(np.asfortranarray(crowd))
    triangles = [[1, 1, 9.9, 1.2, 5.3, 20.7], [20.1, 20, 30, 20, 25, 28.9]]

    def change(content):
        one, other, third = content["annotations"]
        one["segmentation"] = triangles
        other["segmentation"] = {"size": [30, 40], "counts": packed["counts"].decode()}
        other["iscrowd"] = 1
        third["segmentation"] = {"size": [30, 40], "counts": [63, 6, 24, 6, 1101]}

    found = read(change)
    drawn = found.masks.draw([0, 1], 30, 40)
    expected = pycoco.decode(pycoco.merge(pycoco.frPyObjects(triangles, 30, 40)))
    assert torch.equal(drawn[0], torch.from_numpy(expected))
    assert drawn[1].sum() == 12
    assert drawn[1][3:9, 2].all()
    assert drawn[1][3:9, 3].all()
    assert torch.equal(found.masks.draw([2], 30, 40)[0], torch.from_numpy(crowd))
    assert found.is_crowd.tolist() == [False, False, True]
    assert found.masks.draw([], 30, 40).shape == (0, 30, 40)


def _set(list_name, row, **fields):
    def change(content):
        content[list_name][row] |= fields

    return change


def _drop(list_name, row, field):
    def change(content):
        del content[list_name][row][field]

    return change


NAN = float("nan")
COUNTS = (
    ": annotation 8: the counts of its RLE must be whole numbers that add up to the 1200 "
    "pixels of the image; correct it, or find boxes alone (detector.name faster_rcnn or "
    "retinanet)"
)
NO_POLYGONS = (
    "; it must be a list of polygons or an RLE; correct it, or find boxes alone "
    "(detector.name faster_rcnn or retinanet)"
)
FAR = (
    ", far outside of its image of 40x30 pixels; correct it, or find boxes alone "
    "(detector.name faster_rcnn or retinanet)"
)
PAIRS = (
    " numbers; it must have pairs x, y, at least 3; correct it, or find boxes alone "
    "(detector.name faster_rcnn or retinanet)"
)
NEXT = "; correct it, or find boxes alone (detector.name faster_rcnn or retinanet)"
FOUR = " must be 4 numbers, left, top, width, height in pixels"
WHOLE = " must be a whole number in 0..9223372036854775807"
OUTSIDE = (
    ": left, top, width, height) must lie in its image of 40x30 pixels; correct it, or leave it out"
)
BELOW = " must be a path below the folder of the images"
HOLD = (
    "; COCO's files of objects, as instances_val2017.json, hold images, annotations and categories"
)
CHANGES = {
    "no json": (
        lambda c: "{",
        " is not JSON (Expecting property name enclosed in double quotes: line 1 column 2"
        " (char 1))",
    ),
    "deep": (lambda c: "[" * 100_000, " nests too deep to be a COCO file"),
    "a list": (
        lambda c: [1],
        " must hold an object with images, annotations and categories, as COCO's files do; it"
        " holds a list",
    ),
    "no list": (lambda c: {"images": 3}, " must hold a list 'images'" + HOLD),
    "no annotations": (
        lambda c: c.pop("annotations") and None,
        " holds no list 'annotations'" + HOLD,
    ),
    "empty": (
        lambda c: c.update(annotations=[]),
        ": the list 'annotations' is empty; name at least one annotation",
    ),
    "no row": (
        lambda c: c["images"].append("x"),
        ": row 3 of images (from 0) must be an object, it is 'x'",
    ),
    "all without area": (
        lambda c: c.update(annotations=[_object(bbox=(1, 1, 0, 5))]),
        ": no box has an area; there is nothing to find",
    ),
    "id text": (
        _set("annotations", 1, id="8"),
        ": row 1 of the annotations (from 0): id ('8')" + WHOLE,
    ),
    "id true": (_set("images", 0, id=True), ": row 0 of the images (from 0): id (True)" + WHOLE),
    "id huge": (
        _set("images", 0, id=10**30),
        f": row 0 of the images (from 0): id ({10**30})" + WHOLE,
    ),
    "id twice": (_set("annotations", 2, id=8), ": annotation 8: id (8) is there twice; keep one"),
    "image twice": (_set("images", 2, id=3), ": image 3: id (3) is there twice; keep one"),
    "no image": (
        _set("annotations", 1, image_id=4),
        ": annotation 8: image_id (4) is the id of no image; correct it",
    ),
    "no image, larger": (
        _set("annotations", 1, image_id=400),
        ": annotation 8: image_id (400) is the id of no image; correct it",
    ),
    "no category": (
        _set("annotations", 0, category_id=3),
        ": annotation 1: category_id (3) is the id of no category; correct it",
    ),
    "name empty": (
        _set("categories", 1, name=" "),
        ": category 2: name ('') must be text that is not empty",
    ),
    "name twice": (
        _set("categories", 1, name="dog"),
        ": category 2: name (dog) is there twice; keep one",
    ),
    "name missing": (
        _drop("categories", 0, "name"),
        ": category 9: name is missing; it must be text that is not empty",
    ),
    "height 0": (
        _set("images", 1, height=0),
        ": image 3: height (0) must be a whole number in 1..65535",
    ),
    "width huge": (
        _set("images", 1, width=10**6),
        ": image 3: width (1000000) must be a whole number in 1..65535",
    ),
    "width float": (
        _set("images", 1, width=40.0),
        ": image 3: width (40.0) must be a whole number in 1..65535",
    ),
    "leaves": (
        _set("images", 1, file_name="../b.png"),
        ": image 3: file_name ('../b.png')" + BELOW,
    ),
    "absolute": (
        _set("images", 1, file_name="/etc/passwd"),
        ": image 3: file_name ('/etc/passwd')" + BELOW,
    ),
    "half a pair": (
        _set("images", 1, file_name="\ud800"),
        ": image 3: file_name ('\\ud800')" + BELOW,
    ),
    "zero": (_set("images", 1, file_name="a\0"), ": image 3: file_name ('a\\x00')" + BELOW),
    "a folder": (
        _set("images", 1, file_name="below"),
        ": 1 of 3 images are not in {folder}: 'below'; put them there, or name the folder of"
        " the images",
    ),
    "missing": (
        lambda c: [i.update(file_name="x" + i["file_name"]) for i in c["images"]] and None,
        ": 3 of 3 images are not in {folder}: 'xa.png', 'xc.png', 'xbelow/b.png'; put them there,"
        " or name the folder of the images",
    ),
    "box text": (
        _set("annotations", 0, bbox=[1, 2, "3", 4]),
        ": annotation 1: bbox (1, 2, 3, 4)" + FOUR,
    ),
    "box true": (
        _set("annotations", 0, bbox=[1, 2, True, 4]),
        ": annotation 1: bbox (1, 2, True, 4)" + FOUR,
    ),
    "box nan": (
        _set("annotations", 0, bbox=[1, 2, NAN, 4]),
        ": annotation 1: bbox (1, 2, nan, 4)" + FOUR,
    ),
    "box inf": (
        _set("annotations", 0, bbox=[1, 2, float("inf"), 4]),
        ": annotation 1: bbox (1, 2, inf, 4)" + FOUR,
    ),
    "box of 3": (_set("annotations", 0, bbox=[1, 2, 3]), ": annotation 1: bbox (1, 2, 3)" + FOUR),
    "box missing": (_drop("annotations", 2, "bbox"), ": annotation 2: bbox is missing; it" + FOUR),
    "box digits": (
        _set("annotations", 0, bbox=[1, 2, 10**400, 4]),
        f": annotation 1: bbox (1, 2, {'1' + '0' * 90}...)" + FOUR,
    ),
    "box outside": (
        _set("annotations", 0, bbox=[10, 5, 31.5, 10]),
        ": annotation 1: bbox (10, 5, 31.5, 10" + OUTSIDE,
    ),
    "box left": (
        _set("annotations", 0, bbox=[-1.5, 5, 10, 10]),
        ": annotation 1: bbox (-1.5, 5, 10, 10" + OUTSIDE,
    ),
    "box below": (
        _set("annotations", 0, bbox=[1, 25, 10, 6.5]),
        ": annotation 1: bbox (1, 25, 10, 6.5" + OUTSIDE,
    ),
    "box negative": (
        _set("annotations", 0, bbox=[10, 5, -2, 10]),
        ": annotation 1: bbox (10, 5, -2, 10" + OUTSIDE,
    ),
    "area": (
        _set("annotations", 0, area=-1),
        ": annotation 1: area (-1) must be a number in 0..4294967296",
    ),
    "area nan": (
        _set("annotations", 0, area=NAN),
        ": annotation 1: area (nan) must be a number in 0..4294967296",
    ),
    "area huge": (
        _set("annotations", 0, area=1e13),
        ": annotation 1: area (10000000000000.0) must be a number in 0..4294967296",
    ),
    "area text": (
        _set("annotations", 0, area="3"),
        ": annotation 1: area (3) must be a number in 0..4294967296",
    ),
    "crowd": (
        _set("annotations", 0, iscrowd=2),
        ": annotation 1: iscrowd (2) must be a whole number in 0..1",
    ),
    "no mask": (
        _drop("annotations", 1, "segmentation"),
        ": annotation 8: segmentation is missing" + NO_POLYGONS,
    ),
    "mask text": (
        _set("annotations", 1, segmentation=[["1"] * 6]),
        ": annotation 8: segmentation holds what is no number" + NO_POLYGONS,
    ),
    "polygon of 4": (
        _set("annotations", 1, segmentation=[*SQUARE, [1, 2, 3, 4]]),
        ": annotation 8: a polygon of 4" + PAIRS,
    ),
    "polygon of 7": (
        _set("annotations", 1, segmentation=[[1] * 7]),
        ": annotation 8: a polygon of 7" + PAIRS,
    ),
    "polygon far": (
        _set("annotations", 1, segmentation=[[1, 2, 3, 4, 5, 1e9]]),
        ": annotation 8: a polygon reaches from 1, 2 to 5, 1e+09" + FAR,
    ),
    "polygon nan": (
        _set("annotations", 1, segmentation=[[1, 2, 3, 4, 5, NAN]]),
        ": annotation 8: a polygon reaches from 1, nan to 5, nan" + FAR,
    ),
    "other size": (
        _set("annotations", 1, segmentation={"size": [40, 30], "counts": [1200]}),
        ": annotation 8: the mask has the size [40, 30] and its image [30, 40] (height, width)"
        + NEXT,
    ),
    "counts": (
        _set("annotations", 1, segmentation={"size": [30, 40], "counts": [1000, 201]}),
        COUNTS,
    ),
    "counts negative": (
        _set("annotations", 1, segmentation={"size": [30, 40], "counts": [-1, 1201]}),
        COUNTS,
    ),
    "counts text": (
        _set("annotations", 1, segmentation={"size": [30, 40], "counts": "no runs"}),
        COUNTS,
    ),
    "counts of many bits": (
        _set("annotations", 1, segmentation={"size": [30, 40], "counts": "`UQPPPPPPPPPP0"}),
        COUNTS,
    ),
    "counts long": (
        _set("annotations", 1, segmentation={"size": [30, 40], "counts": "o" * 50}),
        COUNTS,
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_bad_input_is_one_line(read, tmp_path, name):
    change, expected = CHANGES[name]
    with pytest.raises(DatasetError) as error:
        read(change)
    assert str(error.value) == f"{tmp_path}/o.json{expected.replace('{folder}', str(tmp_path))}"


def test_categories_must_be_the_classes_of_the_model(read, tmp_path):
    for names, told in (
        (["cat"], "only the file has 'dog'"),
        (["cat", "dog", "emu"], "only the model has 'emu'"),
    ):
        with pytest.raises(DatasetError) as error:
            read(class_names=names)
        assert str(error.value) == (
            f"{tmp_path}/o.json: the 2 categories must be the {len(names)} classes of the model;"
            f" {told}; correct the names, or train anew"
        )


def test_no_file_and_no_regular_file(tmp_path):
    with pytest.raises(
        MissingFileError, match=r"annotations .*x\.json do not exist; give the JSON"
    ):
        read_coco(tmp_path / "x.json", masks=False)
    with pytest.raises(DatasetError, match="are a folder; give the JSON file of COCO"):
        read_coco(tmp_path, masks=False)


def test_a_file_is_at_most_so_large(read, monkeypatch):
    monkeypatch.setattr("stvit_video.datasets.coco.annotations.MOST_BYTES", 500)
    with pytest.raises(DatasetError, match="must be at most 500 bytes, it is "):
        read()


def test_random_masks_written_by_pycocotools_pass(read):
    draw = np.random.default_rng(0)
    masks = [(draw.random((30, 40)) < share).astype(np.uint8) for share in (0, 0.02, 0.5, 0.98, 1)]
    masks.append(np.pad(np.ones((28, 38), np.uint8), 1))
    for mask in masks:
        text = pycoco.encode(np.asfortranarray(mask))["counts"].decode()

        def change(content, counts=text):
            content["annotations"][0]["segmentation"] = {"size": [30, 40], "counts": counts}

        assert torch.equal(read(change).masks.draw([0], 30, 40)[0], torch.from_numpy(mask))

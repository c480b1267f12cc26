"""Average precision equal to that of COCO's code, and what a report says."""

import contextlib
import dataclasses
import io
import json
import shutil

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.console import Console
from torchmetrics.detection import MeanAveragePrecision
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

from stvit_video.datasets.coco.annotations import read_coco
from stvit_video.detection.pictures.average_precision import measure_precision
from stvit_video.detection.pictures.evaluate import evaluate_detector, print_detection_report
from stvit_video.errors import CheckpointError, DatasetError
from stvit_video.report.json_file import json_line
from tests.detection.pictures.conftest import Told

CPU = torch.device("cpu")
NAMES = ("ap", "ap50", "ap75", "small", "medium", "large")


def _evaluate(detector, found, **how):
    return evaluate_detector(detector, found, device=CPU, batch_size=4, num_workers=0, **how)


@pytest.fixture(scope="module")
def evaluated(random_objects, random_set):
    return _evaluate(random_objects[1], random_set)


def _by_coco(path, predictions, kind, tmp_path):
    """Measure as COCO's site says: from files."""
    results = tmp_path / f"{kind}.json"
    kept = [{k: v for k, v in p.items() if kind == "bbox" or k != "bbox"} for p in predictions]
    results.write_text(json.dumps(kept))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        evaluation = COCOeval(truth, truth.loadRes(str(results)), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_average_precision_is_that_of_the_official_code(random_set, evaluated, kind, tmp_path):
    report, predictions = evaluated
    own = report.boxes if kind == "bbox" else report.masks
    evaluation = _by_coco(random_set.path, predictions, kind, tmp_path)
    figures = [getattr(own, name) for name in NAMES]
    assert figures == pytest.approx(evaluation.stats[:6].tolist(), abs=1e-9)
    assert 0.05 < min(figures) < max(figures) < 0.95
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    assert [entry.label for entry in own.classes] == ["cat", "dog", "emu", "never there"]
    for number, entry in enumerate(own.classes[:3]):
        assert entry.ap == pytest.approx(precision[:, :, number].mean(), abs=1e-9)
        assert entry.ap50 == pytest.approx(precision[0, :, number].mean(), abs=1e-9)
        assert entry.num_objects > 5
    assert dataclasses.astuple(own.classes[3]) == ("never there", None, None, 0)
    assert report.num_objects == sum(not row["iscrowd"] for row in _annotations(random_set))


def _annotations(found):
    return json.loads(found.path.read_text())["annotations"]


def test_average_precision_is_that_of_torchmetrics(random_objects, random_set, evaluated):
    metric = MeanAveragePrecision(
        iou_type="bbox",
        backend="pycocotools",
        iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(),  # its own are rounded to float32
        rec_thresholds=np.linspace(0, 1, 101).tolist(),
    )
    for number, answer in reversed(random_objects[1].answers.items()):  # by id: scores may tie
        objects = random_set.objects(number)
        target = {"boxes": objects.boxes, "labels": objects.labels, "area": objects.areas}
        target["iscrowd"] = objects.is_crowd.long()
        metric.update([{k: answer[k] for k in ("boxes", "labels", "scores")}], [target])
    theirs = metric.compute()
    assert evaluated.report.boxes.ap == pytest.approx(float(theirs["map"]), abs=1e-6)
    assert evaluated.report.boxes.small == pytest.approx(float(theirs["map_small"]), abs=1e-6)


def test_predictions_are_in_the_results_format(random_objects, evaluated):
    ids = [found["image_id"] for found in evaluated.predictions]
    assert ids == sorted(ids)
    first = evaluated.predictions[0]
    answer = random_objects[1].answers[1000 - first["image_id"]]
    assert set(first) == {"image_id", "category_id", "bbox", "score", "segmentation"}
    left, top, right, bottom = answer["boxes"][0].tolist()
    assert first["bbox"] == [left, top, right - left, bottom - top]
    assert first["category_id"] == [2, 3, 7][int(answer["labels"][0]) - 1]
    assert isinstance(first["segmentation"]["counts"], str)


def test_a_report_says_what_it_is_over(random_set, evaluated, capsys):
    report = evaluated.report
    assert (report.num_images, report.num_failed, report.failed) == (30, 0, ())
    assert (report.device, report.dtype, report.batch_size) == ("cpu", "float32", 4)
    assert json.loads(json_line(report))["boxes"]["classes"][3]["ap"] is None
    print_detection_report(report, Console(width=300, highlight=False))
    shown = capsys.readouterr().out
    row = next(line for line in shown.splitlines() if "│ masks" in line)
    cells = [cell.strip() for cell in row.strip("│").split("│")][1:]
    assert cells == [f"{100 * getattr(report.masks, name):.1f}" for name in NAMES]
    assert f"objects in 30 of 30 images of {random_set.path}" in shown
    assert "average precision of the masks by class, the lowest first" in shown
    assert "never there" not in shown


@pytest.fixture
def copied(random_objects, tmp_path):
    """The same images where some may be damaged."""
    folder = tmp_path / "copy"
    shutil.copytree(random_objects[0], folder)
    return folder


def test_images_that_cannot_be_read_are_counted_and_left_out(random_objects, evaluated, copied):
    found = read_coco(copied / "objects.json", masks=True)
    (copied / "5.png").write_bytes(b"no image")
    counts = []
    report, predictions = _evaluate(random_objects[1], found, progress=counts.append)
    assert (report.num_images, report.num_failed, sum(counts)) == (30, 1, 30)
    assert report.failed == (f"{copied}/5.png: not an image (JPEG, PNG, WebP and BMP are read)",)
    assert predictions == [p for p in evaluated.predictions if p["image_id"] != 995]
    others = [image.id for image in found.images if image.id != 995]
    again = measure_precision(found, evaluated.predictions, image_ids=others, kind="segm")
    assert report.masks == again
    assert report.boxes.ap != evaluated.report.boxes.ap
    for path in copied.glob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"^none of the 30 images can be read: .*0.png: empty$"):
        _evaluate(random_objects[1], found)


class _TwoProcesses:
    """A team that works one after the other."""

    def __init__(self, patch):
        self.patch = patch

    def from_all(self, make):
        parts = []
        for rank in range(2):
            self.patch.setattr(
                "stvit_video.datasets.sampler._rank_and_size", lambda rank=rank: (rank, 2)
            )
            parts.append(make())
        assert len(parts[0].image_ids) == len(parts[1].image_ids) == 15
        return parts


def test_processes_share_the_images(random_objects, random_set, evaluated, monkeypatch):
    shared = _evaluate(random_objects[1], random_set, team=_TwoProcesses(monkeypatch))
    assert shared.predictions == evaluated.predictions
    assert shared.report.boxes == evaluated.report.boxes
    assert shared.report.masks == evaluated.report.masks


def _constant(answer):
    return Told(dict.fromkeys(range(30), answer))


def _answer(label=1, score=0.5, box=(1.0, 2, 30, 40)):
    return {
        "boxes": torch.tensor([box]),
        "labels": torch.tensor([label]),
        "scores": torch.tensor([score]),
    }


def test_a_detector_of_boxes_has_no_masks_and_one_that_finds_nothing_is_0(random_set):
    assert _evaluate(_constant(_answer()), random_set).report.masks is None
    nothing = {name: t[:0] for name, t in _answer().items()}
    report = _evaluate(_constant(nothing), random_set).report
    assert (report.boxes.ap, report.boxes.small, report.masks) == (0, 0, None)


def test_what_is_no_number_or_no_class_is_told(random_set):
    for answer in (_answer(score=float("nan")), _answer(box=(1.0, 2, float("inf"), 4))):
        with pytest.raises(CheckpointError, match="gives no numbers; its weights are broken"):
            _evaluate(_constant(answer), random_set)
    with pytest.raises(CheckpointError) as error:
        _evaluate(_constant(_answer(label=5)), random_set)
    assert str(error.value) == (
        f"the detector finds class 5, {random_set.path} has 1..4; give the annotations of its"
        " classes"
    )


def test_a_detector_of_torchvision_is_measured(random_set):
    torch.manual_seed(0)
    detector = fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, num_classes=5, min_size=64, max_size=96
    )
    detector.train()
    report, predictions = _evaluate(detector, random_set)
    assert not detector.training
    assert report.boxes.ap is not None
    assert report.masks is None
    assert all("segmentation" not in found for found in predictions)

"""Results as a notebook shows them."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import stvit_video
from stvit_video.evaluation.metrics import ClassAccuracy
from stvit_video.evaluation.middle_frame import middle_frame
from stvit_video.report.results_html import results_html
from stvit_video.training.callbacks import EpochReport
from stvit_video.training.fit import FitReport

HOSTILE = "<script>alert('1')</script>\x1b[31m"
SHOWN = r"&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;\x1b[31m"


@pytest.fixture(scope="module")
def predictor():
    torch.manual_seed(0)
    model = stvit_video.create_model("demo_tiny", num_classes=3, semantic="4x2x2@2")
    model.labels = (HOSTILE, "b", "c")
    return stvit_video.Predictor(model)


def picture_of(shown):
    """The picture of a result, uint8 (H, W, C)."""
    (data,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', shown)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_a_prediction_is_a_table_beside_the_frame_in_the_middle(predictor, counting_video):
    prediction = predictor.predict(counting_video)
    shown = prediction._repr_html_()
    picture = picture_of(shown)
    assert picture.shape == (32, 48, 3)
    assert abs(float(picture.mean()) - 100) < 2  # frame 10 of 20 is grey 100
    assert SHOWN in shown
    assert "<script" not in shown
    for entry in prediction.topk:
        assert f'<td class="number">{entry["score"]:.3f}</td>' in shown


def test_a_large_frame_is_shown_in_small(predictor, write_numbered, tmp_path):
    video = write_numbered(tmp_path / "large.mp4", 20, width=640, height=320)
    assert picture_of(predictor.predict(video)._repr_html_()).shape == (120, 240, 3)


def test_without_its_file_a_prediction_has_no_picture(predictor, counting_video):
    frames = stvit_video.read_frames(counting_video, range(20))
    shown = predictor.predict(frames)._repr_html_()
    assert "<img" not in shown
    assert "frames: 20 frames" in shown
    gone = replace(predictor.predict(counting_video), video=f"{HOSTILE}.mp4")._repr_html_()
    assert "<img" not in gone
    assert f"{SHOWN}.mp4: 20 frames" in gone


def test_a_file_that_is_no_video_any_more_has_no_picture(tmp_path):
    (tmp_path / "a.mp4").write_text("words")
    assert middle_frame(str(tmp_path / "a.mp4"), 20) is None


def test_a_timeline_is_a_table_of_its_segments(predictor, counting_video):
    timeline = predictor.timeline(counting_video, window=1.0)
    shown = timeline._repr_html_()
    assert shown.count("<tr>") == 1 + len(timeline.segments())
    assert "2 windows of 1 s" in shown
    assert picture_of(shown).shape == (32, 48, 3)


def test_an_evaluation_shows_accuracy_classes_and_what_does_not_decode(class_folder_root, tmp_path):
    model = stvit_video.create_model("demo_tiny", num_classes=2, semantic="4x2x2@2")
    stvit_video.write_checkpoint(model, tmp_path / "run", labels=("pushing left", "waving"))
    report = stvit_video.evaluate(tmp_path / "run", class_folder_root, num_workers=0, num_crops=3)
    assert (report.num_decoded, report.num_clips, report.num_crops) == (5, 1, 3)
    shown = report._repr_html_()
    assert f"top-1 {100 * report.top1:.2f} %" in shown
    assert "on 5 of 5 videos, 1 clip x 3 crops" in shown
    assert "<td>pushing left</td><td>3 of 3</td>" in shown
    assert "does not decode" not in shown
    hostile = ClassAccuracy(**{**_fields(report.classes[0]), "label": HOSTILE})
    broken = replace(report, failed=(f"{HOSTILE}.mp4: corrupt",), classes=(hostile,))
    assert f"<td>{SHOWN}.mp4: corrupt</td>" in broken._repr_html_()
    assert f"<td>{SHOWN}</td>" in broken._repr_html_()
    assert "<script" not in broken._repr_html_()


def _fields(row):
    return {name: getattr(row, name) for name in type(row).__dataclass_fields__}


def test_a_training_is_a_table_of_its_epochs():
    epoch = EpochReport(
        epoch=1,
        step=7,
        lr=0.1,
        train_loss=1.2345,
        val_top1=0.375,
        elapsed_seconds=9.0,
        train_seconds=8.0,
        data_wait_seconds=2.0,
        num_failed=0,
    )
    shown = FitReport(epochs=(epoch,), failed=("a", "b"), val_failed=())._repr_html_()
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", shown)
    assert cells == ["1", "1.234", "37.5", "8.0", "25"]
    assert "2 of training, 0 of validation" in shown
    scored = replace(epoch, val_top1=None, val_map=0.5)
    shown = FitReport(epochs=(scored,), failed=(), val_failed=())._repr_html_()
    assert "val mAP (%)" in shown
    assert ">50.0<" in shown


def test_the_words_above_the_tables_are_no_markup():
    assert f"<p>{SHOWN}</p>" in results_html([], text=HOSTILE)

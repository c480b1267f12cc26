"""The demo, on a few videos: what it leaves behind and what it says."""

import json

import pytest

import stvit_video.demo
from stvit_video.cli import main
from stvit_video.commands.demo import free_folder
from stvit_video.datasets.demo import DemoSizes, class_names


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "demo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            stvit_video.demo, "DemoSizes", lambda train: DemoSizes(train=train, val=1, test=1)
        )
        arguments = ["demo", "--epochs", "1", "--num_videos", "2", "--output_dir", str(folder)]
        assert main([*arguments, "--json", str(folder.parent / "rows.json")]) == 0
    return folder


def test_the_run_folder_holds_everything(finished):
    names = {path.name for path in finished.iterdir()}
    assert names == {
        *("data", "dense", "semantic", "metrics.json", "prediction.json", "predictions.json"),
        *("clusters.png", "report.html", "report.md"),
    }
    for model in ("dense", "semantic"):
        assert (finished / model / "model.safetensors").is_file()


def test_the_comparison_is_dense_against_semantic(finished):
    rows = json.loads((finished / "metrics.json").read_text())
    assert rows == json.loads((finished.parent / "rows.json").read_text())
    dense, semantic = rows
    assert (dense["semantic"], semantic["semantic"]) == (None, "4x2x2@2")
    assert semantic["macs_per_view"] < 0.5 * dense["macs_per_view"]
    for row in rows:
        assert row["macs_per_video"] == 6 * row["macs_per_view"]
        assert row["clips_per_second"] > 0
        assert 0 <= row["top1"] <= 1


def test_predictions_are_of_the_test_videos(finished):
    listed = json.loads((finished / "predictions.json").read_text())
    assert [entry["label"] for entry in listed] == class_names()
    top1 = sum(entry["topk"][0]["label"] == entry["label"] for entry in listed) / len(listed)
    assert json.loads((finished / "metrics.json").read_text())[1]["top1"] == top1


def test_the_page_stands_alone(finished):
    page = (finished / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "http:" not in page
    assert "https:" not in page
    for word in ("4x2x2@2", "top-1 (%)", "round digit moving down"):
        assert word in page


def test_the_picture_is_small(finished):
    assert 10_000 < (finished / "clusters.png").stat().st_size < 300_000


def test_a_second_demo_takes_a_new_folder(tmp_path):
    assert free_folder(tmp_path) == tmp_path / "demo"
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo-2").mkdir()
    assert free_folder(tmp_path) == tmp_path / "demo-3"

import json

import pytest

from stvit_video.cli import main
from stvit_video.measure import feeding


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(feeding, "_worker_counts", lambda: [1, 2])


def test_the_parts_are_measured_and_the_next_step_named(class_folder_root, tmp_path, capsys):
    result = tmp_path / "rate.json"
    words = ["data", "rate", str(class_folder_root), "--seconds", "0.2", "--json", str(result)]
    assert main([*words, "--model", "demo_tiny:size=32", "--batch_size", "2"]) == 0
    report = json.loads(result.read_text())
    assert report["num_videos"] == 5
    assert report["clip"].endswith("x32")
    assert set(report["loader"]) == {"1", "2"}
    assert all(
        rate > 0 for rate in (report["decoder"], report["model"], *report["loader"].values())
    )
    printed = capsys.readouterr().out
    assert f"Feeding from {class_folder_root}\n" in printed
    for part in ("bare decoder, one core", "loader, 1 worker ", "loader, 2 workers"):
        assert part in printed
    assert "training step of demo_tiny:size=32, batch 2, cpu" in printed
    assert printed.endswith(f"{report['next_step']}\n")
    assert report["next_step"].startswith("the bottleneck is ")


def test_without_a_model_the_files_are_judged(class_folder_root, capsys):
    assert main(["data", "rate", str(class_folder_root), "--seconds", "0.2"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "the files are not prepared: `stvit-video data prepare"
        f" {class_folder_root} OUT --for dense --stride 4`;"
        " --model WORD says whether training waits for it"
    )


def test_videos_that_do_not_decode_are_one_line(tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.mp4").write_text("no pictures " * 50)
    assert main(["data", "rate", str(tmp_path), "--seconds", "0.05"]) == 2
    assert capsys.readouterr().err.startswith(
        "stvit-video data rate: none of the videos that were read decodes; the last one: "
    )


def test_a_fused_model_does_not_train(class_folder_root, capsys):
    assert main(["data", "rate", str(class_folder_root), "--model", "demo_tiny:fused"]) == 2
    assert capsys.readouterr().err == (
        "stvit-video data rate: model demo_tiny:fused is fused for inference;"
        " train it without :fused\n"
    )

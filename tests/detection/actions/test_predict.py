"""Persons over time, and what `predict` says and draws of them."""

import json

import numpy as np
import pytest
import torch

from stvit_video import create_model
from stvit_video.cli import main
from stvit_video.detection.actions.tracks import link_boxes
from stvit_video.models.card import ACTION_IDS
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.video.decoding.open import open_video
from stvit_video.video.numbered import write_pictures


def boxes(*rows):
    return np.array(rows, dtype=np.float32).reshape(-1, 4)


def test_a_person_is_linked_to_the_box_that_overlaps_most():
    seconds = [1.0, 2.0, 3.0, 3.5]
    found = link_boxes(
        seconds,
        [
            boxes([0, 0, 10, 10], [20, 0, 30, 10]),
            boxes([21, 0, 31, 10], [2, 0, 12, 10], [1, 0, 11, 10]),
            boxes(),
            boxes([1, 0, 11, 10]),
        ],
    )
    assert found == [[0, 1], [1, 2, 0], [], [3]]


def test_a_gap_or_little_overlap_begins_another_person():
    still = [boxes([0, 0, 10, 10])] * 2
    assert link_boxes([1.0, 3.0], still) == [[0], [0]]
    assert link_boxes([1.0, 3.1], still) == [[0], [1]]
    assert link_boxes([1.0, 2.0], [still[0], boxes([6, 0, 16, 10])]) == [[0], [1]]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("film")
    torch.manual_seed(0)
    model = create_model("demo_tiny", num_classes=3, num_frames=4, frame_stride=1)
    model.multi_label = True
    extra = {ACTION_IDS: [1, 4, 9], "config": {"detector": {"first_second": 900.0}}}
    write_checkpoint(model, folder / "model", labels=("sit", "stand", "walk"), extra=extra)
    pictures = (np.full((64, 96, 3), 120, dtype=np.uint8) for _ in range(40))
    write_pictures(folder / "film.mp4", pictures, fps=10, options={"x264-params": "log=-1"})
    (folder / "persons.csv").write_text(
        "film,901,0.2,0.4,0.4,0.9,,0.9\nfilm,902,0.3,0.4,0.5,0.9,,0.9\n"
        "film,902,0.7,0.4,0.9,0.9,,0.9\nother,902,0.7,0.4,0.9,0.9,,0.9\n"
    )
    return folder


def predict(place, *more, video="film.mp4"):
    words = ["predict", str(place / video), f"--checkpoint={place / 'model'}", "--device=cpu"]
    return main([*words, "--num_workers=0", *more])


def test_persons_are_named_by_second_and_drawn_over_the_film(place, capsys):
    answer = place / "answer.json"
    persons = f"--boxes={place / 'persons.csv'}"
    assert predict(place, persons, f"--json={answer}", f"--draw_dir={place}/drawn") == 0
    record = json.loads(answer.read_text())
    found = record["persons"]
    assert [(person["second"], person["track"]) for person in found] == [
        (901, 0),
        (902, 0),
        (902, 1),
    ]
    assert found[2]["box"] == pytest.approx([0.7, 0.4, 0.9, 0.9])
    scores = [action["score"] for action in found[0]["actions"]]
    assert scores == sorted(scores, reverse=True)
    assert {action["label"] for action in found[0]["actions"]} == {"sit", "stand", "walk"}
    assert "actions of 2 persons" in capsys.readouterr().out
    with open_video(place / "drawn" / "film.mp4") as movie:
        assert movie.num_frames == 21  # from half a second before to half a second behind
        frames = movie.frames([0, 5, 10]).int()
    left = [[(frame[40] - 120).abs().sum(-1) > 60] for frame in frames]
    edges = [np.flatnonzero(row[0].numpy()) for row in left]
    for edge, start in zip(edges, (0.2, 0.2, 0.25), strict=True):
        assert abs(int(edge[0]) - 96 * start) <= 4


def test_without_boxes_the_whole_frame_is_read_at_every_second(place, capsys):
    answer = place / "whole.json"
    assert predict(place, f"--json={answer}", "--top_k=1") == 0
    found = json.loads(answer.read_text())["persons"]
    assert [person["second"] for person in found] == [900, 901, 902, 903]
    assert {tuple(person["box"]) for person in found} == {(0, 0, 1, 1)}
    assert all(len(person["actions"]) == 1 for person in found)


def test_what_cannot_be_read_is_a_record_and_other_options_are_refused(place, capsys):
    (place / "broken.mp4").write_bytes(b"no video")
    lines = place / "lines.jsonl"
    assert predict(place, f"--jsonl={lines}", video="broken.mp4") == 1
    assert json.loads(lines.read_text())["error"].startswith(f"{place}/broken.mp4: ")
    capsys.readouterr()
    (place / "others.csv").write_text("other,902,0.7,0.4,0.9,0.9,,0.9\n")
    assert predict(place, f"--boxes={place / 'others.csv'}") == 1
    assert "no person of the film 'film'; name it as its file" in capsys.readouterr().err
    assert predict(place, "--window=2s") == 2
    assert "window (2s) has no place with a detector of actions" in capsys.readouterr().err
    write_checkpoint(create_model("demo_tiny", num_classes=2), place / "plain")
    words = [f"--checkpoint={place / 'plain'}", f"--boxes={place / 'persons.csv'}"]
    assert predict(place, *words) == 2
    assert "is for detectors of actions" in capsys.readouterr().err

import dataclasses
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import nn

from stvit_video.datasets.manifest import Manifest, VideoRecord
from stvit_video.errors import DatasetError
from stvit_video.evaluation.evaluate import VideoScores, list_predictions, score_videos
from stvit_video.settings.model import Preprocessing
from stvit_video.settings.views import ViewConfig

PREPROCESSING = Preprocessing(num_frames=2, frame_stride=1, image_size=4)
VIEWS = ViewConfig(num_clips=2)
CPU = torch.device("cpu")


class Batch(NamedTuple):
    clip: torch.Tensor
    label: torch.Tensor
    video_index: torch.Tensor
    failures: tuple = ()


class Brightness(nn.Module):
    """Says class 1 the surer, the brighter the clip."""

    def forward(self, clip):
        mean = clip.mean(dim=(1, 2, 3, 4))
        return torch.stack([-mean, mean], dim=1)


def batch(rows):
    """Make a batch of (video, label, grey) views."""
    clip = torch.stack([torch.full((3, 2, 4, 4), grey, dtype=torch.uint8) for _, _, grey in rows])
    columns = torch.tensor([(label, video) for video, label, _ in rows]).T
    return Batch(clip, columns[0], columns[1])


FAILED = Batch(torch.empty(0), torch.empty(0).long(), torch.empty(0).long(), ((7, "broken"),))
LOADER = [
    batch([(3, 1, 250), (0, 0, 20), (3, 1, 90)]),
    batch([(0, 0, 10), (5, 1, 30), (5, 1, 100)]),
]


def score(loader, **how):
    return score_videos(
        Brightness(), loader, preprocessing=PREPROCESSING, views=VIEWS, device=CPU, **how
    )


def test_views_of_a_video_are_combined_across_batches():
    result = score(LOADER)
    assert result.video_index.tolist() == [0, 3, 5]
    assert result.scores.argmax(dim=1).tolist() == [0, 1, 0]


def test_the_size_of_the_forward_passes_changes_nothing():
    one, two = (score(LOADER, batch_size=size).scores for size in (1, 7))
    torch.testing.assert_close(one, two)


def test_every_batch_is_told_failed_videos_included():
    told = []
    score([batch([(2, 1, 9), (2, 1, 8), (4, 0, 3), (4, 0, 1)]), FAILED], on_batch=told.append)
    assert [(b.video_index, b.failures) for b in told] == [([2, 4], []), ([], [(7, "broken")])]
    assert [views.shape for views in told[0].logits] == [(2, 2), (2, 2)]


def test_videos_that_do_not_decode_are_told_beside_the_scores():
    result = score([FAILED, *LOADER])
    assert result.failures == ((7, "broken"),)
    assert len(result.scores) == 3


def test_what_several_processes_scored_is_put_in_the_order_of_the_list():
    whole = score([*LOADER, FAILED])
    parts = [
        score([batch([(5, 1, 30), (5, 1, 100)]), FAILED]),
        score([]),
        score([batch([(3, 1, 250), (0, 0, 20), (3, 1, 90), (0, 0, 10)])]),
    ]
    merged = VideoScores.merge(parts)
    assert torch.equal(merged.video_index, whole.video_index)
    assert torch.equal(merged.scores, whole.scores)
    assert merged.failures == whole.failures
    with pytest.raises(ValueError, match="a video was scored twice"):
        VideoScores.merge([parts[0], whole])


def test_a_view_that_was_not_served_is_an_error():
    with pytest.raises(ValueError, match="1 videos do not have 2 views; video 4 has 1"):
        score([*LOADER, batch([(4, 1, 9)])])


def test_no_video_that_decodes_is_an_error():
    with pytest.raises(DatasetError, match=r"^none of the 1 videos decodes: broken$"):
        VideoScores.merge([score([FAILED]), score([])])


def test_clips_are_normalised_before_the_model_sees_them():
    seen = []

    class Spy(Brightness):
        def forward(self, clip):
            seen.append(clip)
            return super().forward(clip)

    half = dataclasses.replace(PREPROCESSING, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    score_videos(Spy(), LOADER, preprocessing=half, views=VIEWS, device=CPU, batch_size=9)
    assert seen[0][0, 0, 0, 0, 0] == pytest.approx((250 / 255 - 0.5) / 0.25, abs=1e-5)


def test_predictions_name_files_labels_and_ranks():
    result = score(LOADER)
    labels = [0, 0, 0, 1, 0, 1]
    records = [VideoRecord(Path(f"{i}.mp4"), label) for i, label in enumerate(labels)]
    listed = list_predictions(result, Manifest(records, ("dark", "bright")), top_k=1)
    assert [entry["video"] for entry in listed] == ["0.mp4", "3.mp4", "5.mp4"]
    assert [entry["label"] for entry in listed] == ["dark", "bright", "bright"]
    assert [entry["topk"][0]["label"] for entry in listed] == ["dark", "bright", "dark"]
    best = float(result.scores[1, 1])
    assert listed[1]["topk"] == [
        {"rank": 1, "index": 1, "label": "bright", "score": round(best, 6)}
    ]


MEMORY = """
import resource, sys
from collections import namedtuple
import torch
from stvit_video.evaluation.evaluate import score_videos
from stvit_video.settings.model import Preprocessing
from stvit_video.settings.views import ViewConfig

Batch = namedtuple("Batch", "clip label video_index failures")
views = ViewConfig(num_clips=10, num_crops=3)
clips = torch.zeros(30, 3, 2, 4, 4, dtype=torch.uint8)
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(96, 700))

def peak(num_videos):
    rows = torch.zeros(30, dtype=torch.int64)
    batches = (Batch(clips, rows, rows + video, ()) for video in range(num_videos))
    score_videos(model, batches, preprocessing=Preprocessing(num_frames=2, frame_stride=1,
                 image_size=4), views=views, device=torch.device("cpu"), batch_size=30)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

few = peak(100)
print((peak(2000) - few) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted otherwise")
def test_memory_does_not_grow_with_the_views(run_code):
    assert float(run_code(MEMORY)) < 40  # MiB; all views have 160, their averages twice 5

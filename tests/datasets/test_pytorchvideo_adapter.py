"""PyTorchVideo's own data set, fed from a manifest."""

import warnings

import pytest
import torch
from torch.utils.data import DataLoader, SequentialSampler

from stvit_video.datasets.manifest import Manifest, VideoRecord
from stvit_video.video.decoding.open import read_frames
from stvit_video.video.numbered import numbered_picture, read_number, write_pictures

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PyTorchVideo's sources hold escapes that Python warns of
    from pytorchvideo.data import LabeledVideoDataset, make_clip_sampler

    from stvit_video.datasets.pytorchvideo_adapter import build_labeled_video_dataset


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Two 64x48 videos at 5 frames a second, of 11 and 17 frames."""
    folder = tmp_path_factory.mktemp("pair")
    for length in (11, 17):
        pictures = (numbered_picture(i, width=64, height=48) for i in range(length))
        write_pictures(folder / f"{length}.mp4", pictures, fps=5)
    records = (VideoRecord(folder / "11.mp4", 1), VideoRecord(folder / "17.mp4", 0))
    return Manifest(records, ("run", "sit"))


def _numbers(video):
    return [read_number(f.permute(1, 2, 0).to(torch.uint8).numpy()) for f in video.unbind(1)]


def test_clips_hold_the_frames_between_their_times_and_the_label(manifest):
    dataset = build_labeled_video_dataset(
        manifest, make_clip_sampler("uniform", 1.0), video_sampler=SequentialSampler
    )
    assert isinstance(dataset, LabeledVideoDataset)
    items = list(dataset)
    assert [item["label"] for item in items] == [1, 1, 0, 0, 0]
    assert items[0]["class_name"] == "sit"
    assert items[0]["video_name"] == "11.mp4"
    assert [_numbers(item["video"]) for item in items] == [
        [0, 1, 2, 3, 4],
        [5, 6, 7, 8, 9],
        [0, 1, 2, 3, 4],
        [5, 6, 7, 8, 9],
        [10, 11, 12, 13, 14],
    ]


def test_pixels_equal_those_of_pytorchvideos_own_decoder(manifest):
    sampler = make_clip_sampler("uniform", 1.0)
    ours = build_labeled_video_dataset(manifest, sampler, video_sampler=SequentialSampler)
    theirs = LabeledVideoDataset(
        [(str(record.path), {"label": record.label}) for record in manifest.records],
        make_clip_sampler("uniform", 1.0),
        video_sampler=SequentialSampler,
        decode_audio=False,
        decoder="pyav",
    )
    for own, other in zip(ours, theirs, strict=True):
        assert torch.equal(own["video"], other["video"])


def test_it_runs_in_the_workers_of_a_loader(manifest):
    def middle(item):
        return item["video"][:, 2].mean(), item["label"]

    dataset = build_labeled_video_dataset(
        manifest, make_clip_sampler("constant_clips_per_video", 1.0, 3), transform=middle
    )
    batches = list(DataLoader(dataset, batch_size=6, num_workers=1))
    assert sorted(batches[0][1].tolist()) == [0, 0, 0, 1, 1, 1]


def test_pytorchvideos_decord_in_the_same_process_does_not_disturb_ours(manifest):
    theirs = LabeledVideoDataset(
        [(str(manifest.records[0].path), {"label": 0})],
        make_clip_sampler("uniform", 1.0),
        video_sampler=SequentialSampler,
        decode_audio=False,
        decoder="decord",  # turns what decord returns into torch tensors, for all its users
    )
    expected = next(iter(theirs))["video"]
    ours = read_frames(manifest.records[0].path, range(5), backend="decord")
    assert torch.equal(ours.permute(3, 0, 1, 2).float(), expected)

"""Clips out of real files whose frames carry their number."""

import functools

import pytest
import torch

from stvit_video.datasets.batches import collate_samples
from stvit_video.datasets.clips import FailedVideo, VideoDataset
from stvit_video.datasets.loader import build_loader
from stvit_video.datasets.records import VideoRecord
from stvit_video.datasets.sampler import ItemKey
from stvit_video.errors import DatasetError, VideoDecodeError
from stvit_video.video.numbered import numbered_picture, read_number, write_pictures
from stvit_video.video.sampling.scheme import SamplingScheme


def frames_as_clip(frames, crop_index):
    """Frames (T, H, W, C) as a clip (C, T, H, W), with the crop index in one pixel."""
    clip = frames.permute(3, 0, 1, 2).clone()
    clip[0, 0, 0, 0] = crop_index
    return clip


def numbers(clip):
    return [read_number(picture.permute(1, 2, 0).numpy()) for picture in clip.unbind(1)]


@pytest.fixture(scope="session")
def three_videos(tmp_path_factory):
    """Three 64x48 videos of 11, 17 and 23 frames with the labels 2, 0, 1."""
    folder = tmp_path_factory.mktemp("three")
    records = []
    for label, length in ((2, 11), (0, 17), (1, 23)):
        path = folder / f"{length}.mp4"
        write_pictures(path, (numbered_picture(i, width=64, height=48) for i in range(length)))
        records.append(VideoRecord(path, label))
    return records


def _dataset(records, **settings):
    views = {"num_clips": settings.get("num_clips", 1)}
    scheme = SamplingScheme(num_frames=3, frame_stride=2, **views, **settings.pop("scheme", {}))
    return VideoDataset(records, sample=scheme, transform=frames_as_clip, **settings)


def test_an_item_is_the_view_that_was_asked_for(three_videos):
    dataset = _dataset(three_videos, num_clips=2, num_crops=3)
    assert len(dataset) == 18
    sample = dataset[2 * 6 + 1 * 3 + 2]  # video 2, clip 1, crop 2
    assert (sample.label, sample.video_index, sample.view_index) == (1, 2, 5)
    assert numbers(sample.clip)[1:] == [20, 22]
    assert sample.clip[0, 0, 0, 0] == 2


def test_whole_videos_serve_all_views_in_one_item_with_equal_pixels(three_videos):
    by_view = _dataset(three_videos, num_clips=2, num_crops=3)
    whole = _dataset(three_videos, num_clips=2, num_crops=3, whole_videos=True)
    assert len(whole) == 3
    samples = whole[1]
    assert [s.view_index for s in samples] == list(range(6))
    for view, sample in enumerate(samples):
        assert torch.equal(sample.clip, by_view[6 + view].clip)


def test_a_key_decides_the_random_clip_and_leaves_the_global_state_alone(three_videos):
    dataset = _dataset(three_videos, scheme={"random": True})
    torch.manual_seed(5)
    state = torch.default_generator.get_state()
    clips = [numbers(dataset[ItemKey(2, seed)].clip)[1] for seed in (1, 1, 2, 3, 4, 5)]
    assert torch.equal(torch.default_generator.get_state(), state)
    assert clips[0] == clips[1]
    assert len(set(clips)) > 2
    assert numbers(dataset[2].clip)[1] == numbers(dataset[2].clip)[1]


def test_a_broken_video_is_an_error_that_names_it(three_videos, tmp_path):
    path = tmp_path / "empty.mp4"
    path.touch()
    dataset = _dataset([*three_videos, VideoRecord(path, 0)])
    with pytest.raises(VideoDecodeError, match=rf"^{path}: empty"):
        dataset[3]


def test_a_broken_video_may_be_reported_in_place_of_its_views(three_videos, tmp_path):
    path = tmp_path / "empty.mp4"
    path.touch()
    records = [three_videos[0], VideoRecord(path, 0), three_videos[1]]
    dataset = _dataset(records, on_decode_error="report", num_crops=3)
    failed = dataset[4]
    assert isinstance(failed, FailedVideo)
    assert failed.video_index == 1
    assert str(failed.error).startswith(f"{path}: empty")
    batch = collate_samples([dataset[2], failed, dataset[7]])
    assert batch.clips.shape == (2, 3, 3, 48, 64)
    assert batch.labels.tolist() == [[2, 0], [0, 2], [2, 1]]  # label, video and view
    assert batch.failures == (failed,)
    assert collate_samples([failed]).clips.shape == (0,)


def test_an_empty_list_of_videos_is_refused():
    with pytest.raises(DatasetError) as error:
        _dataset([])
    assert str(error.value) == "records is empty: the data set names no videos"


def test_an_item_outside_the_data_set_is_refused(three_videos):
    with pytest.raises(IndexError, match=r"^item 3 outside 0\.\.2$"):
        _dataset(three_videos)[3]


def test_a_sampler_that_makes_another_number_of_clips_is_refused(three_videos):
    scheme = SamplingScheme(num_frames=3, num_clips=2)
    dataset = VideoDataset(three_videos, sample=scheme, transform=frames_as_clip, num_clips=5)
    with pytest.raises(ValueError, match=r"^sampler makes 2 clips, not num_clips=5$"):
        dataset[0]


def _epoch(loader, epoch):
    loader.sampler.set_epoch(epoch)
    return [
        (b.video_index.tolist(), b.clip.float().mean(dim=(1, 2, 3, 4)).tolist()) for b in loader
    ]


def test_an_epoch_does_not_depend_on_the_number_of_workers(three_videos):
    dataset = _dataset(three_videos * 5, scheme={"random": True})
    build = functools.partial(build_loader, dataset, batch_size=4, shuffle=True, seed=7)
    alone, workers = build(num_workers=0), build(num_workers=2)
    for epoch in (0, 3):
        assert _epoch(alone, epoch) == _epoch(workers, epoch)
    assert _epoch(alone, 0) != _epoch(alone, 1)
    assert sorted(i for indices, _ in _epoch(alone, 1) for i in indices) == list(range(15))


def test_without_shuffling_items_come_in_order(three_videos):
    loader = build_loader(
        _dataset(three_videos, num_crops=3), batch_size=4, num_workers=0, shuffle=False, seed=0
    )
    batches = list(loader)
    assert [len(b.clip) for b in batches] == [4, 4, 1]
    assert torch.cat([b.video_index for b in batches]).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert torch.cat([b.view_index for b in batches]).tolist() == [0, 1, 2] * 3
    assert 0 < loader.waited_seconds < 60


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_epoch_is_taken_up_where_it_was_left(three_videos, num_workers):
    dataset = _dataset(three_videos * 4, scheme={"random": True})
    build = functools.partial(
        build_loader, dataset, batch_size=2, num_workers=num_workers, shuffle=True, seed=3
    )
    loader = build()
    loader.sampler.set_epoch(5)
    whole = [b.clip for b in loader]
    loader.sampler.set_epoch(5)
    iterator = iter(loader)
    first = [next(iterator).clip for _ in range(2)]
    state = loader.state_dict()
    resumed = build()
    resumed.load_state_dict(state)
    rest = [b.clip for b in resumed]
    assert len(rest) == 4
    for clip, expected in zip(first + rest, whole, strict=True):
        assert torch.equal(clip, expected)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_raises_the_error_of_a_broken_video_with_its_fields(
    three_videos, tmp_path, num_workers
):
    path = tmp_path / "empty.mp4"
    path.touch()
    dataset = _dataset([*three_videos, VideoRecord(path, 0)])
    loader = build_loader(dataset, batch_size=3, num_workers=num_workers, shuffle=False, seed=0)
    batches = iter(loader)
    assert next(batches).label.tolist() == [2, 0, 1]
    with pytest.raises(VideoDecodeError) as error:
        next(batches)
    assert (error.value.path, error.value.reason) == (path, "empty")


@pytest.mark.parametrize("shuffle", [False, True])
def test_workers_are_kept_from_pass_to_pass(three_videos, shuffle):
    loader = build_loader(
        _dataset(three_videos), batch_size=1, num_workers=2, shuffle=shuffle, seed=0
    )
    passes = []
    for _ in range(2):
        labels = sorted(int(batch.label) for batch in loader)
        passes.append((labels, {worker.pid for worker in loader._workers()}))
    assert passes[0] == passes[1]
    assert len(passes[0][1]) == 2


def test_a_batch_that_cannot_be_filled_is_refused(three_videos):
    dataset = _dataset(three_videos)
    with pytest.raises(DatasetError) as error:
        build_loader(dataset, batch_size=5, num_workers=0, shuffle=True, seed=0, drop_last=True)
    assert str(error.value) == "batch_size (5) is larger than the data set (3 items)"
    with pytest.raises(DatasetError) as error:
        build_loader(dataset, batch_size=0, num_workers=0, shuffle=True, seed=0)
    assert str(error.value) == "batch_size (0) must be at least 1"


def test_the_epoch_after_a_resumed_one_is_the_next(three_videos):
    dataset = _dataset(three_videos * 4)
    build = functools.partial(build_loader, dataset, batch_size=5, num_workers=0, shuffle=True)
    loader = build(seed=3)
    epochs = [[b.video_index.tolist() for b in loader] for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    for num_batches in (1, 3):  # in the middle of epoch 1, and at its end
        loader = build(seed=3)
        loader.sampler.set_epoch(1)
        iterator = iter(loader)
        first = [next(iterator).video_index.tolist() for _ in range(num_batches)]
        if num_batches == 3:
            assert next(iterator, None) is None
        resumed = build(seed=3)
        resumed.load_state_dict(loader.state_dict())
        rest = [b.video_index.tolist() for b in resumed]
        if num_batches == 3:
            assert rest == epochs[2]
        else:
            assert first + rest == epochs[1]
            assert [b.video_index.tolist() for b in resumed] == epochs[2]


def test_a_place_in_an_epoch_serves_other_batches_and_workers(three_videos):
    dataset = _dataset(three_videos * 4)
    build = functools.partial(build_loader, dataset, shuffle=True, seed=3)
    loader = build(batch_size=2, num_workers=2)
    whole = [i for batch in loader for i in batch.video_index.tolist()]
    loader = build(batch_size=2, num_workers=2)
    batches = iter(loader)
    first = [i for _ in range(2) for i in next(batches).video_index.tolist()]
    assert loader.state_dict() == {"epoch": 0, "served": 4}
    resumed = build(batch_size=5, num_workers=0, drop_last=True)
    resumed.load_state_dict(loader.state_dict())
    assert [first, *[b.video_index.tolist() for b in resumed]] == [whole[:4], whole[4:9]]
    assert resumed.state_dict() == {"epoch": 1, "served": 0}


def test_random_clips_of_a_file_made_for_their_stride_start_at_its_references(numbered_video):
    scheme = SamplingScheme(num_frames=2, frame_stride=4, random=True)
    starts = {}
    for made_for in ("dense4", "any"):
        records = [VideoRecord(numbered_video, 0, made_for=made_for)]
        dataset = VideoDataset(records, sample=scheme, transform=frames_as_clip)
        clips = [dataset[ItemKey(0, seed)].clip for seed in range(12)]
        starts[made_for] = [read_number(clip[:, 0].permute(1, 2, 0).numpy()) for clip in clips]
    assert [start % 4 for start in starts["dense4"]] == [0] * 12
    assert any(start % 4 for start in starts["any"])


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, -1, [2, 8, 14, 21]),
        (6, -1, [7, 12, 17, 22]),
        (6, 10, [6, 7, 8, 9]),
        (20, 99, [20, 21, 22, 23]),
        (3, 5, [3, 4, 4, 4]),
    ],
)
def test_a_stretch_of_a_file_is_read_as_a_file_of_its_own(
    write_numbered, tmp_path, start, end, expected
):
    path = write_numbered(tmp_path / "x.mp4", 25)
    records = [VideoRecord(path, 0, start_frame=start, end_frame=end)]
    scheme = SamplingScheme(kind="uniform", num_frames=4)
    dataset = VideoDataset(records, sample=scheme, transform=frames_as_clip)
    assert numbers(dataset[0].clip) == expected
    assert dataset[0].facts.num_frames == 25


def test_a_stretch_behind_the_end_of_its_file_is_told(write_numbered, tmp_path):
    path = write_numbered(tmp_path / "x.mp4", 25)
    dataset = VideoDataset(
        [VideoRecord(path, 0, start_frame=30, end_frame=40)],
        sample=SamplingScheme(num_frames=4),
        transform=frames_as_clip,
    )
    with pytest.raises(VideoDecodeError) as error:
        dataset[0]
    assert "no frames: frames 30 to 40 of 25 are asked for" in str(error.value)

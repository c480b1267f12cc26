import torch

from stvit_video.datasets.batches import Delivery
from stvit_video.datasets.clips import VideoDataset
from stvit_video.datasets.loader import build_loader
from stvit_video.datasets.records import VideoRecord
from stvit_video.datasets.slots import Slots
from stvit_video.settings.model import Preprocessing
from stvit_video.video.numbered import numbered_picture, read_number, write_pictures
from stvit_video.video.pixels.crops import build_transform
from stvit_video.video.sampling.scheme import SamplingScheme


def test_memory_is_made_once_and_filled_in_turn():
    slots = Slots(3)
    first = [slots.take(1000) for _ in range(3)]
    again = [slots.take(900 + number) for number in range(3)]
    assert [slot for _, slot in first + again] == [0, 1, 2, 0, 1, 2]
    assert [data.numel() for data, _ in again] == [900, 901, 902]
    assert [data.data_ptr() for data, _ in again] == [data.data_ptr() for data, _ in first]
    assert len({data.data_ptr() for data, _ in first}) == 3
    assert all(data.is_shared() for data, _ in first)


def test_a_batch_that_is_too_large_gets_new_memory():
    slots = Slots(1)
    small, _ = slots.take(1000)
    large, _ = slots.take(3 << 20)
    assert large.numel() == 3 << 20
    assert large.data_ptr() != small.data_ptr()
    assert slots.take(3 << 20)[0].data_ptr() == large.data_ptr()


def _loader(path, *, ship_planes, num_workers):
    dataset = VideoDataset(
        [VideoRecord(path, label) for label in range(24)],
        sample=SamplingScheme(num_frames=4, frame_stride=2, random=True),
        transform=build_transform(
            Preprocessing(num_frames=4, frame_stride=2, image_size=48),
            normalize=False,
            ship_planes=ship_planes,
        ),
    )
    return build_loader(dataset, batch_size=2, num_workers=num_workers, shuffle=True, seed=3)


def test_batches_of_planes_are_those_that_workers_finish(numbered_video):
    for num_workers in (0, 2):
        shipped = _loader(numbered_video, ship_planes=True, num_workers=num_workers)
        finished = _loader(numbered_video, ship_planes=False, num_workers=num_workers)
        num_batches = 0
        for ours, theirs in zip(shipped, finished, strict=True):
            assert ours.clip.shape == theirs.clip.shape == (2, 3, 4, 48, 48)
            assert (ours.clip.float() - theirs.clip.float()).abs().mean() < 1
            assert torch.equal(ours.label, theirs.label)
            assert torch.equal(ours.video_index, theirs.video_index)
            num_batches += 1
        assert num_batches == 12


def test_clips_of_both_kinds_keep_their_places_in_a_batch(tmp_path):
    paths = [tmp_path / f"{kind}.mp4" for kind in ("yuv420p", "yuv444p")]
    for number, path in enumerate(paths):
        pictures = (numbered_picture(9 + number, width=64, height=64) for _ in range(8))
        write_pictures(path, pictures, pix_fmt=path.stem)
    dataset = VideoDataset(
        [VideoRecord(paths[row % 2], row) for row in range(1, 6)],
        sample=SamplingScheme(num_frames=2, frame_stride=2),
        transform=build_transform(
            Preprocessing(num_frames=2, frame_stride=2, image_size=48),
            normalize=False,
            ship_planes=True,
        ),
    )
    [batch] = build_loader(dataset, batch_size=5, num_workers=0, shuffle=False, seed=0)
    assert batch.label.tolist() == [1, 2, 3, 4, 5]
    numbers = [read_number(clip[:, 0].permute(1, 2, 0).numpy()) for clip in batch.clip]
    assert numbers == [10, 9, 10, 9, 10]


class _Copy:
    """Stands for the event that a GPU has read what a worker wrote."""

    def __init__(self, done):
        self.done = done

    def synchronize(self):
        self.done.append(self)


def test_memory_is_released_once_a_gpu_has_read_it():
    delivery, done = Delivery(torch.device("cpu")), []
    copies = [_Copy(done) for _ in range(3)]
    delivery._copied.extend(copies)
    delivery.release_memory(but=1)
    assert done == copies[:2]
    delivery.release_memory()
    assert done == copies


def test_a_batch_is_fetched_once_all_but_the_last_have_left_main_memory(numbered_video):
    loader = _loader(numbered_video, ship_planes=True, num_workers=0)
    done, given = [], []
    deliver = loader.delivery
    release = deliver.release_memory

    def record(**how):
        release(**how)
        given.append((len(deliver._copied), len(done)))

    class _Delivery:
        release_memory = staticmethod(record)

        def __call__(self, parcel):
            deliver._copied.append(_Copy(done))
            return deliver(parcel)

    loader.delivery = _Delivery()
    batches = iter(loader)
    for _ in range(3):
        next(batches)
    assert given == [(0, 0), (0, 0), (1, 0), (1, 1)]
    batches.close()
    next(iter(loader))
    assert given[4:] == [(0, 3), (0, 3)]


def test_a_worker_has_two_pieces_more_than_batches_on_the_way(numbered_video):
    loader = _loader(numbered_video, ship_planes=True, num_workers=1)
    taken = []
    deliver = Delivery(torch.device("cpu"))
    loader.delivery = lambda parcel: taken.append(parcel.planes.slot) or deliver(parcel)
    loader.delivery.release_memory = lambda **_: None
    for _ in loader:
        pass
    assert taken == [0, 1, 2, 3] * 3


def test_the_host_keeps_what_it_counts_by_and_the_device_gets_what_the_model_reads(numbered_video):
    loader = _loader(numbered_video, ship_planes=False, num_workers=0).on(torch.device("meta"))
    batch = next(iter(loader))
    assert [tensor.device.type for tensor in batch[:4]] == ["meta", "meta", "cpu", "cpu"]
    assert batch.video_index.tolist() == sorted(batch.video_index.tolist())

import pickle
import shutil

import pytest

from stvit_video.datasets.clips import VideoDataset
from stvit_video.datasets.index_store import IndexStore, index_path, write_indexes
from stvit_video.datasets.manifest import Manifest, read_manifest, write_manifest
from stvit_video.datasets.records import VideoRecord
from stvit_video.datasets.upkeep.scan_run import run_scan
from stvit_video.errors import DatasetError
from stvit_video.video.decoding import indexing
from stvit_video.video.decoding.known_files import KnownFiles
from stvit_video.video.decoding.pyav import PyavDecoder
from stvit_video.video.sampling.scheme import SamplingScheme


@pytest.fixture
def scanned(tmp_path, numbered_video):
    """A manifest of two copies of a video, scanned."""
    paths = [tmp_path / "videos" / name for name in ("a.mp4", "b c.mp4")]
    paths[0].parent.mkdir()
    for path in paths:
        shutil.copy(numbered_video, path)
    manifest = tmp_path / "train.csv"
    records = tuple(VideoRecord(path, label) for label, path in enumerate(paths))
    write_manifest(Manifest(records, ("x", "y")), manifest)
    run_scan(manifest, None, num_workers=1, timeout_seconds=60, fresh=False)
    return manifest


def _first_frame(frames, crop_index):
    return frames.permute(3, 0, 1, 2)


def _dataset(records):
    scheme = SamplingScheme(num_frames=2, frame_stride=3)
    return VideoDataset(records, sample=scheme, transform=_first_frame)


def test_a_scan_leaves_the_packets_of_every_video_beside_its_manifest(scanned):
    store = IndexStore(index_path(scanned))
    assert len(store) == 2
    for record in read_manifest(scanned).records:
        index = store.find(record.path)
        assert index.info.path == record.path
        assert (index.info.num_frames, index.num_bytes) == (60, record.path.stat().st_size)
    assert store.find(scanned.parent / "videos" / "other.mp4") is None


def test_a_data_set_reads_scanned_videos_without_a_pass_over_their_packets(scanned, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the packets were read")

    monkeypatch.setattr(indexing, "_known", KnownFiles())
    monkeypatch.setattr("stvit_video.video.decoding.pyav.open_and_index", refuse)
    dataset = _dataset(read_manifest(scanned).records[1:])
    assert dataset[0].clip.shape == (3, 2, 64, 96)


def test_a_file_that_was_replaced_is_read_as_it_is_now(scanned, write_numbered, monkeypatch):
    monkeypatch.setattr(indexing, "_known", KnownFiles())
    path = read_manifest(scanned).records[0].path
    path.unlink()
    write_numbered(path, 30)
    index = IndexStore(index_path(scanned)).find(path)
    with PyavDecoder(path, index) as decoder:
        assert decoder.num_frames == 30
    assert _dataset(read_manifest(scanned).records)[0].clip.shape == (3, 2, 64, 96)


def test_a_moved_data_set_is_known_where_it_is(scanned, tmp_path):
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("train.csv", "train.index", "videos"):
        shutil.move(tmp_path / name, moved / name)
    path = moved / "videos" / "a.mp4"
    assert IndexStore(moved / "train.index").find(path).info.path == path


def test_a_store_travels_as_its_path(scanned):
    store = pickle.loads(pickle.dumps(IndexStore(index_path(scanned))))
    assert store.find(read_manifest(scanned).records[0].path).info.num_frames == 60
    assert len(pickle.dumps(store)) < 400


@pytest.mark.parametrize("damage", [b"", b"text", None])
def test_a_file_that_is_no_index_is_refused(scanned, damage):
    path = index_path(scanned)
    path.write_bytes(path.read_bytes()[:-5] if damage is None else damage)
    with pytest.raises(DatasetError) as caught:
        read_manifest(scanned)
    assert str(caught.value) == (
        f"{path} is no index of videos, or is cut off; delete it, and write it with"
        " `stvit-video data scan`"
    )


def test_an_empty_store_knows_nothing(tmp_path):
    write_indexes(tmp_path / "a.index", [])
    store = IndexStore(tmp_path / "a.index")
    assert len(store) == 0
    assert store.find(tmp_path / "a.mp4") is None

"""Records in columns: a sequence like any other, which workers share."""

import multiprocessing
import pickle
from pathlib import Path

import pytest
import torch

from stvit_video.datasets.manifest import Manifest
from stvit_video.datasets.records import Records, VideoRecord, labels_of

PLAIN = (
    VideoRecord(Path("a b.mp4"), 1, 250, 29.97, 340, 256, "h264", "closed", "ok", "pyav", "dense4"),
    VideoRecord(Path("/data/\u00e4.webm"), -1),
    VideoRecord(Path("sub/c.mp4"), 700, codec="vp9"),
)


def test_records_are_a_sequence_like_the_tuple_they_were_made_of():
    records = Records.of(PLAIN)
    assert (len(records), list(records), tuple(reversed(records))) == (3, [*PLAIN], PLAIN[::-1])
    assert [records[i] for i in (0, 2, -1, -3)] == [PLAIN[i] for i in (0, 2, -1, -3)]
    assert PLAIN[1] in records
    assert records.index(PLAIN[2]) == 2
    assert records * 2 == PLAIN * 2
    assert Records.of(PLAIN, indexes=(known := object()))[:2].indexes is known
    assert (Records.of(PLAIN, indexes=known) * 2)[1:].indexes is known
    assert (records[0].label, type(records[0].fps), type(records[0].num_frames)) == (1, float, int)


@pytest.mark.parametrize(
    "part",
    [slice(1), slice(1, None), slice(None, None, -1), slice(2, 0, -2), slice(5, 9), slice(-2, 99)],
)
def test_slices_are_those_of_a_tuple(part):
    records = Records.of(PLAIN)
    assert records[part] == PLAIN[part]
    assert records[part][1:] == PLAIN[part][1:]
    assert records[part].labels.tolist() == [record.label for record in PLAIN[part]]


def test_a_record_beyond_the_end_is_an_index_error():
    with pytest.raises(IndexError) as error:
        Records.of(PLAIN)[:2][2]
    assert str(error.value) == "record 2 outside 0..1"


def test_records_differ_by_any_field_and_by_their_number():
    records = Records.of(PLAIN)
    assert records == PLAIN
    assert records == PLAIN
    assert records != PLAIN[:2]
    for field in VideoRecord._fields:
        value = {"path": Path("x"), "made_for": "x", "start_frame": 3, "end_frame": 3}.get(
            field, "x"
        )
        other = PLAIN[0]._replace(**{field: value})
        assert records != (other, *PLAIN[1:])


def test_paths_are_kept_relative_to_a_folder():
    records = Records.of([PLAIN[0], PLAIN[1]], folder=Path("/videos/of mine"))
    assert records[0].path == Path("/videos/of mine/a b.mp4")
    assert records[1].path == PLAIN[1].path


def test_more_records_than_are_made_at_once_come_back_in_order(monkeypatch):
    monkeypatch.setattr("stvit_video.datasets.records._AT_ONCE", 2)
    records = Records.of(iter(PLAIN * 3))
    assert records == PLAIN * 3
    assert list(records[::-1]) == [*(PLAIN * 3)[::-1]]


def test_no_records_are_no_records():
    assert Records.of([]) == ()
    assert not Records.of(PLAIN)[3:]


def test_a_manifest_keeps_any_sequence_in_columns():
    records = Manifest(PLAIN, ("a",)).records
    assert isinstance(records, Records)
    assert records == PLAIN


def test_labels_come_from_columns_and_from_plain_records():
    assert labels_of(PLAIN).tolist() == labels_of(Records.of(PLAIN)).tolist() == [1, -1, 700]
    assert labels_of(()).dtype == torch.int64


def test_records_take_few_bytes_a_row():
    records = Records.of(PLAIN[:1] * 1000)
    letters = len("a b.mp4")
    assert len(pickle.dumps(records)) < 1000 * (letters + 25) + 10_000


def _read_last(records, connection):
    parts = [getattr(column, name) for column in records.columns for name in column.__slots__]
    tensors = [part for part in parts if isinstance(part, torch.Tensor)]
    connection.send((records[-1], [tensor.is_shared() for tensor in tensors]))


def test_spawned_workers_are_handed_the_memory_and_no_copy():
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe()
    worker = context.Process(target=_read_last, args=(Records.of(PLAIN), far))
    worker.start()
    assert near.poll(60)
    assert near.recv() == (PLAIN[-1], [True] * (len(VideoRecord._fields) + 1))
    worker.join()

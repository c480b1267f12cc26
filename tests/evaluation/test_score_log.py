"""Files of scores: what was added is there, what a stop left unfinished is not."""

import numpy as np
import pytest
import torch

from stvit_video.errors import WriteError
from stvit_video.evaluation.score_log import ScoreLog, read_logs, record_layout

LAYOUT = record_layout(3, 5)
SIZE = LAYOUT.itemsize


def views(seed):
    return torch.randn(3, 5, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def folder(tmp_path):
    """Two batches, of the videos 7, 2 and 11, and 4 and 0."""
    with ScoreLog(tmp_path, LAYOUT) as log:
        log.add([7, 2, 11], [views(7), views(2), views(11)])
        log.add([4, 0], [views(4), views(0)])
    return tmp_path


def videos(folder):
    return [record["video"] for log in read_logs(folder, LAYOUT) for record in log]


def test_what_was_added_is_read_again_bit_by_bit(folder):
    (log,) = read_logs(folder, LAYOUT)
    assert log["video"].tolist() == [7, 2, 11, 4, 0]
    for video, logits in zip(log["video"], log["logits"], strict=True):
        assert np.array_equal(logits, views(int(video)).numpy())


def test_of_a_batch_that_was_cut_off_nothing_is_read(folder):
    path = folder / "0.scores"
    whole = path.read_bytes()
    expected = {5 * SIZE: 5, 5 * SIZE - 1: 3, 4 * SIZE: 3, 3 * SIZE + 1: 3, 3 * SIZE: 3}
    expected |= {3 * SIZE - 1: 0, SIZE: 0, SIZE - 1: 0, 0: 0}
    for length, num_videos in expected.items():
        path.write_bytes(whole[:length])
        assert len(videos(folder)) == num_videos, length


def test_what_a_power_cut_left_without_its_content_is_not_read(folder):
    path = folder / "0.scores"
    content = bytearray(path.read_bytes())
    content[4 * SIZE : 5 * SIZE] = bytes(SIZE)
    path.write_bytes(content)
    assert videos(folder) == [7, 2, 11]
    content[SIZE + 30] ^= 1  # in the logits of the second
    path.write_bytes(content)
    assert videos(folder) == []


def test_every_process_writes_a_file_of_its_own(folder):
    with ScoreLog(folder, LAYOUT) as one, ScoreLog(folder, LAYOUT) as other:
        one.add([1], [views(1)])
        other.add([3], [views(3)])
        one.add([5], [views(5)])
        other.add([], [])
    assert [log["video"].tolist() for log in read_logs(folder, LAYOUT)] == [
        [7, 2, 11, 4, 0],
        [1, 5],
        [3],
    ]


def test_a_log_without_scores_leaves_no_file(tmp_path):
    with ScoreLog(tmp_path / "parts", LAYOUT) as log:
        log.add([], [])
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_and_whole_batches_stay(small_disk):
    many = torch.zeros(100, 50, dtype=torch.float32)

    def fill():
        with ScoreLog(small_disk, record_layout(100, 50)) as log:
            for video in range(0, 200, 2):
                log.add([video, video + 1], [many, many])

    with pytest.raises(WriteError) as caught:
        fill()
    assert str(caught.value) == f"{small_disk} cannot be written: No space left on device"
    (log,) = read_logs(small_disk, record_layout(100, 50))
    assert 40 < len(log) < 55
    assert len(log) % 2 == 0

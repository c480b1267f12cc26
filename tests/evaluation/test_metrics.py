import pytest
import torch

from stvit_video.evaluation.metrics import measure_accuracy


def test_top1_top5_and_mean_over_classes_are_those_counted_by_hand():
    # 7 classes; the best six of each row are 6, 5, 4, 3, 2, 1 in this order
    scores = torch.arange(7.0).repeat(5, 1)
    labels = torch.tensor([6, 6, 6, 2, 0])
    accuracy = measure_accuracy(scores, labels)
    assert accuracy.top1 == pytest.approx(3 / 5)
    assert accuracy.top5 == pytest.approx(4 / 5)
    assert accuracy.mean_class == pytest.approx((1 + 0 + 0) / 3)
    assert accuracy.num_videos == 5


def test_a_class_that_is_guessed_but_has_no_videos_is_not_averaged():
    scores = torch.tensor([[0.1, 0.9, 0.0], [0.8, 0.1, 0.1]])
    accuracy = measure_accuracy(scores, torch.tensor([0, 0]))
    assert accuracy.mean_class == pytest.approx(0.5)


def test_with_five_classes_or_fewer_every_video_is_in_the_top_five():
    assert measure_accuracy(torch.eye(3), torch.tensor([2, 0, 1])).top5 == 1.0


def test_no_video_is_an_error():
    with pytest.raises(ValueError, match="scores is empty: no video was classified"):
        measure_accuracy(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))

import pytest
import torch
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multilabel_average_precision,
)

from stvit_video.evaluation.metrics import confusion_matrix, measure_accuracy, measure_classes


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


def test_average_precision_is_that_counted_by_hand():
    # class 0: right at ranks 1 and 3; class 1: at rank 2; class 2 has no video
    scores = torch.tensor([[0.9, 0.1, 0.5], [0.8, 0.2, 0.4], [0.7, 0.3, 0.3]])
    targets = torch.tensor([[1, 0, 0], [0, 1, 0], [1, 0, 0]]).bool()
    accuracy = measure_accuracy(scores, targets)
    first, second = (1 / 1 + 2 / 3) / 2, 1 / 2
    assert accuracy.mean_average_precision == pytest.approx((first + second) / 2)
    assert accuracy.mean_class is None
    assert accuracy.top1 == pytest.approx(2 / 3)
    rows = measure_classes(scores, targets, class_names="abc", num_found=[3, 1, 0])
    assert [row.average_precision for row in rows] == [pytest.approx(first), 0.5, None]


@pytest.mark.parametrize("shift", [0.0, -30.0])
def test_mean_average_precision_is_that_of_torchmetrics(shift):
    generator = torch.Generator().manual_seed(3)
    scores = torch.rand(53, 7, generator=generator, dtype=torch.float64)
    targets = torch.rand(53, 7, generator=generator) < 0.2
    expected = multilabel_average_precision(scores, targets.long(), num_labels=7)
    measured = measure_accuracy(scores + shift, targets).mean_average_precision
    assert measured == pytest.approx(float(expected), abs=1e-6)


def test_accuracies_are_those_of_torchmetrics():
    generator = torch.Generator().manual_seed(5)
    scores, labels = torch.randn(53, 7, generator=generator), torch.arange(53) % 6
    accuracy = measure_accuracy(scores, labels)
    how = {"num_classes": 7}
    assert accuracy.top1 == pytest.approx(
        float(multiclass_accuracy(scores, labels, average="micro", **how))
    )
    assert accuracy.top5 == pytest.approx(
        float(multiclass_accuracy(scores, labels, average="micro", top_k=5, **how))
    )
    per_class = multiclass_accuracy(scores, labels, average="none", **how)
    assert accuracy.mean_class == pytest.approx(float(per_class[:6].mean()))
    rows = measure_classes(scores, labels, class_names="abcdefg", num_found=[9] * 7)
    assert [row.top1 for row in rows[:6]] == pytest.approx(per_class[:6].tolist())


def test_classes_say_what_their_videos_are_taken_for():
    said, labels = torch.tensor([2, 0, 0, 0, 2, 1]), torch.tensor([0, 0, 0, 0, 2, 2])
    scores = torch.eye(4)[said]
    rows = measure_classes(scores, labels, class_names="abcd", num_found=[5, 0, 2, 1])
    assert confusion_matrix(scores, labels).tolist() == [
        [3, 0, 1, 0],
        [0, 0, 0, 0],
        [0, 1, 1, 0],
        [0, 0, 0, 0],
    ]
    assert [(row.label, row.num_decoded, row.num_found, row.top1) for row in rows] == [
        ("a", 4, 5, 0.75),
        ("b", 0, 0, None),
        ("c", 2, 2, 0.5),
        ("d", 0, 1, None),
    ]
    taken = [(row.taken_for, row.num_taken_for) for row in rows]
    assert taken == [("c", 1), (None, 0), ("b", 1), (None, 0)]

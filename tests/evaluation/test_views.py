import pytest
import torch

from stvit_video.evaluation.views import ViewCollector, combine_views

LOGITS = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 1.0], [0.5, 0.5, 2.0], [1.0, 1.0, 0.0]])
VIDEO = torch.tensor([1, 0, 1, 0])


def test_probabilities_are_averaged():
    expected = (LOGITS[0].softmax(0) + LOGITS[1].softmax(0)) / 2
    torch.testing.assert_close(combine_views(LOGITS[:2], "mean_probability"), expected)


def test_logits_are_averaged_when_asked_for():
    expected = torch.tensor([2.0, 0.5, 0.5])
    torch.testing.assert_close(combine_views(LOGITS[1::2], "mean_logit"), expected)


def test_with_several_labels_a_video_each_class_has_a_probability_of_its_own():
    expected = (LOGITS[0].sigmoid() + LOGITS[1].sigmoid()) / 2
    scores = combine_views(LOGITS[:2], "mean_probability", multi_label=True)
    torch.testing.assert_close(scores, expected)


def test_views_of_a_video_are_put_together_across_batches():
    views = ViewCollector(2)
    assert list(views.add(LOGITS[:2], VIDEO[:2])) == []
    complete = dict(views.add(LOGITS[2:], VIDEO[2:]))
    views.check_complete()
    assert list(complete) == [1, 0]
    assert torch.equal(complete[1], LOGITS[0::2])
    assert torch.equal(complete[0], LOGITS[1::2])


def test_a_missing_view_is_an_error_that_names_the_video():
    views = ViewCollector(2)
    list(views.add(LOGITS[:3], VIDEO[:3]))
    with pytest.raises(ValueError, match="1 videos do not have 2 views; video 0 has 1"):
        views.check_complete()


def test_a_view_too_many_is_an_error_that_names_the_video():
    views = ViewCollector(2)
    with pytest.raises(ValueError, match="video 1 has more than 2 views"):
        list(views.add(LOGITS, torch.tensor([1, 0, 1, 1])))

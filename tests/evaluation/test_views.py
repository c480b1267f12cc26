import pytest
import torch

from stvit_video.evaluation.views import combine_views

LOGITS = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 1.0], [0.5, 0.5, 2.0], [1.0, 1.0, 0.0]])
VIDEO = torch.tensor([1, 0, 1, 0])


def combine(logits=LOGITS, video=VIDEO, *, num_videos=2, num_views=2, how="mean_probability"):
    return combine_views(logits, video, num_videos=num_videos, num_views=num_views, combine=how)


def test_probabilities_are_averaged_per_video():
    expected = torch.stack(
        [
            (LOGITS[1].softmax(0) + LOGITS[3].softmax(0)) / 2,
            (LOGITS[0].softmax(0) + LOGITS[2].softmax(0)) / 2,
        ]
    )
    torch.testing.assert_close(combine(), expected)


def test_logits_are_averaged_when_asked_for():
    expected = torch.tensor([[2.0, 0.5, 0.5], [0.25, 1.25, 1.5]])
    torch.testing.assert_close(combine(how="mean_logit"), expected)


def test_the_order_of_the_rows_does_not_matter():
    order = torch.tensor([3, 0, 2, 1])
    torch.testing.assert_close(combine(LOGITS[order], VIDEO[order]), combine())


def test_a_missing_view_is_an_error_that_names_the_video():
    text = "1 of 2 videos do not have 2 views; video 0 has 1"
    with pytest.raises(ValueError, match=text):
        combine(LOGITS[:3], VIDEO[:3])


def test_a_video_without_rows_is_an_error():
    with pytest.raises(ValueError, match="1 of 3 videos do not have 2 views; video 2 has 0"):
        combine(num_videos=3)

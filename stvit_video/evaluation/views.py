"""Combine the views of a video into one prediction.

Legend: R rows (one per view, any order), V views per video, K classes.
"""

import torch
from torch import Tensor

from stvit_video.settings.views import Combine


def combine_views(
    logits: Tensor, video_index: Tensor, *, num_videos: int, num_views: int, combine: Combine
) -> Tensor:
    """Average per-view logits (R, K) of each video into scores (num_videos, K).

    `video_index` (R,) says which video a row belongs to. Every video must have exactly
    `num_views` rows: a sampler that pads or drops must not shift the result unnoticed.
    """
    rows_per_video = torch.bincount(video_index, minlength=num_videos)  # (num_videos,)
    wrong = (rows_per_video != num_views).nonzero().flatten()
    if len(wrong):
        first = int(wrong[0])
        raise ValueError(
            f"{len(wrong)} of {num_videos} videos do not have {num_views} views; "
            f"video {first} has {int(rows_per_video[first])}"
        )
    scores = logits.softmax(dim=-1) if combine == "mean_probability" else logits  # (R, K)
    total = scores.new_zeros(num_videos, scores.shape[-1]).index_add(0, video_index, scores)
    return total / num_views

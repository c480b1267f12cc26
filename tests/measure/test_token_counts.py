import pytest
import torch

from stvit_video.measure.token_counts import tokens_per_block
from stvit_video.models.registry import create_model


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        ({}, [256] * 6),
        ({"semantic": "2x3x5@1"}, [256, 30, 30, 30, 30, 30]),
        ({"semantic": "2x3x5@1-4"}, [256, 30, 30, 256, 256, 256]),
        ({"reduction": "tome:r=50"}, [206, 156, 106, 56, 28, 14]),
        (
            {"reduction": "random:keep=99,block=3", "class_token": True},
            [257, 257, 100, 100, 100, 100],
        ),
    ],
)
def test_tokens_are_counted_where_they_enter_the_mlp(options, tokens):
    with torch.device("meta"):
        model = create_model("demo_tiny", num_frames=8, image_size=64, **options).train()
        clip = torch.empty(1, 3, 8, 64, 64)
    assert tokens_per_block(model, clip) == tokens
    assert model.training


def test_a_network_without_such_blocks_has_none():
    assert tokens_per_block(torch.nn.Linear(3, 2), torch.rand(1, 3)) == []

import torch

from stvit_video.tokens.grid import Grid
from stvit_video.tokens.semantic.regions import fold_frames, unfold_frames
from stvit_video.tokens.token_set import TokenSet


def test_every_frame_takes_its_class_token_along():
    grid = Grid(3, 2, 5)
    cls, patches = torch.randn(2, 3, 7), torch.randn(2, 3, 10, 7)
    tokens = torch.cat([cls, patches.flatten(1, 2)], dim=1)
    folded, frame, *_ = fold_frames(TokenSet(tokens, grid))
    assert frame == Grid(1, 2, 5)
    for clip in range(2):
        for t in range(3):
            expected = torch.cat([cls[clip, t : t + 1], patches[clip, t]])
            assert torch.equal(folded[clip * 3 + t], expected)
    unfolded, whole, *_ = unfold_frames(TokenSet(folded, frame), 3)
    assert whole == grid
    assert torch.equal(unfolded, tokens)


def test_frames_without_class_tokens_fold_and_unfold():
    tokens = torch.randn(2, 30, 7)
    folded = fold_frames(TokenSet(tokens, Grid(3, 2, 5)))
    assert torch.equal(folded.tokens, tokens.reshape(6, 10, 7))
    assert torch.equal(unfold_frames(folded, 3).tokens, tokens)

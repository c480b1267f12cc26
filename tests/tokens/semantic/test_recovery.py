import torch

from stvit_video.models.layers.blocks import Block
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.semantic.recovery import TokenRecovery
from stvit_video.tokens.token_set import TokenSet

GRID, SEMANTIC = Grid(2, 3, 5), Grid(1, 2, 2)


def recover(tokens, semantic, block, size=None):
    state = TokenRecovery()(TokenSet(tokens, GRID), TokenSet(semantic, SEMANTIC, size), block)
    assert (state.grid, state.size) == (GRID, None)
    return state.tokens


def test_patch_tokens_read_from_semantic_tokens_and_keep_their_residual():
    block = Block(6, num_heads=3)
    patches, semantic = torch.randn(2, 30, 6), torch.randn(2, 4, 6)
    attended = patches + block.attn(block.norm1(patches), block.norm1(semantic))
    expected = attended + block.mlp(block.norm2(attended))
    recovered = recover(patches, semantic, block)
    torch.testing.assert_close(recovered, expected)


def test_the_class_token_comes_from_the_semantic_side():
    block = Block(6, num_heads=3)
    tokens, semantic = torch.randn(2, 31, 6), torch.randn(2, 5, 6)
    expected = block(torch.cat([semantic[:, :1], tokens[:, 1:]], 1), context=semantic)
    recovered = recover(tokens, semantic, block)
    torch.testing.assert_close(recovered, expected)
    assert recovered.shape == (2, 31, 6)


def test_a_semantic_token_is_read_as_often_as_the_patches_that_it_stands_for():
    block = Block(6, num_heads=3)
    patches, semantic = torch.randn(2, 30, 6), torch.randn(2, 4, 6)
    size = torch.tensor([1.0, 4.0, 2.0, 0.0]).view(1, 4, 1).expand(2, -1, -1)
    repeated = semantic[:, [0, 1, 1, 1, 1, 2, 2]]  # the last stands for none
    expected = block(patches, context=repeated)
    torch.testing.assert_close(recover(patches, semantic, block, size), expected)

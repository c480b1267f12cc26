import torch

from stvit_video.models.layers.blocks import Block
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.semantic.recovery import TokenRecovery

GRID, SEMANTIC = Grid(2, 3, 5), Grid(1, 2, 2)


def test_patch_tokens_read_from_semantic_tokens_and_keep_their_residual():
    block = Block(6, num_heads=3)
    patches, semantic = torch.randn(2, 30, 6), torch.randn(2, 4, 6)
    attended = patches + block.attn(block.norm1(patches), block.norm1(semantic))
    expected = attended + block.mlp(block.norm2(attended))
    recovered = TokenRecovery()(patches, semantic, GRID, SEMANTIC, block)
    torch.testing.assert_close(recovered, expected)


def test_the_class_token_comes_from_the_semantic_side():
    block = Block(6, num_heads=3)
    tokens, semantic = torch.randn(2, 31, 6), torch.randn(2, 5, 6)
    expected = block(torch.cat([semantic[:, :1], tokens[:, 1:]], 1), context=semantic)
    recovered = TokenRecovery()(tokens, semantic, GRID, SEMANTIC, block)
    torch.testing.assert_close(recovered, expected)
    assert recovered.shape == (2, 31, 6)

import pytest
import torch
import torch.nn.functional as F

from stvit_video.errors import ConfigError
from stvit_video.models.layers.blocks import Block
from stvit_video.settings.grammar import parse_semantic
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.semantic.generator import SemanticTokenGenerator, check_counts
from stvit_video.tokens.token_set import TokenSet

DIM, HEADS = 6, 2
GRID = Grid(4, 3, 5)


def generator(text):
    torch.manual_seed(3)
    (setting,) = parse_semantic(text)
    blocks = [Block(DIM, num_heads=HEADS) for _ in range(setting.layers)]
    for block in blocks:
        for parameter in block.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return SemanticTokenGenerator(DIM, setting), blocks


def tokens_on(grid, num_class_tokens=0, batch=2):
    return torch.randn(batch, num_class_tokens + grid.size, DIM)


def attend(block, queries, context):
    """One pre-norm layer, written out."""
    q, _, _ = block.attn.qkv(block.norm1(queries)).chunk(3, -1)
    _, k, v = block.attn.qkv(block.norm1(context)).chunk(3, -1)
    heads = []
    for qh, kh, vh in zip(*(x.chunk(HEADS, -1) for x in (q, k, v)), strict=True):
        weights = (qh @ kh.transpose(1, 2) / (DIM / HEADS) ** 0.5).softmax(-1)
        heads.append(weights @ vh)
    return block.attn.proj(torch.cat(heads, -1))


def feed_forward(block, x):
    return x + block.mlp(block.norm2(x))


def reference(generate, blocks, x, centers, *, shortcut=True, cls=None):
    """The two layers of the paper: q = P, kv = X; then q = S + G, kv = [S; X]."""
    ahead = [] if cls is None else [cls]
    num_ahead = 0 if cls is None else 1
    first = torch.cat([*ahead, centers], 1)
    attended = attend(blocks[0], first, torch.cat([*ahead, x], 1))
    s1 = feed_forward(blocks[0], first + attended if shortcut else attended)
    queries = s1.clone()
    if generate.global_centers is not None:
        queries[:, num_ahead:] += generate.global_centers
    s2 = queries + attend(blocks[1], queries, torch.cat([s1, x], 1))
    return feed_forward(blocks[1], s2)


@pytest.mark.parametrize("options", ["", ",pool=avg", ",use_global=false", ",shortcut=false"])
def test_clip_scope_equals_the_formula(options):
    generate, blocks = generator(f"2x3x1@0{options}")
    x = tokens_on(GRID)
    centers = generate.pool(x, GRID, Grid(2, 3, 1))
    expected = reference(generate, blocks, x, centers, shortcut=generate.setting.shortcut)
    (semantic, grid, *_), _ = generate(TokenSet(x, GRID), blocks)
    torch.testing.assert_close(semantic, expected)
    assert grid == Grid(2, 3, 1)


def test_a_class_token_is_one_more_query_and_key():
    generate, blocks = generator("2x3x1@0")
    tokens = tokens_on(GRID, num_class_tokens=1)
    cls, x = tokens[:, :1], tokens[:, 1:]
    centers = generate.pool(x, GRID, Grid(2, 3, 1))
    (semantic, *_), _ = generate(TokenSet(tokens, GRID), blocks)
    torch.testing.assert_close(semantic, reference(generate, blocks, x, centers, cls=cls))


@pytest.mark.parametrize("setting", ["2x3x5@0,scope=tube", "4x3x1@0,scope=frame"])
def test_a_region_is_clustered_as_a_clip_of_its_own(setting):
    generate, blocks = generator(setting)
    num_regions = generate.setting.grid[0]
    x = tokens_on(GRID)
    centers = generate.pool(x, GRID, Grid(*generate.setting.grid)).chunk(num_regions, 1)
    global_centers = generate.global_centers
    chunks = (
        [global_centers] * num_regions
        if generate.setting.scope == "frame"
        else global_centers.chunk(num_regions, 1)
    )
    expected = []
    for region, own, added in zip(x.chunk(num_regions, 1), centers, chunks, strict=True):
        generate.global_centers = torch.nn.Parameter(added)
        expected.append(reference(generate, blocks, region, own))
    generate.global_centers = global_centers
    (semantic, *_), _ = generate(TokenSet(x, GRID), blocks)
    torch.testing.assert_close(semantic, torch.cat(expected, 1))


def test_uneven_tubes_overlap_by_one_frame_and_read_nothing_else():
    grid = Grid(5, 2, 3)  # tubes: frames 0-2 and 2-4
    generate, blocks = generator("2x1x3@0,scope=tube")
    x = tokens_on(grid)
    changed = x.clone()
    changed[:, 3 * 6 :] += 1  # frames 3 and 4
    (before, *_), _ = generate(TokenSet(x, grid), blocks)
    (after, *_), _ = generate(TokenSet(changed, grid), blocks)
    torch.testing.assert_close(after[:, :3], before[:, :3])
    assert (after[:, 3:] - before[:, 3:]).abs().amin(-1).gt(1e-4).all()


def test_padding_of_an_uneven_tube_is_not_read():
    grid = Grid(7, 1, 1)  # 3 tubes: 0-2, 2-4, 4-6 have 3 frames; 4 tubes: lengths 2, 3, 3, 2
    generate, blocks = generator("4x1x1@0,scope=tube,pool=avg,use_global=false")
    x = tokens_on(grid)
    (semantic, *_), _ = generate(TokenSet(x, grid), blocks)
    own = x[:, 0:2]
    expected = reference(generate, blocks, own, own.mean(1, keepdim=True))
    torch.testing.assert_close(semantic[:, :1], expected)


def test_class_tokens_of_the_regions_are_averaged():
    generate, blocks = generator("2x1x1@0,scope=tube")
    tokens = tokens_on(GRID, num_class_tokens=1)
    cls, x = tokens[:, :1], tokens[:, 1:]
    centers = generate.pool(x, GRID, Grid(2, 1, 1)).chunk(2, 1)
    global_centers = generate.global_centers
    ends = []
    for region, own, added in zip(x.chunk(2, 1), centers, global_centers.chunk(2, 1), strict=True):
        generate.global_centers = torch.nn.Parameter(added)
        ends.append(reference(generate, blocks, region, own, cls=cls)[:, :1])
    generate.global_centers = global_centers
    (semantic, *_), _ = generate(TokenSet(tokens, GRID), blocks)
    torch.testing.assert_close(semantic[:, :1], sum(ends) / 2)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("scope", ["clip", "tube", "frame"])
def test_every_parameter_and_every_token_receives_a_gradient(scope, layers):
    generate, blocks = generator(f"4x2x2@0,scope={scope},pool=learned,layers={layers}")
    tokens = tokens_on(GRID, num_class_tokens=1).requires_grad_()
    (semantic, *_), _ = generate(TokenSet(tokens, GRID), blocks)
    semantic.square().sum().backward()
    parameters = [*generate.parameters(), *(p for block in blocks for p in block.parameters())]
    assert all(parameter.grad.abs().sum() > 0 for parameter in parameters)
    assert tokens.grad.abs().sum(-1).gt(0).all()


@pytest.mark.parametrize(("setting", "grid"), [("2x3x1@0", GRID), ("2x3x1@0", Grid(5, 3, 5))])
@pytest.mark.parametrize("scope", ["clip", "tube"])
def test_assignments_are_the_attention_of_the_last_layer(setting, grid, scope):
    generate, blocks = generator(f"{setting},scope={scope}")
    tokens = tokens_on(grid, num_class_tokens=1)
    weights = generate.assignments(TokenSet(tokens, grid), blocks)
    assert weights.shape == (2, 6, grid.size)
    # What the last layer reads of the patches, plus class token and centres, is everything.
    last = generate._cluster(TokenSet(tokens, grid), blocks).last
    whole = blocks[-1].attention_weights(last.queries, last.context, last.mask)
    rows = whole.shape[0] // 2
    ahead = 1 + 6 // rows
    rest = whole[:, 1:, :ahead].sum(-1).unflatten(0, (2, rows)).flatten(1)
    torch.testing.assert_close(weights.sum(-1) + rest, torch.ones(2, 6))


def test_scope_frame_follows_the_frames_of_the_clip():
    generate, blocks = generator("4x1x2@0,scope=frame")
    (semantic, grid, *_), _ = generate(TokenSet(tokens_on(Grid(7, 3, 5)), Grid(7, 3, 5)), blocks)
    assert grid == Grid(7, 1, 2)
    assert semantic.shape == (2, 14, DIM)


def test_scope_frame_must_keep_every_frame():
    (setting,) = parse_semantic("2x4x4@4,scope=frame")
    with pytest.raises(ConfigError) as error:
        check_counts(setting, Grid(8, 14, 14))
    assert str(error.value) == (
        "semantic setting 2x4x4@4,scope=frame keeps 2 time steps, but scope=frame clusters each"
        " of the 8 on its own; write 8 or use scope=tube"
    )


@pytest.mark.parametrize("scope", [pytest.param("clip", marks=pytest.mark.slow), "tube", "frame"])
def test_compiles_to_one_graph(scope):
    generate, blocks = generator(f"4x2x2@0,scope={scope},pool=learned")
    tokens = tokens_on(GRID, num_class_tokens=1)

    def run(x):
        return generate(TokenSet(x, GRID), blocks)[0].tokens

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(tokens), run(tokens))


def test_autocast_keeps_the_result_close():
    generate, blocks = generator("2x2x2@0,pool=learned")
    tokens = tokens_on(GRID)
    (exact, *_), _ = generate(TokenSet(tokens, GRID), blocks)
    with torch.autocast("cpu", torch.bfloat16):
        (rounded, *_), _ = generate(TokenSet(tokens, GRID), blocks)
    assert F.cosine_similarity(exact, rounded.float(), dim=-1).min() > 0.99

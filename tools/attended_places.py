"""Another way to place semantic tokens, measured against the middle of a window or a cluster: where
a centre looked in the first layer of its generator, the mean of the patches' places by attention.

Legend: B clips, N patches, S centres.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from torch import Tensor

from stvit_video.models.layers.blocks import Block
from stvit_video.tokens.semantic import generator
from stvit_video.tokens.semantic.generator import SemanticTokenGenerator
from stvit_video.tokens.token_set import Places, TokenSet


@contextmanager
def attended_places() -> Iterator[None]:
    """Place semantic tokens so while the block runs, for scope `clip`."""
    looked: list[Tensor] = []  # (B, S, 3), once the first layer has run
    tell, run, make = generator._tell_layer, Block.forward, SemanticTokenGenerator.forward

    def tell_layer(places: Places | None, *, is_first: bool) -> dict[str, Places]:
        if places is None or is_first:
            return tell(places, is_first=is_first)
        keys = places.keys.expand(len(looked[0]), -1, -1)
        return tell(Places(looked[0], keys), is_first=False)

    def forward(self: Block, tokens: Tensor, *args: object, **options: object) -> Tensor:
        context, where = options.get("context"), options.get("places")
        if isinstance(context, Tensor) and isinstance(where, Places) and not looked:
            weights = self.attention_weights(tokens, context, None, where)  # (B, S, N)
            looked.append(weights @ where.keys)
        return run(self, tokens, *args, **options)  # type: ignore[arg-type]

    def cluster(
        self: SemanticTokenGenerator, state: TokenSet, *args: object
    ) -> tuple[TokenSet, object]:
        looked.clear()
        made, clusters = make(self, state, *args)  # type: ignore[arg-type]
        return (made._replace(places=looked[0]) if looked else made), clusters

    with (
        mock.patch.object(generator, "_tell_layer", tell_layer),
        mock.patch.object(Block, "forward", forward),
        mock.patch.object(SemanticTokenGenerator, "forward", cluster),
    ):
        yield

"""Run a network with a reducer in its blocks, attention still fused.

Legend: B clips, P class tokens (0 or 1), N patch tokens, S tokens at the end, L most tokens that a
clip of the batch keeps, D width, h heads, d width of one head.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stvit_video.errors import ConfigError
from stvit_video.models.layers.embed import check_clip
from stvit_video.models.network.stages import Run
from stvit_video.models.network.video_model import VideoModel
from stvit_video.settings.grammar import ReducerConfig
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.reducers.reducer import AttentionInputs, Reducer, gather_tokens
from stvit_video.tokens.reducers.run_length import changed_tubelets, find_runs
from stvit_video.tokens.reducers.table import build_reducers
from stvit_video.tokens.token_set import TokenSet, flat_grid, tell_places


class ReductionStage(nn.Module):
    """Runs blocks and, in some of them, a reduction between attention and MLP.

    A block runs its own forward; the reduction is handed to it.

    Where a method tracks sizes, attention is proportional: log(size) is added for every key.
    """

    def __init__(self, reducers: dict[int, Reducer]) -> None:
        super().__init__()
        self.reducers = nn.ModuleDict({str(block): step for block, step in reducers.items()})

    def forward(self, state: TokenSet, blocks: Sequence[nn.Module]) -> TokenSet:
        """Run: (B, P + N, D) -> (B, P + S, D)."""
        for number, block in enumerate(blocks):
            state = self._run(block, state, str(number))
        return state

    def assignments(self, state: TokenSet, blocks: Sequence[nn.Module]) -> Tensor:
        """Say which patches each token at the end stands for: (B, P + N, D) -> shares (B, S, N).

        Every step does with marks of the patches what it does with places.
        """
        num_clips, num_tokens = state.tokens.shape[0], state.grid.size
        own = torch.eye(num_tokens, device=state.tokens.device).expand(num_clips, -1, -1)
        marks = [own]  # (B, tokens that are left, N) each

        def follow(step: nn.Module, given: tuple[TokenSet, AttentionInputs], _: TokenSet) -> None:
            moved = step.forward(given[0]._replace(places=marks[-1]), given[1])
            marks.append(cast(Tensor, moved.places))

        hooks = [step.register_forward_hook(follow) for step in self.reducers.values()]
        try:
            self(state, blocks)
        finally:
            for hook in hooks:
                hook.remove()
        return marks[-1]

    def _run(self, block: nn.Module, state: TokenSet, number: str) -> TokenSet:
        bias = state.key_bias()
        if number not in self.reducers:
            return state._replace(tokens=block(state.tokens, mask=bias, **state.where()))
        reducer = cast(Reducer, self.reducers[number])
        if state.grid.size < reducer.least_tokens:
            raise ConfigError(
                f"the reduction in block {int(number) + 1} needs {reducer.least_tokens} tokens, but"
                f" this clip has {state.grid.size} there; give a larger clip or keep fewer"
            )
        reduced: list[TokenSet] = []

        def reduce(tokens: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
            inputs = AttentionInputs(queries, keys)
            reduced.append(reducer(state._replace(tokens=tokens), inputs))
            return reduced[0].tokens

        tokens = block(state.tokens, mask=bias, reduce=reduce, **state.where())
        return reduced[0]._replace(tokens=tokens)


class RunLengthTransformer(VideoModel):
    """Drops tubelets that repeat the one before them; counts differ between clips.

    Clips of a batch are filled up to the longest, and fillers are masked out of the attention.
    """

    can_read_layers = False

    def __init__(self, *, threshold: float, **network: Any) -> None:
        super().__init__(**network)
        self.threshold = threshold

    def forward_tokens(self, clip: Tensor) -> TokenSet:
        """Run: clip (B, C, T, H, W) -> tokens (B, P + L, D); fillers have size 0."""
        runs = find_runs(self._changed(clip))
        state = TokenSet(*self.embed(clip))
        cls, patches = state.split()
        tokens = torch.cat([cls, gather_tokens(patches, runs.token)], dim=1)  # (B, P + L, D)
        places = state.move_places(lambda places: gather_tokens(places, runs.token))
        is_token = runs.length > 0  # (B, L)
        mask = F.pad(is_token, (cls.shape[1], 0), value=True)[:, None, None]  # (B, 1, 1, P + L)
        for block in self.blocks_of(range(len(self.blocks))):
            tokens = block(tokens, mask=mask, **tell_places(places, places))
        size = mask[:, 0].mT.to(tokens.dtype)
        return TokenSet(tokens, flat_grid(is_token.shape[1]), size, places)

    def forward_assignments(self, clip: Tensor) -> Tensor:
        """Show which tubelets each token stands for: (B, C, T, H, W) -> shares (B, L, t, h, w)."""
        changed = self._changed(clip)  # (B, t, h, w)
        number = changed.flatten(1).cumsum(dim=1).unflatten(1, changed.shape[1:]) - 1
        owner = number.where(changed, -1).cummax(dim=1).values  # of the run that lasts
        token = torch.arange(int(owner.max()) + 1, device=clip.device)[:, None, None, None]
        member = (owner[:, None] == token).float()  # (B, L, t, h, w)
        return member / member.sum(dim=(2, 3, 4), keepdim=True).clamp(min=1)

    def count_tokens(self, clip: Tensor) -> Tensor:
        """Count the patch tokens that each clip keeps: (B, C, T, H, W) -> (B,)."""
        return self._changed(clip).flatten(1).sum(dim=1)

    def _changed(self, clip: Tensor) -> Tensor:
        size = self.embed.patch.tubelet_size
        check_clip(clip, self.embed.patch.num_channels)
        self.embed.patch.grid(*clip.shape[2:])  # refuses clips that cannot be cut
        return changed_tubelets(clip, tubelet_size=size, threshold=self.threshold)


def plan_reduction(
    setting: ReducerConfig, *, depth: int, grid: Grid, num_class_tokens: int
) -> list[Run]:
    """Lay a reducer over all `depth` blocks.

    Raises:
        ConfigError: the setting does not fit the network.
    """
    reducers = build_reducers(setting, depth=depth, grid=grid, num_class_tokens=num_class_tokens)
    return [Run(ReductionStage(reducers), range(depth))]

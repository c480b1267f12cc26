"""Colours of tokens: few, so that the colour-blind tell them apart, and others for neighbours.

Legend: H W pixels, S tokens, K time steps, (h, w) patch grid.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

PALETTE = np.array(
    [
        (0xFF, 0xFF, 0xFF),
        (0xE6, 0x9F, 0x00),
        (0x56, 0xB4, 0xE9),
        (0x00, 0x9E, 0x73),
        (0xF0, 0xE4, 0x42),
        (0x00, 0x72, 0xB2),
        (0xD5, 0x5E, 0x00),
        (0xCC, 0x79, 0xA7),
    ],
    dtype=np.uint8,
)
"""Of Okabe and Ito, "Color Universal Design" (2008), with white where they have black. Any two are
at least 16 apart in CIELAB (1976), as they are and as protanopes, deuteranopes and tritanopes see
them (Machado et al. 2009); 2.3 is what one just sees. White, which lets most
of a picture through, comes first: the token that touches most others, often the background, takes
it."""

FAINTEST, STRONGEST = 0.35, 0.7
"""Share of the colour in a patch that its token hardly reads, and in the one it reads most."""
_BORDER = 25
"""Grey level of the lines between tokens."""
_SIDE_BY_SIDE = 1000
"""Weight of a border in a frame, against that of a patch that changes its token."""


def find_owners(
    assignments: NDArray[np.float32],
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Say which token a patch belongs to: weights (S, t, h, w) -> owner, strength (t, h, w).

    The owner reads the patch most; -1 is a patch that no token reads. Strength, in 0..1, is its
    weight against the largest of the owner: so the patches of a mean are all as strong, however
    many there are.
    """
    owner = assignments.argmax(axis=0)
    weight = assignments.max(axis=0)
    strength = weight / assignments.max(axis=(1, 2, 3)).clip(1e-12)[owner]
    return np.where(weight > 0, owner, -1).astype(np.int32), strength.astype(np.float32)


def choose_colours(owner: NDArray[np.int32], num_tokens: int) -> NDArray[np.uint8]:
    """Give every token a colour of `PALETTE`, for all steps: owner (K, h, w) -> numbers (S,).

    Tokens that touch in a frame get different ones as long as there are any, then those that
    follow each other in a patch. The token with the most colours around it chooses next (DSATUR);
    where every colour is taken, it takes the one that it touches least, and a line parts the two.
    """
    around = _neighbours(owner, num_tokens)
    colours = np.full(num_tokens, -1)
    near = np.zeros((num_tokens, len(PALETTE)))  # weight of each colour around each token
    degree = np.array([met.total() for met in around])
    used = np.zeros(len(PALETTE))
    for _ in range(num_tokens):
        hardness = (near >= _SIDE_BY_SIDE).sum(axis=1) + degree / (degree.max() + 1)
        token = int(np.where(colours < 0, hardness, -1).argmax())
        colour = int(np.lexsort((used, near[token]))[0])
        colours[token] = colour
        used[colour] += 1
        for other, weight in around[token].items():
            near[other, colour] += weight
    return colours.astype(np.uint8)


def paint(
    frame: NDArray[np.uint8],
    owner: NDArray[np.int32],
    strength: NDArray[np.float32],
    colours: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Mix a frame (H, W, 3), made grey, with the colours (S, 3) of its pixels' tokens (H, W).

    A dark line parts tokens; a pixel of no token (-1) stays grey.
    """
    alpha = FAINTEST + (STRONGEST - FAINTEST) * strength
    alpha = np.where(owner < 0, 0, alpha)[..., None]  # (H, W, 1)
    grey = frame.mean(axis=-1, keepdims=True, dtype=np.float32)
    mixed = grey * (1 - alpha) + colours[owner] * alpha
    is_border = np.zeros(owner.shape, bool)
    is_border[:, 1:] |= owner[:, 1:] != owner[:, :-1]
    is_border[1:] |= owner[1:] != owner[:-1]
    return np.where(is_border[..., None], _BORDER, mixed).round().astype(np.uint8)


def _neighbours(owner: NDArray[np.int32], num_tokens: int) -> list[Counter[int]]:
    """Count how long tokens touch: for each token, its neighbours and their weights."""
    around: list[Counter[int]] = [Counter() for _ in range(num_tokens)]
    sides = [(owner[:, :, 1:], owner[:, :, :-1]), (owner[:, 1:], owner[:, :-1])]
    pairs = [(*side, _SIDE_BY_SIDE) for side in sides] + [(owner[1:], owner[:-1], 1)]
    for a, b, weight in pairs:
        met = np.stack([a[a != b], b[a != b]], axis=1)
        met, counts = np.unique(met[(met >= 0).all(axis=1)], axis=0, return_counts=True)
        for (one, other), count in zip(met.tolist(), (counts * weight).tolist(), strict=True):
            around[one][other] += count
            around[other][one] += count
    return around

"""Tubes: the patches of a token, followed through time.

A token lives in one window, or in a stretch of it. Where that ends, the tokens that follow go on
with those that they overlap most, so that a thing keeps its number and colour.

Legend: W windows, t time steps of a window, K steps in all, (h, w) patch grid.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment


def link_tubes(steps: Sequence[tuple[int, NDArray[np.int32]]]) -> NDArray[np.int32]:
    """Number the tubes: K times a window and its owners (h, w) -> tube of each patch (K, h, w).

    Patches that no token reads are -1 in both. Tubes are numbered as they appear, from 0.
    """
    tubes = np.full((len(steps), *steps[0][1].shape), -1, np.int32)
    last_seen = {
        (window, int(token)): k
        for k, (window, owner) in enumerate(steps)
        for token in np.unique(owner)
    }
    number_of: dict[int, int] = {}  # token of this window -> tube
    num_tubes, current = 0, steps[0][0]
    for k, (window, owner) in enumerate(steps):
        if window != current:
            number_of, current = {}, window
        tokens = [int(token) for token in np.unique(owner) if token >= 0]
        new = [token for token in tokens if token not in number_of]
        if k and new:
            taken = {tube for own, tube in number_of.items() if last_seen[window, own] >= k}
            number_of |= _go_on(tubes[k - 1], owner, new, taken)
        for token in new:
            if token not in number_of:
                number_of[token] = num_tubes
                num_tubes += 1
        table = np.full(owner.max() + 2, -1, np.int32)  # the last is of -1
        table[tokens] = [number_of[token] for token in tokens]
        tubes[k] = table[owner]
    return tubes


def _go_on(
    before: NDArray[np.int32], owner: NDArray[np.int32], tokens: list[int], taken: set[int]
) -> dict[int, int]:
    """Match tokens with tubes of the step before by the patches that they share, most in all."""
    free = [int(tube) for tube in np.unique(before) if tube >= 0 and tube not in taken]
    if not free:
        return {}
    is_met = np.isin(owner, tokens) & np.isin(before, free)
    shared = np.zeros((len(tokens), len(free)), np.int64)
    places = np.searchsorted(tokens, owner[is_met]), np.searchsorted(free, before[is_met])
    np.add.at(shared, places, 1)
    rows, columns = linear_sum_assignment(shared, maximize=True)
    return {
        tokens[row]: free[column]
        for row, column in zip(rows, columns, strict=True)
        if shared[row, column]
    }

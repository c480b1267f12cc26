"""Narrow rows, so that detectors are built and run in a moment."""

from dataclasses import replace

import pytest

from stvit_video.models.registry import VARIANTS

SWIN = "swin_tiny_patch4_window7_224"
STVIT_R = "stvit_r_swin_small_patch4_window7_800"
PLAIN = "deit_tiny_patch16_224"


@pytest.fixture(autouse=True)
def narrow_rows(monkeypatch):
    """Keep the names of the rows, with few and narrow blocks below them."""
    sizes = {"dim": 8, "num_heads": (1, 2, 4, 8)}
    for name in (SWIN, STVIT_R, "stvit_r_swin_small_patch4_window7_224"):
        row = replace(VARIANTS[name], depths=(1, 1, 6, 1), **sizes)
        monkeypatch.setitem(VARIANTS, name, row)
    row = VARIANTS[PLAIN]
    monkeypatch.setitem(VARIANTS, PLAIN, replace(row, dim=16, depth=4, num_heads=2))

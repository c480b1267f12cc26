"""What CONTRIBUTING says of adding things: so many rows, and they work from the public door."""

from dataclasses import replace

import pytest
import torch

import stvit_video
from stvit_video.cli import main
from stvit_video.datasets.layouts import table as layouts
from stvit_video.datasets.layouts.annotations import AnnotatedVideo, AnnotatedVideos
from stvit_video.datasets.manifest import read_manifest
from stvit_video.models import registry
from stvit_video.settings import grammar
from stvit_video.tokens.reducers import table as reducers
from stvit_video.tokens.reducers.reducer import Reducer, TokenSet, flat_grid
from stvit_video.video.decoding import open as decoders
from stvit_video.video.decoding.pyav import PyavDecoder

SMALL = {"num_classes": 3, "num_frames": 4, "image_size": 32}


class FirstTokens(Reducer):
    """Keeps the first tokens."""

    def __init__(self, num_kept):
        super().__init__()
        self.num_kept = num_kept

    def forward(self, state, attention):
        return TokenSet(state.tokens[:, : self.num_kept], flat_grid(self.num_kept), None)


def test_a_model_is_a_row(monkeypatch):
    row = replace(registry.VARIANTS["demo_tiny"], depth=3)
    monkeypatch.setitem(registry.VARIANTS, "demo_shallow", row)
    model = stvit_video.create_model("demo_shallow", semantic="2x2x2@1", **SMALL)
    assert len(model.blocks) == 3
    assert "demo_shallow" in stvit_video.list_models("demo*")


def test_a_reducer_is_its_options_and_its_step(monkeypatch):
    monkeypatch.setitem(grammar.REDUCERS, "first", {"keep": "", "block": "4"})
    monkeypatch.setitem(
        reducers.STEPS, "first", lambda setting, grid, n: FirstTokens(int(setting.options["keep"]))
    )
    model = stvit_video.create_model("demo_tiny", reduction="first:keep=5,block=2", **SMALL)
    tokens, grid = model.forward_tokens(torch.randn(2, 3, 4, 32, 32))
    assert (tokens.shape, grid.size) == ((2, 5, 96), 5)


def test_a_decoder_is_a_row(monkeypatch, counting_video):
    monkeypatch.setitem(decoders.BACKENDS, "mine", PyavDecoder)
    frames = stvit_video.read_frames(counting_video, [3, 1], backend="mine")
    assert frames[:, 0, 0, 0].tolist() == [30, 10]


def test_a_data_set_is_a_row(monkeypatch, counting_video, tmp_path):
    def find(source):
        videos = (AnnotatedVideo("one", 1, source.root / counting_video.name),)
        return AnnotatedVideos(videos, ("left", "right"))

    monkeypatch.setitem(layouts.LAYOUTS, "list", find)
    output = tmp_path / "videos.csv"
    root = counting_video.parent
    assert main(["data", "manifest", "list", str(root), "--output", str(output)]) == 0
    manifest = read_manifest(output)
    assert [record.label for record in manifest.records] == [1]
    assert manifest.class_names == ("left", "right")


@pytest.mark.parametrize("name", ["vit", "videomae", "timesformer", "vivit", "swin"])
def test_a_family_is_one_row_of_the_registry(name):
    rows = getattr(registry, name).VARIANTS
    assert rows.items() <= registry.VARIANTS.items()

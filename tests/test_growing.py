"""What CONTRIBUTING says of adding things: so many rows, and they work from the public door."""

from dataclasses import dataclass, field, fields, make_dataclass, replace
from typing import get_args

import pytest
import torch
from safetensors.torch import save_file

import stvit_video
from stvit_video.cli import main
from stvit_video.commands.train import train_
from stvit_video.datasets.layouts import table as layouts
from stvit_video.datasets.layouts.annotations import AnnotatedVideo, AnnotatedVideos
from stvit_video.datasets.manifest import read_manifest
from stvit_video.errors import ConfigError
from stvit_video.models import registry
from stvit_video.models.families.vit.variant import VitVariant
from stvit_video.models.layers.blocks import Block
from stvit_video.settings import grammar
from stvit_video.settings.bounds import Count
from stvit_video.settings.data import Backend, Layout
from stvit_video.settings.training import TrainConfig
from stvit_video.tokens.reducers import table as reducers
from stvit_video.tokens.reducers.reducer import Reducer
from stvit_video.tokens.token_set import TokenSet, flat_grid
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


class HalfBlock(Block):
    """Adds half of what a plain block adds."""

    def forward(self, tokens, *arguments, **options):
        return (tokens + super().forward(tokens, *arguments, **options)) / 2


@dataclass(frozen=True, kw_only=True)
class HalfVariant(VitVariant):
    """A family of its own: other blocks, other names of published weights."""

    def _block(self, drop_path):
        return HalfBlock(self.dim, num_heads=self.num_heads, mlp_ratio=self.mlp_ratio)


def without_prefix(weights):
    return {key.removeprefix("half."): value for key, value in weights.items()}


def test_a_model_is_a_row(monkeypatch):
    row = replace(registry.VARIANTS["demo_tiny"], depth=3)
    monkeypatch.setitem(registry.VARIANTS, "demo_shallow", row)
    model = stvit_video.create_model("demo_shallow", semantic="2x2x2@1", **SMALL)
    assert len(model.blocks) == 3
    assert "demo_shallow" in stvit_video.list_models("demo*")


def test_a_family_is_its_rows_and_its_names_of_weights(monkeypatch, tmp_path):
    plain = registry.VARIANTS["demo_tiny"]
    sizes = {field.name: getattr(plain, field.name) for field in fields(plain)}
    row = HalfVariant(**sizes | {"rename": without_prefix})
    monkeypatch.setitem(registry.VARIANTS, "half_tiny", row)
    model = stvit_video.create_model("half_tiny", **SMALL).eval()
    path = tmp_path / "half.safetensors"
    save_file({f"half.{key}": value for key, value in model.state_dict().items()}, path)
    clip = torch.randn(2, 3, 4, 32, 32)
    again = stvit_video.create_model("half_tiny", pretrained=path, **SMALL).eval()
    assert torch.equal(again(clip), model(clip))
    clustered = stvit_video.sparsify(model, "2x2x2@1,centers=grid")
    assert clustered.forward_features(clip).shape == (2, 96, 2, 2, 2)
    assert type(clustered.blocks[5]) is HalfBlock


@pytest.mark.parametrize("name", ["vit", "videomae", "timesformer", "vivit", "swin"])
def test_a_family_is_one_row_of_the_registry(name):
    rows = getattr(registry, name).VARIANTS
    assert rows.items() <= registry.VARIANTS.items()


def test_a_reducer_is_its_options_and_its_step(monkeypatch):
    monkeypatch.setitem(grammar.REDUCERS, "first", {"tokens": "", "block": "4"})
    monkeypatch.setitem(
        reducers.STEPS,
        "first",
        lambda setting, grid, n: FirstTokens(int(setting.options["tokens"])),
    )
    model = stvit_video.create_model("demo_tiny", reduction="first:tokens=5,block=2", **SMALL)
    tokens, grid, *_ = model.forward_tokens(torch.randn(2, 3, 4, 32, 32))
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


def test_every_layout_and_decoder_that_settings_name_has_a_row():
    assert tuple(layouts.LAYOUTS) == get_args(Layout)
    assert {"auto", *decoders.BACKENDS} == set(get_args(Backend))


def test_a_training_option_is_a_field(monkeypatch, capsys, class_folder_root, tmp_path):
    option = [("patience", Count, field(default=3))]
    settings = make_dataclass("Settings", option, bases=(TrainConfig,), frozen=True, kw_only=True)
    monkeypatch.setitem(train_.__annotations__, "train", settings)
    monkeypatch.setitem(train_.__kwdefaults__, "train", settings())
    runs = []

    def run_training(run, *folder, **how):
        runs.append(run)
        raise ConfigError("seen")

    monkeypatch.setattr("stvit_video.training.run.run_training", run_training)
    words = ["train", "--model.name", "demo_tiny", "--data.train", str(class_folder_root)]
    words += ["--output_dir", str(tmp_path / "run"), "--train.patience"]
    assert main([*words, "7"]) == 2
    assert runs[0].train.patience == 7
    capsys.readouterr()
    assert main([*words, "0"]) == 2
    assert "train.patience (0) must be at least 1" in capsys.readouterr().err

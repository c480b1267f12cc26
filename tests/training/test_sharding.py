"""FSDP2 and activation checkpointing change no number: every reducer, semantic stage and family."""

import copy
import dataclasses

import pytest
import torch
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import (
    apply_activation_checkpointing,
)

from stvit_video.models.registry import VARIANTS, create_model
from stvit_video.settings.grammar import REDUCERS
from stvit_video.training.strategy import shard

REDUCED = [
    ("demo_tiny", {"reduction": "tome:r=5"}),
    ("demo_tiny", {"reduction": "tome:r=5,schedule=decreasing", "class_token": True}),
    ("demo_tiny", {"reduction": "random:keep=11,block=2"}),
    ("demo_tiny", {"reduction": "average:grid=2x2x2,block=3"}),
    ("demo_tiny", {"reduction": "evit:keep=0.5,block=2+4", "class_token": True}),
    ("demo_tiny", {"reduction": "dpcknn:keep=11,block=2"}),
    ("demo_tiny", {"reduction": "atc:keep=0.4,block=2+3"}),
    ("demo_tiny", {"reduction": "rlt:threshold=0.3"}),
]
CLUSTERED = [
    ("demo_tiny", {}),
    ("demo_tiny", {"semantic": "2x2x2@1"}),
    ("demo_tiny", {"semantic": "2x2x2@1,pool=learned,scope=tube", "class_token": True}),
    ("demo_tiny", {"semantic": "5@1"}),
    ("demo_tiny", {"semantic": "5@1,layers=1"}),
    ("demo_tiny", {"semantic": "2x2x2@1-4", "attentive_blocks": 2}),
    ("demo_tiny", {"semantic": "5@1-4,recovery=nearest"}),
    ("timesformer_base_patch16_224", {"semantic": "4x1x2@1"}),
    ("vivit_base_fe_patch16x2_224", {"semantic": "2x1x2@1,scope=frame"}),
    ("video_swin_tiny_patch2x4x4_224", {"semantic": "1x1x1@1"}),
    ("vjepa2_large_patch16_256", {"reduction": "tome:r=3"}),
    ("internvideo2_base_patch14_224", {"semantic": "5@1"}),
]
SOME = [REDUCED[0], *CLUSTERED[1:4], CLUSTERED[9]]
SMALL = {"dim": 24, "depth": 4, "num_heads": 3}
SIZES = {
    "demo_tiny": SMALL,
    "timesformer_base_patch16_224": SMALL,
    "vivit_base_fe_patch16x2_224": SMALL | {"temporal_depth": 2},
    "video_swin_tiny_patch2x4x4_224": {
        "dim": 12,
        "depths": (1, 1, 3, 1),
        "num_heads": (1, 1, 2, 2),
    },
    "vjepa2_large_patch16_256": SMALL,
    "internvideo2_base_patch14_224": SMALL | {"tubelet_size": (1, 8, 8), "reader_heads": 4},
}


def small(monkeypatch, name, options):
    monkeypatch.setitem(VARIANTS, "small", dataclasses.replace(VARIANTS[name], **SIZES[name]))
    return made(options)


def made(options):
    torch.manual_seed(0)
    size = {"num_classes": 3, "num_frames": 4, "image_size": 32}
    return create_model("small", **size, **options).train()


def gradients(model, seed=1):
    """Loss, and the gradient of every weight by name, of two clips."""
    torch.manual_seed(seed)
    clip = torch.randn(2, 3, 4, 32, 32)
    loss = model(clip).square().sum()
    loss.backward()
    return loss.detach(), {
        name.replace("_checkpoint_wrapped_module.", ""): parameter.grad
        for name, parameter in model.named_parameters()
    }


def assert_same(model, plain):
    loss, found = gradients(model)
    wanted_loss, wanted = gradients(plain)
    assert found.keys() == wanted.keys()
    assert loss > 0
    torch.testing.assert_close(loss, wanted_loss)
    for name, gradient in found.items():
        whole = getattr(gradient, "full_tensor", lambda same=gradient: same)()
        torch.testing.assert_close(whole, wanted[name], rtol=1e-5, atol=1e-6)


def train_half(rank, store, settings):
    """Train settings on a clip of this process, its weights spread over two of them."""
    torch.distributed.init_process_group(
        "gloo", store=torch.distributed.FileStore(store, 2), rank=rank, world_size=2
    )
    mesh = torch.distributed.init_device_mesh("cpu", (2,))
    for name, options in settings:
        VARIANTS["small"] = dataclasses.replace(VARIANTS[name], **SIZES[name])
        model = made(options)
        plain = copy.deepcopy(model)
        shard(model, mesh, in_bfloat16=False)
        _, found = gradients(model, seed=rank)
        _, wanted = gradients(plain, seed=0)
        wanted = {key: value.clone() for key, value in wanted.items()}
        plain.zero_grad()
        _, others = gradients(plain, seed=1)
        for key, gradient in found.items():
            mean = (wanted[key] + others[key]) / 2
            assert gradient.to_local().numel() < gradient.numel() or gradient.shape[0] == 1, key
            torch.testing.assert_close(
                gradient.full_tensor(), mean, rtol=1e-5, atol=1e-5, msg=f"{options} {key}"
            )
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    "settings", [SOME, pytest.param(REDUCED + CLUSTERED, marks=pytest.mark.slow)], ids=len
)
def test_two_processes_share_weights_and_average_gradients(settings, tmp_path):
    torch.multiprocessing.spawn(train_half, (str(tmp_path / "store"), settings), nprocs=2)


def compute_again(model):
    apply_activation_checkpointing(model, check_fn=lambda module: module in set(model.blocks))


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    store = torch.distributed.FileStore(str(tmp_path_factory.mktemp("store") / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield torch.distributed.init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(("name", "options"), REDUCED + CLUSTERED, ids=str)
def test_blocks_that_are_sharded_train_as_whole_ones(monkeypatch, mesh, name, options):
    """FSDP gathers the weights of a block when the block is called, and not before."""
    model = small(monkeypatch, name, options)
    plain = copy.deepcopy(model)
    shard(model, mesh, in_bfloat16=False)
    assert all(hasattr(parameter, "full_tensor") for parameter in model.parameters())
    assert_same(model, plain)


@pytest.mark.parametrize(("name", "options"), REDUCED + CLUSTERED, ids=str)
def test_blocks_that_compute_again_give_the_same_gradients(monkeypatch, name, options):
    model = small(monkeypatch, name, options)
    ours, theirs = copy.deepcopy(model), copy.deepcopy(model)
    ours.set_grad_checkpointing()
    compute_again(theirs)
    assert_same(ours, model)
    model.zero_grad()
    assert_same(theirs, model)


@pytest.mark.parametrize("by_torch", [False, True])
@pytest.mark.parametrize("options", [REDUCED[0][1], REDUCED[2][1], {"semantic": "5@1"}], ids=str)
def test_sharded_blocks_compute_again(monkeypatch, mesh, options, by_torch):
    model = small(monkeypatch, "demo_tiny", options)
    plain = copy.deepcopy(model)
    compute_again(model) if by_torch else model.set_grad_checkpointing()
    shard(model, mesh, in_bfloat16=False)
    assert_same(model, plain)


def test_every_reducer_is_tried():
    assert {options["reduction"].partition(":")[0] for _, options in REDUCED} == set(REDUCERS)

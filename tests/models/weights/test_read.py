import argparse
import os
import pickle
import sys
import types
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stvit_video.errors import CheckpointError
from stvit_video.models.weights.read import read_shards, read_weights


class _RunsCode:
    def __reduce__(self):
        return os.system, ("touch RAN",)


@pytest.mark.parametrize("entry", ["model_state", "model", "module", "state_dict"])
def test_weights_are_found_beside_what_training_scripts_save(tmp_path, entry):
    path = tmp_path / "checkpoint.pth"
    content = {
        "epoch": 3,
        "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}},
        "args": argparse.Namespace(lr=0.1),
        "max_accuracy": np.float64(80.5),
        entry: OrderedDict(a=torch.arange(3.0), epoch=7),
    }
    torch.save(content, path)
    weights = read_weights(path)
    assert list(weights) == ["a"]
    assert torch.equal(weights["a"], torch.arange(3.0))


def test_settings_of_another_project_need_none_of_its_code(tmp_path, monkeypatch):
    module = types.ModuleType("yacs.config")
    module.CfgNode = type("CfgNode", (dict,), {"__module__": "yacs.config"})
    path = tmp_path / "checkpoint.pth"
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "yacs.config", module)
        settings = module.CfgNode(lr=0.1)
        settings.__dict__["frozen"] = True
        torch.save({"model": {"a": torch.ones(2)}, "config": settings}, path)
    assert list(read_weights(path)) == ["a"]


def test_shards_are_put_together(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "1.safetensors")
    save_file({"b": torch.zeros(3)}, tmp_path / "2.safetensors")
    weights = read_shards((tmp_path / "1.safetensors", tmp_path / "2.safetensors"))
    assert {key: value.tolist() for key, value in weights.items()} == {
        "a": [1, 1],
        "b": [0, 0, 0],
    }


@pytest.mark.parametrize("kind", ["archive", "plain pickle", "pickle protocol 2"])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pth"
    if kind == "archive":
        torch.save({"model": {"a": torch.ones(2)}, "hook": _RunsCode()}, path)
    else:
        path.write_bytes(pickle.dumps(_RunsCode(), protocol=2 if "2" in kind else 4))
    with pytest.raises(CheckpointError) as caught:
        read_weights(path)
    assert str(caught.value) == (
        f"{path} asks to run {os.name}.system while it is read; only tensors and plain values are"
        " accepted: get the weights as safetensors, or a file of the state dict alone"
    )
    assert not (tmp_path / "RAN").exists()


def test_a_whole_network_in_a_pickle_is_refused(tmp_path):
    path = tmp_path / "network.pth"
    torch.save(torch.nn.Linear(2, 3), path)
    with pytest.raises(CheckpointError, match=r"asks to run torch\.nn\.modules\.linear\.Linear"):
        read_weights(path)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("name", ["a.safetensors", "a.pth", "legacy.pth"])
def test_a_truncated_file_is_an_error_that_gives_its_size(tmp_path, name, share):
    whole, path = tmp_path / f"whole_{name}", tmp_path / name
    weights = {"a": torch.rand(70, 11)}
    if name.endswith("safetensors"):
        save_file(weights, whole)
    else:
        torch.save(weights, whole, _use_new_zipfile_serialization=name == "a.pth")
    content = whole.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError) as caught:
        read_weights(path)
    size = path.stat().st_size
    assert str(caught.value) == (
        f"{path} ({size} bytes) is truncated or no checkpoint; download it again"
    )
    assert read_weights(whole).keys() == {"a"}


def test_text_is_no_checkpoint(tmp_path):
    path = tmp_path / "readme.bin"
    path.write_text("404: not found")
    with pytest.raises(CheckpointError, match=r"\(14 bytes\) is truncated or no checkpoint"):
        read_weights(path)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ([1, 2], "holds list, not weights by name"),
        ({"epoch": 3}, "holds no tensors; is it a checkpoint?"),
    ],
)
def test_a_file_without_weights_says_so(tmp_path, content, fault):
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError) as caught:
        read_weights(path)
    assert str(caught.value) == f"{path} {fault}"


RAW_AND_EMA = {"model": {"a": torch.zeros(2)}, "model_ema": {"a": torch.ones(2)}, "epoch": 3}


def test_of_several_entries_one_is_read_and_the_others_are_named(tmp_path, caplog):
    path = tmp_path / "checkpoint.pth"
    torch.save(RAW_AND_EMA, path)
    assert read_weights(path)["a"].sum() == 0
    assert caplog.messages == [
        f"{path} holds weights in model, model_ema: model is read; pretrained_entry chooses another"
    ]
    caplog.clear()
    assert read_weights(path, "model_ema")["a"].sum() == 2
    assert read_weights(path, "model")["a"].sum() == 0
    assert caplog.messages == []


def test_an_entry_is_opened_to_its_weights(tmp_path):
    path = tmp_path / "checkpoint.pth"
    torch.save({"state_dict_ema": {"module": {"a": torch.ones(2)}}, "state_dict": {}}, path)
    assert read_weights(path, "state_dict_ema").keys() == {"a"}


@pytest.mark.parametrize(
    ("content", "known"),
    [
        (RAW_AND_EMA, "it has model, model_ema"),
        ({"a": torch.ones(2)}, "its weights are in none; leave it out"),
        ([1], "its weights are in none; leave it out"),
    ],
)
def test_an_entry_that_is_not_there_is_refused(tmp_path, content, known):
    path = tmp_path / "checkpoint.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError) as caught:
        read_weights(path, "ema")
    assert str(caught.value) == f"{path} has no entry 'ema' (pretrained_entry); {known}"


def test_safetensors_have_no_entries(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(2)}, path)
    with pytest.raises(CheckpointError, match=r"no entry 'model_ema' .*; its weights are in none"):
        read_weights(path, "model_ema")


def test_a_file_of_flax_is_named(tmp_path):
    path = tmp_path / "vivit.npz"
    np.savez(path, kernel=np.ones(3))
    with pytest.raises(CheckpointError) as caught:
        read_weights(path)
    assert str(caught.value) == (
        f"{path} is a file of NumPy arrays, as JAX and Flax write for ViT and ViViT, which is not"
        " read; give the same weights as PyTorch has them: a folder of HF transformers with"
        " safetensors, such as google/vivit-b-16x2-kinetics400, or what its conversion script of"
        " the model writes"
    )

import json

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from stvit_video.errors import CheckpointError
from stvit_video.models.weights.files import find_files


def _touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("{}")


def test_a_file_is_itself(tmp_path):
    _touch(tmp_path, "best.pyth", "config.json")
    files = find_files(tmp_path / "best.pyth")
    assert files.weights == (tmp_path / "best.pyth",)
    assert files.folder == tmp_path


def test_a_folder_prefers_safetensors(tmp_path):
    _touch(tmp_path, "pytorch_model.bin", "model.safetensors", "config.json")
    assert find_files(tmp_path).weights == (tmp_path / "model.safetensors",)


def test_a_folder_with_one_file_of_any_name_is_clear(tmp_path):
    _touch(tmp_path, "TimeSformer_divST_8x32_224_K400.pyth", "notes.txt")
    assert find_files(tmp_path).weights[0].name == "TimeSformer_divST_8x32_224_K400.pyth"


def test_all_shards_are_found_from_their_index(tmp_path):
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    _touch(tmp_path, *shards)
    index = {"weight_map": {"a": shards[1], "b": shards[0], "c": shards[1]}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert [path.name for path in find_files(tmp_path).weights] == shards
    (tmp_path / shards[1]).unlink()
    with pytest.raises(CheckpointError) as caught:
        find_files(tmp_path)
    path = tmp_path / "model.safetensors.index.json"
    assert str(caught.value) == f"{path} names {shards[1]}, which is not there; download it"


def test_a_broken_index_is_an_error(tmp_path):
    (tmp_path / "pytorch_model.bin.index.json").write_text('{"weights": 1}')
    with pytest.raises(CheckpointError, match=r"index\.json is no list of shards; download it"):
        find_files(tmp_path)


@pytest.mark.parametrize("source", ["weights/none.pth", "nowhere", "a/b/c", "-x/y"])
def test_what_is_not_there_is_an_error_that_says_what_can_be_given(source):
    with pytest.raises(CheckpointError) as caught:
        find_files(source)
    assert str(caught.value) == (
        f"{source} does not exist; give a file, a folder or a hub id such as"
        " MCG-NJU/videomae-base-finetuned-kinetics"
    )


def test_a_folder_without_weights_is_an_error(tmp_path):
    with pytest.raises(CheckpointError) as caught:
        find_files(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} holds no weights: no model.safetensors or pytorch_model.bin"
    )


def test_a_folder_with_several_files_wants_one_named(tmp_path):
    _touch(tmp_path, "b.pth", "a.pth")
    with pytest.raises(CheckpointError) as caught:
        find_files(tmp_path)
    assert str(caught.value) == f"{tmp_path} holds 2 weight files (a.pth, b.pth); name one"


def test_a_hub_id_is_fetched_without_pickles_where_there_are_safetensors(tmp_path, monkeypatch):
    asked = []

    def fetch(repository, *, revision, allow_patterns, ignore_patterns):
        asked.append((repository, revision, allow_patterns, ignore_patterns))
        _touch(tmp_path, "model.safetensors", "config.json")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    files = find_files("owner/videomae-tiny@v2")
    assert files.weights == (tmp_path / "model.safetensors",)
    assert files.source == "owner/videomae-tiny@v2"
    patterns = ["*.json", "README.md", "*.safetensors"]
    assert asked == [("owner/videomae-tiny", "v2", patterns, ["*/*"])]


def test_a_hub_id_with_pickles_alone_is_fetched_again_for_them(tmp_path, monkeypatch):
    asked = []

    def fetch(repository, *, revision, allow_patterns, ignore_patterns):
        asked.append(allow_patterns[2:])
        _touch(tmp_path, "config.json", *(["pytorch_model.bin"] if len(asked) == 2 else []))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert find_files("owner/name").weights == (tmp_path / "pytorch_model.bin",)
    assert asked == [["*.safetensors"], ["*.bin", "*.pth", "*.pyth", "*.pt", "*.ckpt"]]


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch):
    def fetch(*_args, **_kwargs):
        raise LocalEntryNotFoundError("no network\nand a long story")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    with pytest.raises(CheckpointError) as caught:
        find_files("owner/name")
    assert str(caught.value) == (
        "owner/name cannot be had from the hub (LocalEntryNotFoundError: no network);"
        " check the id and the network, or give a folder"
    )


def test_a_folder_of_the_name_of_a_hub_id_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _touch(tmp_path / "owner" / "name", "model.safetensors")
    assert find_files("owner/name").weights[0].name == "model.safetensors"


def test_the_local_cache_of_the_hub_serves_without_network(tmp_path, monkeypatch):
    cached = tmp_path / "models--owner--name"
    _touch(cached / "snapshots" / "c0ffee", "model.safetensors", "config.json")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("c0ffee")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    download = huggingface_hub.snapshot_download
    monkeypatch.setattr(
        huggingface_hub,
        "snapshot_download",
        lambda *args, **kwargs: download(*args, cache_dir=tmp_path, **kwargs),
    )
    files = find_files("owner/name")
    assert files.weights == (cached / "snapshots" / "c0ffee" / "model.safetensors",)

"""Weights that were made up: one line, at once, and never torch's advice to trust them."""

import json
import os
import pickle
import struct
import time
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from stvit_video.cli import main
from stvit_video.errors import CheckpointError
from stvit_video.models.weights.read import read_weights
from stvit_video.training.resume import find_checkpoint, read_checkpoint


class Code:
    def __reduce__(self):
        return os.system, ("true",)


def refusal(path, read=read_weights):
    start = time.perf_counter()
    with pytest.raises(CheckpointError) as caught:
        read(path)
    assert time.perf_counter() - start < 10
    text = str(caught.value)
    assert "\n" not in text
    assert "weights_only" not in text
    return text.replace(str(path), "F")


def test_an_entry_that_is_itself_is_refused(tmp_path, capsys):
    content = {}
    content["model"] = content
    path = tmp_path / "a.pth"
    torch.save(content, path)
    text = (
        "F nests entries such as model over 8 deep or in a circle; get the weights as safetensors"
    )
    assert refusal(path) == text
    arguments = ["--model", "demo_tiny", "--output", str(tmp_path / "out")]
    assert main(["convert", str(path), *arguments]) == 2
    assert text[2:] in capsys.readouterr().err
    a, b = {}, {}
    a["state_dict"], b["model"] = [b], a  # by way of another, and of a list
    torch.save(a, path)
    assert "over 8 deep or in a circle" in refusal(path)


def test_entries_in_entries_are_read_as_deep_as_files_nest_them(tmp_path):
    content = {"w": torch.ones(2)}
    for _ in range(8):
        content = {"model": content}
    torch.save(content, tmp_path / "a.pth")
    assert list(read_weights(tmp_path / "a.pth")) == ["w"]


def test_a_tensor_may_not_claim_more_than_its_file(tmp_path):
    path = tmp_path / "a.pth"
    row = torch.zeros(100)
    torch.save({"w": torch.ones(2), "x": row.as_strided((10**8, 100), (0, 1))}, path)
    size = path.stat().st_size
    assert refusal(path) == (
        f"F: x (100000000, 100) claims more numbers than the file holds ({size} bytes); get the"
        " weights as safetensors"
    )
    large = torch.zeros(200_000)
    torch.save({f"{i}": large for i in range(1000)}, path)  # 800 MB of one row, a thousand times
    assert "claims more numbers than the file holds" in refusal(path)
    tied = {"embed": large, "head": large, "row": torch.ones(1).expand(1000)}
    torch.save(tied, path)
    assert {name: value.shape for name, value in read_weights(path).items()} == {
        name: value.shape for name, value in tied.items()
    }


@pytest.mark.parametrize(
    ("kind", "tensor"),
    [
        ("torch.sparse_coo on cpu", torch.zeros(3, 3).to_sparse()),
        ("torch.strided on meta", torch.empty(10**9, 10**5, device="meta")),
    ],
)
def test_tensors_without_numbers_are_refused(tmp_path, kind, tensor):
    torch.save({"w": tensor}, tmp_path / "a.pth")
    assert refusal(tmp_path / "a.pth") in (
        f"F: w is no plain tensor but {kind}; get the weights as safetensors",
        f"F ({(tmp_path / 'a.pth').stat().st_size} bytes) is truncated or no checkpoint;"
        " download it again",
    )


def test_a_compressed_archive_is_refused_before_it_is_opened(tmp_path):
    torch.save({"w": torch.zeros(10**6)}, tmp_path / "a.pth")
    with (
        zipfile.ZipFile(tmp_path / "a.pth") as archive,
        zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for part in archive.namelist():
            bomb.writestr(part, archive.read(part))
    assert (tmp_path / "b.pth").stat().st_size < 20_000
    text = "F has a compressed part a/data.pkl, as torch.save writes none; get the weights as"
    assert refusal(tmp_path / "b.pth") == f"{text} safetensors"
    assert refusal(tmp_path / "b.pth", read_checkpoint) == f"{text} safetensors"


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02" + b"]" * 300_000 + b"a" * 299_999 + b".",
        b"\x80\x02" + b"(" * 300_000 + b"t" * 300_000 + b".",
        b"\x80\x02" + b"}" * 1000,
        b"\x80\x04\x8e" + b"\xff" * 8,  # bytes without end
        b"",
        b"PK\x03\x04" + b"\x00" * 100,
    ],
)
def test_pickles_nested_deep_or_cut_are_one_line(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    assert refusal(tmp_path / "a.pth") == (
        f"F ({len(content)} bytes) is truncated or no checkpoint; download it again"
    )


def test_a_deep_list_beside_the_weights_is_let_be(tmp_path):
    deep = []
    for _ in range(200):
        deep = [deep]
    torch.save({"model": {"w": torch.ones(2)}, "epoch": deep}, tmp_path / "a.pth")
    assert list(read_weights(tmp_path / "a.pth")) == ["w"]


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [10**9, 10**9]},
        {"shape": [2**40, 2**40]},
        {"shape": [-1, 2]},
        {"data_offsets": [0, 10**12]},
        {"data_offsets": [8, 0]},
        {"dtype": "F1"},
    ],
)
def test_sizes_of_a_header_that_the_file_does_not_hold(tmp_path, change):
    path = tmp_path / "a.safetensors"
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | change})
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode() + bytes(8))
    size = path.stat().st_size
    assert refusal(path) == f"F ({size} bytes) is truncated or no checkpoint; download it again"


@pytest.mark.parametrize("length", [2**63, 10**8, 3])
def test_a_header_that_is_longer_than_its_file(tmp_path, length):
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b"{}")
    assert refusal(path) == "F (10 bytes) is truncated or no checkpoint; download it again"


@pytest.mark.parametrize("save", [torch.save, lambda c, p: p.write_bytes(pickle.dumps(c, 2))])
def test_a_checkpoint_with_code_is_no_run_to_go_on_with(tmp_path, save):
    path = tmp_path / "step_00000001.ckpt"
    save({"state_dict": {}, "callbacks": {"EpochLog": {"epochs": []}}, "x": Code()}, path)
    whole = refusal(path, read_checkpoint)
    assert (
        whole == f"F cannot be read (it asks to run {os.system.__module__}.system while it is read)"
    )
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint(tmp_path, tell=print)
    assert str(caught.value).endswith(
        "while it is read), nor one before it; start again in another output_dir"
    )
    assert "asks to run" in refusal(path)


@pytest.mark.parametrize("content", [{}, {"callbacks": 1}, {"callbacks": {"EpochLog": []}}, [1]])
def test_a_checkpoint_of_something_else_is_one_line(tmp_path, content):
    torch.save(content, tmp_path / "step_00000001.ckpt")
    text = refusal(tmp_path / "step_00000001.ckpt", read_checkpoint)
    assert text == "F cannot be read (it is none of a training of ours)"


def test_an_index_of_shards_that_is_none(tmp_path):
    save_file({"w": torch.ones(1)}, tmp_path / "a.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    for content in ({"weight_map": {"a": 5}}, {"weight_map": {"a": [1]}}, {"weight_map": 1}, []):
        index.write_text(json.dumps(content))
        from stvit_video.models.weights.files import find_files

        with pytest.raises(CheckpointError, match=r"is no list of shards; download it again$"):
            find_files(tmp_path)
    index.write_text('{"weight_map": {"a": "../../etc/passwd"}}')
    with pytest.raises(CheckpointError, match="names passwd, which is not there"):
        find_files(tmp_path)

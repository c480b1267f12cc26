"""What tests of several tools begin with."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture
def tools(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)


@pytest.fixture
def images(tools, tmp_path, monkeypatch):
    """Four small files in the form of Fashion-MNIST: picture i of both parts is grey like i."""
    import moving_garments

    folder, sums = tmp_path / "images", {}
    folder.mkdir()
    for name, count, first in (("train", 13, 0), ("t10k", 7, 100)):
        grey = np.arange(first, first + count, dtype=np.uint8)
        files = {
            f"{name}-images-idx3-ubyte.gz": bytes(16) + grey.repeat(28 * 28).tobytes(),
            f"{name}-labels-idx1-ubyte.gz": bytes(8) + (grey % 10).tobytes(),
        }
        for file, content in files.items():
            (folder / file).write_bytes(gzip.compress(content))
            sums[file] = hashlib.md5(content).hexdigest()
    monkeypatch.setattr(moving_garments, "_MD5", sums)
    monkeypatch.setattr(moving_garments, "NUM_VALIDATION", 5)
    return folder


@pytest.fixture
def pictures(images):
    from moving_garments import load_pictures

    return load_pictures(images, torch.device("cpu"), "middle")["test"]

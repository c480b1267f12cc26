"""Fixtures shared by every test folder: small videos whose pictures tell their number."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from stvit_video.video.numbered import numbered_picture, write_pictures
from tests.browser import CHROMIUM, Browser


@pytest.fixture(scope="session")
def counting_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lossless 20-frame 48x32 video at 10 fps whose frame i has the grey level 10 * i."""
    path = tmp_path_factory.mktemp("counting") / "counting.mkv"
    pictures = (np.full((32, 48, 3), 10 * i, dtype=np.uint8) for i in range(20))
    write_pictures(path, pictures, codec="ffv1", pix_fmt="bgr0", fps=10)
    return path


@pytest.fixture(scope="session")
def write_numbered() -> Callable[..., Path]:
    """Write a video whose frame i shows the number i: path, num_frames, then the encoder's."""

    def write(
        path: Path, num_frames: int, *, width: int = 96, height: int = 64, **how: object
    ) -> Path:
        pictures = (numbered_picture(i, width=width, height=height) for i in range(num_frames))
        options = {"options": {"g": "12", "bf": "2", "x264-params": "log=-1"}} | how
        write_pictures(path, pictures, **options)
        return path

    return write


@pytest.fixture(scope="session")
def numbered_video(
    tmp_path_factory: pytest.TempPathFactory, write_numbered: Callable[..., Path]
) -> Path:
    """A 60-frame 96x64 h264 mp4 at 25 fps, key frames every 12 frames, numbered pictures."""
    return write_numbered(tmp_path_factory.mktemp("numbered") / "numbered.mp4", 60)


@pytest.fixture(scope="session")
def class_folder_root(
    tmp_path_factory: pytest.TempPathFactory, write_numbered: Callable[..., Path]
) -> Path:
    """Two class folders, `pushing left` with 3 and `waving` with 2 videos of 11 to 19 frames."""
    root = tmp_path_factory.mktemp("classes")
    for name, lengths in {"pushing left": (11, 13, 17), "waving": (14, 19)}.items():
        (root / name).mkdir()
        for length in lengths:
            write_numbered(root / name / f"video_{length}.mp4", length)
    return root


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own that takes 1 MiB; skips where nothing can be mounted."""
    folder = tmp_path / "small disk"
    folder.mkdir()
    how = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(how, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def run_code() -> Callable[..., str]:
    """Run Python code in a process of its own, given arguments and environment: its output."""

    def run(code: str, *arguments: object, **environment: object) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            env=os.environ | {name: str(value) for name, value in environment.items()},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium with one tab; skips where there is none."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    opened = Browser(tmp_path_factory.mktemp("browser"))
    yield opened
    opened.close()

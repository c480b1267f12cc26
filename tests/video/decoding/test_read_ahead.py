"""A reader that is open and idle must not fill the memory."""

import subprocess
import sys

import pytest

from stvit_video.video.decoding.open import open_video
from stvit_video.video.numbered import numbered_picture, read_number, write_pictures

IDLE = """
import sys, time
from pathlib import Path
from stvit_video.video.decoding.open import open_video

def resident_mib():
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) // 1024

decoder = open_video(sys.argv[1], backend=sys.argv[2])
decoder.frames([0])
before = resident_mib()
time.sleep(3)
decoder.frames([300])
time.sleep(1)
print(resident_mib() - before)
"""


@pytest.fixture(scope="module")
def long_video(tmp_path_factory):
    path = tmp_path_factory.mktemp("long") / "a.mp4"
    pictures = (numbered_picture(i, width=640, height=360) for i in range(600))
    write_pictures(
        path, pictures, options={"preset": "ultrafast", "g": "60", "x264-params": "log=-1"}
    )
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("backend", ["decord", "pyav"])
def test_an_idle_reader_keeps_its_size(long_video, backend):
    """All its pictures take 395 MiB as RGB, 198 MiB as they are stored."""
    words = [sys.executable, "-c", IDLE, str(long_video), backend]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True)
    assert int(done.stdout) < 60


def test_decord_reads_on_after_a_pause(long_video):
    with open_video(long_video, backend="decord") as decoder:
        for indices in ([0, 1], [2, 3], [599], [4, 61], [598, 599], [0]):
            frames = decoder.frames(indices).numpy()
            assert [read_number(picture) for picture in frames] == indices

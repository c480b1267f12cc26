import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import pytest

from stvit_video.video.decoding import conversion
from stvit_video.video.decoding.conversion import convert
from stvit_video.video.decoding.open import read_frames
from stvit_video.video.numbered import read_number

PIX_FMTS = ("yuv420p", "yuvj420p", "yuv444p", "yuv420p10le", "gray", "rgb24", "bgr0")


def _frames():
    """Frames of noise, of every pixel format in two sizes."""
    noise = np.random.default_rng(0).integers(0, 256, (30, 46, 3), dtype=np.uint8)
    for height, width in ((30, 46), (22, 34)):
        picture = np.ascontiguousarray(noise[:height, :width])
        for pix_fmt in PIX_FMTS:
            yield av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)


def test_pictures_equal_those_of_a_converter_made_for_each():
    for _ in range(2):
        for frame in _frames():
            shape = {"width": frame.width, "height": frame.height}
            picture = convert(frame, "rgb24", **shape).to_ndarray()
            assert np.array_equal(picture, frame.to_ndarray(format="rgb24"))
            scaled = convert(frame, "yuv420p", width=18, height=14, interpolation="AREA")
            expected = frame.reformat(18, 14, "yuv420p", interpolation="AREA")
            assert np.array_equal(scaled.to_ndarray(), expected.to_ndarray())


def test_one_converter_serves_all_pictures_of_a_thread_and_no_other():
    frame = next(_frames())
    converters = []

    def use():
        for _ in range(2):
            convert(frame, "rgb24", width=46, height=30)
            converters.append(conversion._kept.converter)

    use()
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert converters[0] is converters[1] is not converters[2] is converters[3]


def test_threads_convert_at_the_same_time():
    frames = list(_frames())
    expected = [frame.to_ndarray(format="rgb24") for frame in frames]

    def picture(number):
        frame = frames[number % len(frames)]
        return convert(frame, "rgb24", width=frame.width, height=frame.height).to_ndarray()

    with ThreadPoolExecutor(4) as pool:
        for number, found in enumerate(pool.map(picture, range(400))):
            assert np.array_equal(found, expected[number % len(frames)])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_worker_converts_after_its_parent_did(numbered_video):
    read_frames(numbered_video, [3], backend="pyav")
    inherited = conversion._kept.process
    with multiprocessing.get_context("fork").Pool(1) as pool:
        frames, process = pool.apply_async(_read, (numbered_video,)).get(timeout=60)
    assert [read_number(picture) for picture in frames] == [7, 41]
    assert process != inherited == conversion._kept.process


def _read(path):
    frames = read_frames(path, [7, 41], backend="pyav")
    return frames.numpy(), conversion._kept.process

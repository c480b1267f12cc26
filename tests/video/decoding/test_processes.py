import multiprocessing
from functools import partial

import pytest

from stvit_video.video.decoding.open import open_video, read_frames
from stvit_video.video.numbered import read_number


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_what_the_parent_has_read_before(numbered_video, method):
    with (
        open_video(numbered_video, backend="decord") as decord,
        open_video(numbered_video, backend="pyav") as pyav,
        multiprocessing.get_context(method).Pool(1) as pool,
    ):
        for decoder in (decord, pyav):  # the parent's readers stay open while the worker reads
            decoder.frames([30])
            read = partial(read_frames, backend=decoder.info.backend)
            frames = pool.starmap(read, [(numbered_video, [i, 59 - i]) for i in (3, 19)])
            numbers = [[read_number(p.numpy()) for p in pictures] for pictures in frames]
            assert numbers == [[3, 56], [19, 40]]
            assert [read_number(p.numpy()) for p in decoder.frames([31])] == [31]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("backend", ["decord", "pyav"])
def test_a_reader_that_came_through_a_fork_is_refused(numbered_video, backend):
    context = multiprocessing.get_context("fork")
    answers = context.Queue()

    def use(decoder):
        try:
            decoder.frames([3])
        except RuntimeError as error:
            answers.put(str(error))

    with open_video(numbered_video, backend=backend) as decoder:
        process = context.Process(target=use, args=(decoder,))
        process.start()
        assert answers.get(timeout=120) == (
            f"{numbered_video} was opened by another process; open it in the worker"
        )
        process.join(120)

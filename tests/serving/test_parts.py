"""Parts of the server that need no process of their own."""

import asyncio
import errno
import io

import pytest
from starlette.datastructures import Headers
from starlette.requests import Request

from stvit_video.serving import uploads
from stvit_video.serving.guard import is_own_name, refuse
from stvit_video.serving.run import is_loopback
from stvit_video.serving.uploads import RefusedError, receive_upload


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *(("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True)),
        *(("0.0.0.0", False), ("::", False), ("192.168.1.5", False), ("my.machine", False)),
    ],
)
def test_what_only_this_machine_reaches(host, expected):
    assert is_loopback(host) == expected


def test_a_name_that_it_was_told_to_listen_at_is_its_own():
    assert is_own_name("My.Machine:8000", "my.machine")
    assert not is_own_name("my.machine.evil.example", "my.machine")
    assert not is_own_name("evil.example", "127.0.0.1")
    assert not is_own_name("127.0.0.1:99999999", "127.0.0.1")
    assert not is_own_name("127.0.0.1/x", "127.0.0.1")


def test_old_browsers_that_tell_nothing_of_the_site_are_answered():
    headers = Headers({"host": "127.0.0.1:8000"})
    assert refuse(headers, method="POST", host="127.0.0.1") is None


class FullDisk(io.BytesIO):
    def write(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("idle", "in_all", "pause", "file", "status", "line"),
    [
        (0.02, 9, 1.0, io.BytesIO(), 408, "no byte came for 0.02 s"),
        (9, 0.05, 0.01, io.BytesIO(), 408, "the video took more than 0.05 s to come"),
        (9, 9, 0.0, FullDisk(), 507, "there is no room for the video: No space left on device"),
    ],
)
def test_an_upload_that_does_not_come_to_its_end_is_given_up(
    idle, in_all, pause, file, status, line, monkeypatch
):
    monkeypatch.setattr(uploads, "IDLE_SECONDS", idle)
    monkeypatch.setattr(uploads, "UPLOAD_SECONDS", in_all)

    async def receive():
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": b"x", "more_body": True}

    headers = [(b"content-type", b"application/octet-stream")]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    with pytest.raises(RefusedError) as caught:
        asyncio.run(receive_upload(request, file, max_bytes=2**20))
    assert (caught.value.status, str(caught.value)) == (status, line)


CODE = """
from stvit_video.serving.memory import bound_memory
bound_memory(64 << 20)
bytearray(16 << 20)
try:
    bytearray(256 << 20)
except MemoryError:
    print("refused")
"""


def test_a_worker_gets_no_more_memory_than_it_may(run_code):
    assert run_code(CODE) == "refused\n"

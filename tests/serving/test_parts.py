"""Parts of the server that need no process of their own."""

import pytest
from starlette.datastructures import Headers

from stvit_video.serving.guard import is_own_name, refuse
from stvit_video.serving.run import is_loopback


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

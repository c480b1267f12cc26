"""What the server answers, refuses and survives."""

import os
import signal
import socket
import sys
from pathlib import Path
from random import Random

import pytest

from stvit_video import Predictor
from tests.serving.conftest import KIND

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
from mutations import mutate


def test_both_models_answer_as_the_predictor_does(server, video, runs, numbered_video):
    status, found = server.look_at(video)
    assert status == 200
    facts = {key: found[key] for key in ("frames", "width", "height", "codec", "duration")}
    assert facts == {"frames": 60, "width": 96, "height": 64, "codec": "h264", "duration": 2.4}
    assert [model["gathers"] for model in found["models"]] == [True, False]
    assert [model["tokens"] for model in found["models"]] == [16, None]
    for name, model in zip(("semantic", "dense"), found["models"], strict=True):
        timeline = Predictor.load(runs / name, device="cpu").timeline(numbered_video)
        assert len(model["windows"]) == len(timeline.windows)
        for mine, theirs in zip(model["windows"], timeline.windows, strict=True):
            assert mine["start"] == pytest.approx(theirs.start_seconds)
            assert mine["topk"][0]["label"] == theirs.topk[0]["label"]
            assert mine["topk"][0]["score"] == pytest.approx(theirs.topk[0]["score"], abs=1e-3)
        assert 0 < model["window_ms"] <= model["model_ms"]
        assert model["read_ms"] > 0
    first, second = ([w["topk"][0]["label"] for w in m["windows"]] for m in found["models"])
    assert found["agree"] == sum(map(str.__eq__, first, second)) / len(first)
    status, headers, page = server.ask("GET", found["page"])
    assert status == 200
    assert b"<h1" in page
    assert headers["Content-Security-Policy"] == "frame-ancestors 'self'; sandbox allow-scripts"
    assert server.left_over() == [], "the video is gone, and what it was looked at in"


def test_nothing_is_kept_but_the_last_results(server, write_numbered, tmp_path):
    video = write_numbered(tmp_path / "short.mp4", 2).read_bytes()
    pages = [server.look_at(video)[1]["page"] for _ in range(9)]
    assert server.ask("GET", pages[0])[0] == 404
    assert server.ask("GET", pages[1])[0] == 200
    assert len(list(server.folder.iterdir())) == 8


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"no video at all, just words", "the video cannot be read: not a video"),
        (b"", "the request holds no video"),
    ],
)
def test_what_is_no_video_is_refused_in_a_line_without_a_path(server, content, line):
    status, answer = server.look_at(content)
    assert status == (422 if content else 400)
    assert answer["error"].startswith(line)
    assert str(server.temp) not in answer["error"]
    assert server.left_over() == []


def test_a_video_that_is_too_large_is_refused_while_it_comes(server):
    status, answer = server.look_at(bytes(2**20 + 1))
    assert (status, answer) == (413, {"error": "the video is larger than 1 MiB"})
    parts = (bytes(2**16) for _ in range(17))  # no length is told ahead
    status, _, answer = server.ask("POST", "/analyse", body=parts, headers=KIND)
    assert (status, answer) == (413, {"error": "the video is larger than 1 MiB"})
    assert server.left_over() == []


def test_a_form_of_a_foreign_site_cannot_send_a_video(server, video):
    for kind in ("multipart/form-data; boundary=x", "text/plain", "video/mp4"):
        status, _, answer = server.ask(
            "POST", "/analyse", body=video, headers={"Content-Type": kind}
        )
        assert status == 415
        assert answer["error"].startswith("the video must be sent as application/octet-stream")
    for header in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{server.port + 1}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        status, _, answer = server.ask("POST", "/analyse", body=video, headers=KIND | header)
        assert (status, answer) == (403, {"error": "this request comes from another site"})
    own = {"Origin": f"http://127.0.0.1:{server.port}", "Sec-Fetch-Site": "same-origin"}
    assert server.ask("POST", "/analyse", body=video, headers=KIND | own)[0] == 200


def test_names_that_lead_here_from_elsewhere_are_not_answered(server):
    for host in ("evil.example", f"evil.example:{server.port}", "a@127.0.0.1", "", "[::1"):
        status, headers, answer = server.ask("GET", "/", host=host)
        assert status in (400, 403), host
        if status == 403:
            assert "does not answer to the name" in answer["error"]
            assert headers["X-Content-Type-Options"] == "nosniff"
    for host in ("localhost", f"localhost:{server.port}", "127.0.0.1", "[::1]:80", "10.1.2.3"):
        assert server.ask("GET", "/about", host=host)[0] == 200, host


def test_every_answer_tells_browsers_what_it_may_do(server):
    for path, status in (("/", 200), ("/page.js", 200), ("/about", 200), ("/nothing", 404)):
        found, headers, _ = server.ask("GET", path)
        assert found == status
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Server"] is None


@pytest.mark.parametrize(
    "path",
    [
        *("/results/..%2f..%2fetc%2fpasswd", "/results/../../etc/passwd", "/../../etc/passwd"),
        *("/results/%00", "/results/page", "/page.css/../../x", "/results/"),
    ],
)
def test_no_path_leads_to_a_file(server, path):
    status, _, answer = server.ask("GET", path)
    assert status == 404
    assert set(answer) == {"error"}


def test_a_worker_that_takes_too_long_is_stopped_and_replaced(server, video):
    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)
    status, answer = server.look_at(video)
    assert (status, answer) == (
        504,
        {"error": "looking at the video took too long; it was stopped"},
    )
    assert server.left_over() == []
    server.wait(lambda: worker not in server.workers())
    assert server.look_at(video)[0] == 200


def test_a_worker_that_dies_costs_its_request_and_no_other(server, video):
    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)
    asked = server.begin(video)
    server.wait(server.left_over)
    os.kill(worker, signal.SIGKILL)
    answer = asked.getresponse()
    assert answer.status == 500
    assert b"the process that looked at the video died; another takes its place" in answer.read()
    asked.close()
    assert server.left_over() == []
    assert server.look_at(video)[0] == 200
    (other,) = server.workers()
    os.kill(other, signal.SIGKILL)  # while nobody asks
    server.wait(lambda: other not in server.workers())
    assert server.look_at(video)[0] == 200


def test_more_than_may_wait_are_sent_away_at_once(server, video):
    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)
    asked = [server.begin(video), server.begin(video)]
    server.wait(lambda: len(server.left_over()) == 2)
    status, headers, answer = server.ask("POST", "/analyse", body=video, headers=KIND)
    assert (status, headers["Retry-After"]) == (503, "5")
    assert answer == {"error": "2 videos are being looked at already; try again"}
    assert server.ask("GET", "/about")[0] == 200, "the page still answers"
    os.kill(worker, signal.SIGCONT)
    assert [connection.getresponse().status for connection in asked] == [200, 200]
    for connection in asked:
        connection.close()


def test_who_goes_away_leaves_nothing_behind(server, video):
    (worker,) = server.workers()
    head = f"POST /analyse HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
    head += f"Content-Type: application/octet-stream\r\nContent-Length: {len(video)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as sending:
        sending.sendall(head.encode() + video[:1000])
        server.wait(server.left_over)
    server.wait(lambda: not server.left_over())
    assert server.workers() == {worker}, "no worker had begun"
    os.kill(worker, signal.SIGSTOP)
    before = len(server.told)
    asked = server.begin(video)
    server.wait(server.left_over)
    asked.close()  # while it is being looked at
    server.wait(lambda: not server.left_over())
    server.wait(lambda: worker not in server.workers())
    assert server.told[before:] == [], "nobody waited until its time was over"
    assert server.look_at(video)[0] == 200


def test_damaged_videos_are_answered_in_a_line_by_the_same_worker(
    server, video, write_numbered, tmp_path
):
    (worker,) = server.workers()
    samples = [video, write_numbered(tmp_path / "numbered.mkv", 12).read_bytes()]
    statuses = []
    for seed in range(40):
        status, answer = server.look_at(mutate(samples[seed % 2], Random(seed)))
        assert status in (200, 400, 413, 422), (seed, answer)
        if status != 200:
            assert "\n" not in answer["error"]
            assert str(server.temp) not in answer["error"]
        statuses.append(status)
    assert statuses.count(422) > 10  # what still decodes depends on the encoder that is here
    assert server.look_at(video)[0] == 200
    assert server.workers() == {worker}
    assert server.left_over() == []


def test_sigterm_ends_it_with_its_workers_and_folder_and_other_hosts_are_warned_of(start, video):
    server = start("--host", "0.0.0.0")
    assert server.told[-2] == (
        "warning: whoever reaches 0.0.0.0 can send videos; there is no password"
    )
    assert server.ask("GET", "/", host="evil.example")[0] == 403
    workers, folder = server.workers(), server.folder
    assert len(workers) == 1
    asked = server.begin(video)
    server.wait(server.left_over)
    status, told = server.stop(signal.SIGTERM)
    asked.close()
    assert (status, told) == (143, "stvit-video serve: stopped; uploads and results are deleted")
    assert not folder.exists()
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)

import os

from stvit_video.video.decoding.known_files import KnownFiles


def test_a_fact_holds_as_long_as_the_file_stays_as_it_is(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"12345")
    known = KnownFiles()
    assert known.recall(path) is None
    known.note(path, 7)
    assert known.recall(path) == 7
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert known.recall(path) is None


def test_a_missing_file_has_no_facts(tmp_path):
    known = KnownFiles()
    known.note(tmp_path / "a.mp4", 7)
    assert known.recall(tmp_path / "a.mp4") is None


def test_the_file_that_was_asked_for_longest_ago_is_forgotten_first(tmp_path, monkeypatch):
    monkeypatch.setattr("stvit_video.video.decoding.known_files.MOST_KEPT", 2)
    a, b, c = paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.touch()
    known = KnownFiles()
    known.note(a, 1)
    known.note(b, 2)
    known.note(a, 3)
    assert known.recall(b) == 2
    known.note(c, 4)
    assert [known.recall(path) for path in paths] == [None, 2, 4]

import os

from stvit_video.datasets.upkeep import file_states
from stvit_video.datasets.upkeep.file_states import FileState, read_states


def test_every_file_is_looked_at_once_and_in_order(tmp_path, monkeypatch):
    paths = [tmp_path / f"{number}.mp4" for number in range(50)]
    for number, path in enumerate(paths):
        path.write_bytes(number * b"x")
    looks = []
    look = os.stat
    monkeypatch.setattr(file_states, "_NUM_AHEAD", 7)
    monkeypatch.setattr(os, "stat", lambda path: looks.append(path) or look(path))
    states = read_states([*paths, tmp_path / "none.mp4"], title="test")
    monkeypatch.undo()
    assert sorted(looks) == sorted([*paths, tmp_path / "none.mp4"])
    assert [state.size for state in states[:-1]] == list(range(50))
    status = paths[3].stat()
    assert states[3] == FileState(3, status.st_mtime_ns, status.st_dev, status.st_ino)
    assert states[-1] is None

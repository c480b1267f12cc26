import json
import os
import tracemalloc

import pytest

from stvit_video.datasets.upkeep.file_states import FileState
from stvit_video.datasets.upkeep.journal import Journal
from stvit_video.errors import WriteError

SMALL = FileState(5, 111, 1, 7)
CHANGED = FileState(7, 111, 1, 7)
LATER = FileState(5, 113, 1, 7)


def test_what_was_noted_is_found_again(tmp_path):
    video = tmp_path / "a.mp4"
    with Journal(tmp_path / "j.jsonl") as journal:
        assert journal.find(video, SMALL) is None
        journal.note(video, SMALL, {"verdict": "ok", "num_frames": 7})
    with Journal(tmp_path / "j.jsonl") as journal:
        assert journal.find(video, SMALL) == {"verdict": "ok", "num_frames": 7}
        assert journal.find(tmp_path / "x" / ".." / "a.mp4", SMALL) is not None
        assert journal.find(tmp_path / "b.mp4", SMALL) is None


def test_a_changed_file_and_another_setting_are_unknown(tmp_path):
    video = tmp_path / "a.mp4"
    with Journal(tmp_path / "j.jsonl", setting="short_side=256") as journal:
        journal.note(video, SMALL, 1)
    with Journal(tmp_path / "j.jsonl", setting="short_side=128") as journal:
        assert journal.find(video, SMALL) is None
        journal.note(video, SMALL, 2)
    with Journal(tmp_path / "j.jsonl", setting="short_side=128") as journal:
        assert [journal.find(video, state) for state in (SMALL, CHANGED, LATER, None)] == [
            *(2, None, None, None)
        ]
    with Journal(tmp_path / "j.jsonl", setting="short_side=256") as journal:
        assert journal.find(video, SMALL) is None  # the file was made again since


def test_a_line_that_was_cut_off_is_passed_and_the_next_one_kept(tmp_path):
    first, second = tmp_path / "a.mp4", tmp_path / "b.mp4"
    path = tmp_path / "j.jsonl"
    with Journal(path) as journal:
        journal.note(first, SMALL, "seen")
    path.write_text(path.read_text() + '{"key": "half a li')
    with Journal(path) as journal:
        assert journal.find(first, SMALL) == "seen"
        journal.note(second, None, "later")
    with Journal(path) as journal:
        assert (journal.find(first, SMALL), journal.find(second, None)) == ("seen", "later")


def test_a_journal_of_before_is_read_and_its_lines_look_the_same(tmp_path):
    path = tmp_path / "j.jsonl"
    path.write_text(json.dumps({"key": f"set|5 111|{tmp_path / 'a.mp4'}", "result": 3}) + "\n")
    with Journal(path, setting="set") as journal:
        assert journal.find(tmp_path / "a.mp4", SMALL) == 3
        journal.note(tmp_path / "a.mp4", SMALL, 3)
    lines = path.read_text().splitlines()
    assert lines[0] == lines[1]


def test_a_target_leads_to_what_it_was_made_from(tmp_path):
    target = str(tmp_path / "new" / "a.mp4")
    with Journal(tmp_path / "j.jsonl") as journal:
        journal.note(tmp_path / "a.avi", SMALL, {"target": target})
    with Journal(tmp_path / "j.jsonl") as journal:
        assert journal.maker_of(tmp_path / "new" / "a.mp4") == str(tmp_path / "a.avi")
        assert journal.maker_of(tmp_path / "new" / "b.mp4") == ""


def test_memory_does_not_hold_the_results(tmp_path):
    path = tmp_path / "j.jsonl"
    line = '{{"key": "|5 111|/videos/{}.mp4", "result": {{"detail": "' + 400 * "x" + '"}}}}\n'
    path.write_text("".join(line.format(number) for number in range(20_000)))
    tracemalloc.start()
    with Journal(path) as journal:
        held = tracemalloc.get_traced_memory()[0]
        found = journal.find(os.path.abspath("/videos/19999.mp4"), SMALL)
    tracemalloc.stop()
    assert found == {"detail": 400 * "x"}
    assert held < 30 * 20_000  # a line has 450 bytes


def test_a_full_disk_is_one_line_and_what_was_noted_stays(tmp_path, small_disk):
    path = small_disk / "j.jsonl"

    def fill():
        with Journal(path) as journal:
            for number in range(5000):
                journal.note(tmp_path / f"{number}.mp4", SMALL, {"detail": 200 * "x"})

    with pytest.raises(WriteError) as caught:
        fill()
    assert str(caught.value) == f"{path} cannot be written: No space left on device"
    num_lines = path.read_bytes().count(b"\n")
    assert 2000 < num_lines < 4000
    with Journal(tmp_path / "copy.jsonl") as journal:
        pass
    (tmp_path / "copy.jsonl").write_bytes(path.read_bytes())
    with Journal(tmp_path / "copy.jsonl") as journal:
        found = [journal.find(tmp_path / f"{n}.mp4", SMALL) for n in (0, num_lines - 1, num_lines)]
    assert found == [{"detail": 200 * "x"}, {"detail": 200 * "x"}, None]

from stvit_video.datasets.upkeep.journal import Journal


def test_what_was_noted_is_found_again(tmp_path):
    video = tmp_path / "a.mp4"
    video.write_bytes(b"12345")
    with Journal(tmp_path / "j.jsonl") as journal:
        assert journal.find(video) is None
        journal.note(video, {"verdict": "ok", "num_frames": 7})
    with Journal(tmp_path / "j.jsonl") as journal:
        assert journal.find(video) == {"verdict": "ok", "num_frames": 7}
        assert journal.find(tmp_path / "b.mp4") is None


def test_a_changed_file_and_another_setting_are_unknown(tmp_path):
    video = tmp_path / "a.mp4"
    video.write_bytes(b"12345")
    with Journal(tmp_path / "j.jsonl", setting="short_side=256") as journal:
        journal.note(video, 1)
    with Journal(tmp_path / "j.jsonl", setting="short_side=128") as journal:
        assert journal.find(video) is None
    video.write_bytes(b"1234567")
    with Journal(tmp_path / "j.jsonl", setting="short_side=256") as journal:
        assert journal.find(video) is None


def test_a_line_that_was_cut_off_is_passed_and_the_next_one_kept(tmp_path):
    first, second = tmp_path / "a.mp4", tmp_path / "b.mp4"
    path = tmp_path / "j.jsonl"
    with Journal(path) as journal:
        journal.note(first, "seen")
    path.write_text(path.read_text() + '{"key": "half a li')
    with Journal(path) as journal:
        assert journal.find(first) == "seen"
        journal.note(second, "later")
    with Journal(path) as journal:
        assert (journal.find(first), journal.find(second)) == ("seen", "later")

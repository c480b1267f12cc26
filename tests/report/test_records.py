"""Records of videos as JSON lines, CSV and Parquet."""

import csv
import json
import random

import pyarrow.parquet
import pytest

from stvit_video.errors import WriteError
from stvit_video.report.records import writing_records

CLASSES = [
    {"rank": 1, "index": 4, "label": "wa\x1b[2Jving, both", "score": 0.75},
    {"rank": 2, "index": 0, "label": "b", "score": 0.25},
]
WHOLE = {"video": "a\udcff.mp4", "model": "m", "duration_s": 1.5, "fps": 10.0, "frames": 15}
RECORDS = [
    {**WHOLE, "topk": CLASSES},
    {"video": "bad.mp4", "error": "bad.mp4: empty"},
    {**WHOLE, "windows": [{"start_s": 0.5, "end_s": 1.5, "topk": CLASSES[:1]}]},
]


def write(files, records=RECORDS):
    with writing_records(files) as keep:
        for record in records:
            keep(record)


def test_a_line_of_json_for_each(tmp_path):
    path = tmp_path / "out.jsonl"
    write({"jsonl": path, "csv": None})
    lines = path.read_text().splitlines()
    assert len(lines) == 3
    assert json.loads(lines[0])["topk"] == CLASSES
    assert json.loads(lines[1]) == RECORDS[1]
    assert "\x1b" not in lines[0]


def test_standard_output_has_them_as_they_come(capsys):
    with writing_records({"jsonl": "-"}) as keep:
        keep(RECORDS[1])
        assert json.loads(capsys.readouterr().out) == RECORDS[1]


def test_a_row_of_csv_for_each_class_of_each_window(tmp_path):
    path = tmp_path / "out.csv"
    write({"csv": path})
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    label = r"wa\x1b[2Jving, both"
    assert rows == [
        ["video", "start_s", "end_s", "rank", "index", "label", "score", "error"],
        [r"a\udcff.mp4", "", "", "1", "4", label, "0.75", ""],
        [r"a\udcff.mp4", "", "", "2", "0", "b", "0.25", ""],
        ["bad.mp4", "", "", "", "", "", "", "bad.mp4: empty"],
        [r"a\udcff.mp4", "0.5", "1.5", "1", "4", label, "0.75", ""],
    ]


def test_a_row_of_parquet_for_each_video(tmp_path):
    path = tmp_path / "out.parquet"
    write({"parquet": path}, RECORDS * 100)  # more than wait in memory
    rows = pyarrow.parquet.read_table(path).to_pylist()
    assert len(rows) == 300
    assert rows[0]["video"] == r"a\udcff.mp4"
    assert (rows[0]["index"], rows[0]["score"], rows[0]["windows"]) == ([4, 0], [0.75, 0.25], None)
    assert (rows[1]["error"], rows[1]["label"]) == ("bad.mp4: empty", None)
    assert rows[299]["windows"] == [
        {
            "start_s": 0.5,
            "end_s": 1.5,
            "index": [4],
            "label": [CLASSES[0]["label"]],
            "score": [0.75],
        }
    ]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_record_is_written_when_it_comes(tmp_path, kind):
    with writing_records({kind: tmp_path / "out"}) as keep:
        keep(RECORDS[1])
        (partial_path,) = tmp_path.iterdir()
        assert "bad.mp4: empty" in partial_path.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_file_that_was_begun_is_not_left(tmp_path, kind):
    path = tmp_path / "out"
    path.write_text("before")

    def stopped():
        yield RECORDS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write({kind: path}, stopped())
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_disk_that_is_full_is_one_error(small_disk, kind):
    draw = random.Random(0)
    many = [
        {**RECORDS[0], "topk": [{**CLASSES[0], "label": draw.randbytes(1000).hex()}]}
        for _ in range(1500)
    ]
    with pytest.raises(WriteError, match=r"out cannot be written: .*[Nn]o space left"):
        write({kind: small_disk / "out"}, many)
    assert list(small_disk.iterdir()) == []

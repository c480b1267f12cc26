"""CSV files of all kinds read as Python's reader reads them."""

import csv

import pytest
import torch

from stvit_video.datasets.csv_columns import line_of, read_columns, read_header
from stvit_video.datasets.manifest import read_manifest
from stvit_video.errors import DatasetError

CASES = {
    "plain": "path,label\na.mp4,x\nb.mp4,y\n",
    "no line end": "path,label\na.mp4,x",
    "windows": "path,label\r\na.mp4,x\r\n\r\nb.mp4,y\r\n",
    "mark": "\ufeffpath,label\na.mp4,x\n",
    "quoted": 'label,path\n"x, ""y""","a\nb.mp4"\n"","c d.mp4"\n',
    "quote inside": 'path,label\n5" screen.mp4,x\n',
    "surplus columns": "other,path,label,more\n1,a.mp4,x,2\n\u00e4,b.mp4,y,\n",
    "uneven": "path,label\na.mp4\nb.mp4,y,z\n\nc.mp4,x\n",
    "spaces": " path,path,label\nno, a.mp4 , x\n",
    "only paths": "path\na.mp4\n\nb.mp4\n",
    "looks like other types": "path,label\n007,true\n1e3,2020-01-01\nNA,null\n",
}


@pytest.mark.parametrize("text", CASES.values(), ids=CASES)
def test_a_file_reads_as_python_reads_it(tmp_path, text):
    path = tmp_path / "m.csv"
    path.write_bytes(text.encode())
    with path.open(newline="", encoding="utf-8-sig") as file:
        expected = list(csv.DictReader(file))
    header = read_header(path)
    assert header == next(csv.reader([text.lstrip("\ufeff").splitlines()[0]]))
    names = [name for name in ("label",) if name in header]
    texts, words = read_columns(path, texts="path", words=names)
    rows = torch.arange(len(texts))
    assert texts.read(rows) == [row["path"] for row in expected]
    for name in names:
        assert words[name].read(rows) == [row[name] or "" for row in expected]


def test_a_large_file_keeps_broken_lines_whole_and_words_in_the_order_of_their_first_row(tmp_path):
    path = tmp_path / "m.csv"
    labels = [f"class {i // 3000 * 7919 % 1000}" for i in range(90_000)]
    rows = (f'"{i:040d}\n.mp4",{label}\n' for i, label in enumerate(labels))
    path.write_text("path,label\n" + "".join(rows))
    texts, words = read_columns(path, texts="path", words=["label"])
    assert list(words["label"].words) == list(dict.fromkeys(labels))
    assert words["label"].read(torch.arange(90_000)) == labels
    assert texts.read(torch.tensor([89_999])) == [f"{89_999:040d}\n.mp4"]


def test_a_fault_names_the_line_on_which_its_row_begins(tmp_path):
    path = tmp_path / "m.csv"
    text = '\npath,label,width\n"a\n\n.mp4",x,1\n\n\nb.mp4,"x",wide\n"c\n.mp4",,tall\n'
    path.write_text(text)
    assert [line_of(path, row) for row in range(3)] == [3, 8, 9]
    with pytest.raises(DatasetError) as error:
        read_manifest(path)
    assert str(error.value) == f"{path} line 8: width (wide) must be a number"


def test_of_several_faults_the_first_row_is_named(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("path,label,width,fps\na,x,1,1\nb,x,1,fast\n,y,wide,1\nc,z,wide,1\n")
    with pytest.raises(DatasetError) as error:
        read_manifest(path)
    assert str(error.value) == f"{path} line 3: fps (fast) must be a number"
    with pytest.raises(DatasetError) as error:
        read_manifest(path, class_names=["x", "z"])
    assert str(error.value) == f"{path} line 3: fps (fast) must be a number"


@pytest.mark.parametrize("value", ["9223372036854775808", "1e400", "nan", "1_0 0"])
def test_what_no_column_holds_is_no_number(tmp_path, value):
    path = tmp_path / "m.csv"
    name = "width" if value.isdecimal() else "fps"
    path.write_text(f"path,{name}\na,{value}\n")
    with pytest.raises(DatasetError) as error:
        read_manifest(path)
    assert str(error.value) == f"{path} line 2: {name} ({value}) must be a number"


def test_numbers_are_written_as_python_reads_them(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("path,width,fps\na, 1_000 ,2\nb,,\n")
    assert [(r.width, r.fps) for r in read_manifest(path).records] == [(1000, 2.0), (-1, 0.0)]


def test_broken_text_late_in_a_file_is_refused(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes(b"path,label\n" + b"a.mp4,x\n" * 300_000 + b"\xff.mp4,x\n")
    with pytest.raises(DatasetError, match="is not a CSV file in UTF-8: 'utf-8' codec"):
        read_manifest(path)

"""Something-Something V2 in miniature, in both sets of file names."""

import json

import pytest

from stvit_video.datasets.layouts.something_something import find_something_something
from stvit_video.errors import DatasetError, MissingFileError

LABELS = {
    "Holding something": "0",
    "Pushing something from left to right": "1",
    "Showing that something is empty": "2",
}
VALIDATION = [
    {
        "id": "74225",
        "label": "pushing cup from left to right",
        "template": "Pushing [something] from left to right",
        "placeholders": ["cup"],
    },
    {"id": "9", "label": "holding", "template": "Holding [something]", "placeholders": ["a"]},
    {"id": "10", "label": "x", "template": "Showing that [something] is empty", "placeholders": []},
]


def _lay_out(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def _touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def _error(*arguments, **settings):
    with pytest.raises((DatasetError, MissingFileError)) as error:
        find_something_something(*arguments, **settings)
    return str(error.value)


@pytest.mark.parametrize(
    ("labels", "validation"),
    [
        ("labels/labels.json", "labels/validation.json"),
        ("something-something-v2-labels.json", "something-something-v2-validation.json"),
    ],
)
def test_both_sets_of_names_give_the_class_of_the_template(tmp_path, labels, validation):
    _lay_out(tmp_path, labels, LABELS)
    annotation = _lay_out(tmp_path, validation, VALIDATION)
    _touch(tmp_path / "20bn-something-something-v2", "74225.webm", "10.webm")
    found = find_something_something(tmp_path, annotation)
    assert found.class_names == tuple(LABELS)
    assert [(v.name, v.label, v.path and v.path.name) for v in found.videos] == [
        ("74225", 1, "74225.webm"),
        ("9", 0, None),
        ("10", 2, "10.webm"),
    ]
    assert found.missing == ["9"]


def test_test_records_take_their_class_from_the_answers(tmp_path):
    _lay_out(tmp_path, "labels/labels.json", LABELS)
    annotation = _lay_out(tmp_path, "labels/test.json", [{"id": "5"}, {"id": "6"}, {"id": 7}])
    _touch(tmp_path, "videos/5.webm", "videos/6.mp4", "videos/7.webm")
    unknown = find_something_something(tmp_path, annotation)
    assert [video.label for video in unknown.videos] == [-1, -1, -1]
    _lay_out(
        tmp_path,
        "labels/test-answers.csv",
        "5;Showing that something is empty\n7;Pushing something from left to right\n",
    )
    answered = find_something_something(tmp_path, annotation)
    assert [video.label for video in answered.videos] == [2, -1, 1]


def test_the_index_is_the_string_of_the_file_whatever_its_order(tmp_path):
    shuffled = dict(reversed(LABELS.items()))
    labels = _lay_out(tmp_path, "elsewhere.json", shuffled)
    annotation = _lay_out(tmp_path, "v.json", VALIDATION)
    found = find_something_something(tmp_path, annotation, labels_path=labels)
    assert [video.label for video in found.videos] == [1, 0, 2]


def test_what_is_missing_or_foreign_is_named(tmp_path):
    annotation = _lay_out(tmp_path, "validation.json", VALIDATION)
    assert _error(tmp_path, annotation) == (
        f"no something-something-v2-labels.json or labels.json beside {annotation};"
        " give it with --labels"
    )
    labels = _lay_out(tmp_path, "labels.json", LABELS)
    odd = _lay_out(tmp_path, "odd.json", [{"id": "1", "template": "Holding [sth]"}])
    assert _error(tmp_path, odd) == (
        f"{odd} record 0: label 'Holding sth' is none of the 3 classes;"
        " did you mean 'Holding something'?"
    )
    foreign = _lay_out(tmp_path, "foreign.json", [{"video": "1"}])
    assert _error(tmp_path, foreign) == (
        f"{foreign} record 0: no 'id'; expected the records of Something-Something"
    )
    assert _error(tmp_path, labels) == f"annotation file {labels} must be a list of records"
    assert _error(tmp_path, _lay_out(tmp_path, "no.json", "[]")) == (
        f"annotation file {tmp_path}/no.json names no videos"
    )
    broken = _lay_out(tmp_path, "broken.json", "[{")
    assert _error(tmp_path, broken).startswith(f"annotation file {broken} is no JSON: Expecting")
    assert _error(tmp_path / "none", annotation) == f"video folder {tmp_path}/none does not exist"

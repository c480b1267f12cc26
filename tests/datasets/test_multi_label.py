"""Lists with several labels a video: read, written, refused, and served as targets."""

import pytest
import torch

from stvit_video.datasets.batches import Delivery
from stvit_video.datasets.from_settings import build_training_loader
from stvit_video.datasets.manifest import Manifest, check_labels, read_manifest, write_manifest
from stvit_video.datasets.records import VideoRecord
from stvit_video.datasets.upkeep.scanned import scanned_manifest
from stvit_video.errors import DatasetError
from stvit_video.settings.data import AugmentationConfig, DataConfig
from stvit_video.settings.model import ModelConfig, Preprocessing
from stvit_video.settings.training import RunConfig, TrainConfig

NAMES = ("run", "sit", "walk", "jump")


@pytest.fixture
def write(tmp_path):
    """Write the labels of a list, one a video; return its path."""

    def write(*labels, names=NAMES):
        path = tmp_path / "list.csv"
        lines = [f'{n}.mp4,"{label}"\n' for n, label in enumerate(labels)]
        path.write_text("path,label\n" + "".join(lines))
        (tmp_path / "list.labels.txt").write_text("".join(f"{name}\n" for name in names))
        return path

    return write


def test_several_labels_are_read_by_name_or_index(write):
    manifest = read_manifest(write("walk; run", "3", "", "0;2", "sit;jump"))
    assert manifest.is_multi_label
    assert [manifest.classes_of(record) for record in manifest.records] == [
        ["run", "walk"],
        ["jump"],
        [],
        ["run", "walk"],
        ["sit", "jump"],
    ]
    assert manifest.label_sets == ((0, 2), (3,), (1, 3))
    assert manifest.targets().tolist() == [[1, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 1]]
    assert manifest.targets(5).shape == (3, 5)


def test_names_are_those_of_the_list_where_nothing_else_says_them(write, tmp_path):
    path = write("walk;run", "sit")
    (tmp_path / "list.labels.txt").unlink()
    assert read_manifest(path).class_names == ("run", "sit", "walk")
    path.write_text("path,label\na.mp4,5;1\nb.mp4,2\n")
    assert read_manifest(path).class_names == ("0", "1", "2", "3", "4", "5")


def test_a_name_with_a_semicolon_is_one_label_where_it_is_a_class(write):
    manifest = read_manifest(write("walk; then run", "sit", names=("sit", "walk; then run")))
    assert not manifest.is_multi_label
    assert [record.label for record in manifest.records] == [1, 0]


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("run;swim", "label 'swim' is none of the 4 classes"),
        ("run;4", "label 4 outside 0..3"),
        (
            "run;;sit",
            "label (run;;sit) has a place without a class; name one there, or take it out",
        ),
        ("sit;1", "label (sit;1) names '1' twice"),
    ],
)
def test_a_bad_label_is_one_line_with_the_number_of_its_line(write, label, told):
    path = write("run", "sit;walk", label)
    with pytest.raises(DatasetError) as caught:
        read_manifest(path)
    assert str(caught.value) == f"{path} line 4: {told}"


def test_what_is_written_is_read_again(write, tmp_path):
    manifest = read_manifest(write("walk;run", "jump", "", "sit;jump"))
    again = tmp_path / "again" / "list.csv"
    write_manifest(scanned_manifest(manifest, {}), again)
    found = read_manifest(again)
    assert found.class_names == NAMES
    assert [found.classes_of(r) for r in found.records] == [
        manifest.classes_of(r) for r in manifest.records
    ]
    unwritable = Manifest(manifest.records, ("a;b", *NAMES[1:]), manifest.label_sets)
    with pytest.raises(DatasetError, match=r"class 'a;b' must not hold ';'"):
        write_manifest(unwritable, again)


def test_a_list_of_one_label_a_video_is_taken_for_one_of_several(tmp_path):
    records = [VideoRecord(tmp_path / "a.mp4", 2), VideoRecord(tmp_path / "b.mp4", -1)]
    manifest = Manifest(records, NAMES).as_multi_label()
    assert [manifest.classes_of(record) for record in manifest.records] == [["walk"], []]
    assert manifest.as_multi_label() is manifest
    assert torch.equal(manifest.targets(), torch.eye(4).bool())


def test_labels_that_the_model_does_not_know_are_refused(write):
    manifest = read_manifest(write("walk;run", "", "sit;jump", ""))
    sets = manifest.label_sets
    with pytest.raises(DatasetError) as caught:
        check_labels(manifest.records, num_classes=4, label_sets=sets)
    path = manifest.records[1].path
    assert str(caught.value) == (
        f"label of {path} (and of 1 more videos) is not known; training needs one"
    )
    with pytest.raises(DatasetError, match=r"label 3 of .*2\.mp4 outside 0\.\.2"):
        check_labels(manifest.records[2:3], num_classes=3, label_sets=sets)
    check_labels(manifest.records[0:1], num_classes=3, label_sets=sets)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_batches_hold_a_one_for_each_class_of_a_video(class_folder_root, tmp_path, num_workers):
    paths = sorted(class_folder_root.rglob("*.mp4"))
    records = [VideoRecord(path, n % 3) for n, path in enumerate(paths)]
    manifest = Manifest(records, NAMES, ((1, 3), (0,), (0, 1, 2)))
    run = RunConfig(
        model=ModelConfig(name="demo_tiny"),
        data=DataConfig(num_workers=num_workers),
        augmentation=AugmentationConfig(flip=0.0),
        train=TrainConfig(batch_size=2),
    )
    shape = Preprocessing(num_frames=2, frame_stride=1, image_size=32)
    seen = 0
    for batch in build_training_loader(manifest, shape, run):
        assert batch.label.dtype == torch.float32
        expected = [manifest.targets()[n % 3].tolist() for n in batch.video_index.tolist()]
        assert batch.label.tolist() == expected
        seen += len(batch.label)
    assert seen == 4  # of 5, the last batch is not whole


def test_targets_wait_for_the_first_batch_before_they_go_to_a_device():
    assert Delivery(torch.device("cuda"), targets=torch.eye(2)).targets.device.type == "cpu"

from pathlib import Path

import pytest

from stvit_video.datasets.records import Records, VideoRecord
from stvit_video.datasets.upkeep.faster_files import faster_files, spread
from stvit_video.settings.data import DataConfig

DENSE, SEGMENTS = DataConfig(), DataConfig(sampling="segments")
AT_30 = DataConfig(target_fps=30)


class Indexes:
    pass


def records(*made_for, indexed=True):
    rows = [VideoRecord(Path(f"{i}.mp4"), 0, made_for=word) for i, word in enumerate(made_for)]
    return Records.of(rows, indexes=Indexes() if indexed else None)


@pytest.mark.parametrize(
    ("data", "stride", "options"),
    [
        (DENSE, 4, "--for dense --stride 4"),
        (DENSE, 32, "--for dense --stride 32"),
        (DENSE, 19, "--for any"),
        (SEGMENTS, 4, "--for segments"),
        (AT_30, 4, "--for any"),
    ],
)
def test_sources_are_to_be_prepared_for_the_reading(data, stride, options):
    text = faster_files(Path("my videos/k.csv"), records("", "any"), data, stride=stride)
    assert text == (
        f"the files are not prepared: `stvit-video data prepare 'my videos/k.csv' OUT {options}`"
    )


def test_a_manifest_without_an_index_can_be_scanned_at_least(tmp_path):
    prepare = "the files are not prepared: `stvit-video data prepare {} OUT --for any`"
    text = faster_files(Path("k.csv"), records("", indexed=False), AT_30, stride=4)
    assert text == prepare.format("k.csv") + ", or at least `stvit-video data scan k.csv`"
    text = faster_files(tmp_path, records("", indexed=False), AT_30, stride=4)
    assert text == prepare.format(tmp_path)
    text = faster_files(Path("k.csv"), records("any", indexed=False), AT_30, stride=4)
    assert text == "k.csv was never scanned: `stvit-video data scan k.csv`"


@pytest.mark.parametrize(
    ("made_for", "data", "stride"),
    [
        ("dense4", DENSE, 4),
        ("dense4", DENSE, 8),
        ("dense16", DENSE, 32),
        ("segments", DENSE, 4),
        ("segments", SEGMENTS, 4),
        ("any", AT_30, 4),
        ("dense4", AT_30, 4),
        ("any", DENSE, 1),
    ],
)
def test_files_that_suit_the_reading_stay(made_for, data, stride):
    assert faster_files(Path("k.csv"), records(made_for), data, stride=stride) is None


@pytest.mark.parametrize(
    ("made_for", "data", "wanted", "options"),
    [
        ("dense4", SEGMENTS, "segments", "--for segments"),
        ("dense8", DENSE, "dense4", "--for dense --stride 4"),
        ("any", DENSE, "dense4", "--for dense --stride 4"),
    ],
)
def test_files_made_for_another_reading_are_told(made_for, data, wanted, options):
    text = faster_files(Path("k.csv"), records(made_for), data, stride=4)
    assert text == (
        f"the files are made for {made_for}, not for {wanted}:"
        f" `stvit-video data prepare SOURCES OUT {options}`"
    )


def test_a_few_videos_stand_for_all():
    assert [len(spread(range(n))) for n in (1, 64, 65, 1000)] == [1, 64, 33, 63]

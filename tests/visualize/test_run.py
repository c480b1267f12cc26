"""What is written: a movie, an animation, a contact sheet, a page and a record."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from stvit_video.datasets.windows import WindowLength
from stvit_video.errors import ConfigError
from stvit_video.evaluation.predictor import Predictor
from stvit_video.report.token_colours import PALETTE
from stvit_video.video.decoding.open import open_video, read_frames
from stvit_video.visualize import drawing
from stvit_video.visualize.drawing import Kept, draw_frames, gif_bytes, movie_frames
from stvit_video.visualize.reading import read_video
from stvit_video.visualize.run import check_folder, describe, visualize_video


def read(run_folder, video, **options):
    options = {"length": WindowLength(), "max_duration": 60.0, "top_k": 2} | options
    with open_video(video) as decoder:
        read = read_video(decoder, Predictor.load(run_folder, device="cpu"), **options)
        kept = Kept()
        pictures = list(draw_frames(decoder, read, kept))
    return read, kept, pictures


def test_the_files_are_there_and_nothing_else(drawn):
    names = {"clusters.html", "clusters.mp4", "clusters.gif", "contact_sheet.png"}
    assert {path.name for path in drawn.iterdir()} == names | {"visualize.json"}
    record = json.loads((drawn / "visualize.json").read_text())
    assert set(record["files"]) == names
    assert [round(w["start_seconds"], 2) for w in record["windows"]] == [0, 0.32, 0.64, 0.88]


def test_the_movie_shows_every_frame_at_its_time_as_browsers_play_it(
    drawn, run_folder, moving_video
):
    with open_video(drawn / "clusters.mp4") as decoder:
        info, times = decoder.info, decoder.times()
        frames = decoder.frames(list(range(info.num_frames))).numpy().astype(int)
    assert (info.codec, info.width, info.height, info.num_frames) == ("h264", 360, 216, 30)
    np.testing.assert_allclose(times, np.arange(30) / 25, atol=1e-3)
    _, _, pictures = read(run_folder, moving_video)
    assert np.abs(frames - pictures).mean() < 6
    outside = read_frames(moving_video, [0])[0, 50, 5].numpy() * 0.4
    assert np.abs(frames[0, 110, 10] - outside).max() < 12, "what the model does not see is dimmed"
    pixel = (drawn / "clusters.mp4").read_bytes()
    assert pixel.index(b"moov") < pixel.index(b"mdat"), "plays before it is there in full"


def test_pictures_show_the_colour_of_the_owner_of_each_patch(run_folder, moving_video):
    video, _, pictures = read(run_folder, moving_video)
    index = video.lens.patch_index((8, 8))
    for frame in (0, 13, 29):
        step = video.step[frame]
        for patch in (0, 27, 63):
            ys, xs = np.nonzero(index == patch)
            place = (round(ys.mean()), round(xs.mean()))
            tube = video.tubes[step].ravel()[patch]
            alpha = 0.35 + 0.35 * video.strength[step].ravel()[patch]
            mixed = pictures[frame][place].astype(float) - alpha * PALETTE[video.colours[tube]]
            assert np.ptp(mixed) < 3, "the rest is grey"


def test_the_animation_is_small_and_lasts_as_long(drawn):
    content = (drawn / "clusters.gif").read_bytes()
    picture = Image.open(io.BytesIO(content))
    assert (picture.n_frames, picture.size) == (30, (320, 192))
    durations = []
    for number in range(picture.n_frames):
        picture.seek(number)
        durations.append(picture.info["duration"])
    assert sum(durations) == pytest.approx(1200, rel=0.2)
    assert len(content) < 500_000


def test_an_animation_of_one_frame_lasts():
    content = gif_bytes([Image.new("RGB", (8, 8))], 0.0)
    assert Image.open(io.BytesIO(content)).size == (8, 8)


def test_the_sheet_has_two_rows_for_every_four_moments(drawn):
    with Image.open(drawn / "contact_sheet.png") as picture:
        width, height = picture.size
    assert width == pytest.approx(4 * 2.6 * 110, rel=0.05)
    assert height == pytest.approx(6 * (2.6 * 216 / 360 + 0.1) * 110, rel=0.1)


def test_of_long_videos_each_output_shows_some_frames_and_the_words_say_so(
    run_folder, moving_video, monkeypatch
):
    for name, most in {"MOST_MOVIE": 15, "MOST_PAGE": 7, "MOST_GIF": 4, "NUM_SHEET": 3}.items():
        monkeypatch.setattr(drawing, name, most)
    video, kept, pictures = read(run_folder, moving_video, max_duration=1.0)
    assert list(movie_frames(25)) == list(range(0, 25, 2))
    assert len(pictures) == 13
    assert kept.page == [0, 4, 8, 12, 16, 20, 24]
    assert [len(kept.gif), [number for number, _, _ in kept.sheet]] == [4, [0, 12, 24]]
    words = describe(video, kept, "demo_tiny", duration=1.2)
    assert words.endswith(
        " The first 1.0 of 1.2 s; max_duration draws more. The movie shows 13 of 25 frames. The"
        " page shows 7 of 25 frames."
    )


def test_the_page_stays_below_its_bound(run_folder, moving_video, monkeypatch):
    monkeypatch.setattr(drawing, "MOST_PAGE_BYTES", 20_000)
    _, kept, _ = read(run_folder, moving_video)
    assert sum(map(len, kept.jpegs)) <= 20_000
    assert len(kept.page) == len(kept.jpegs) > 2
    assert kept.page[0] == 0
    assert len(set(np.diff(kept.page).tolist())) == 1, "as far apart everywhere"


def test_one_format_writes_one_file(run_folder, moving_video, tmp_path):
    predictor = Predictor.load(run_folder, device="cpu")
    options = {"length": WindowLength(), "max_duration": 0.2, "top_k": 1}
    drawn = visualize_video(moving_video, predictor, tmp_path, format="gif", **options)
    assert [path.name for path in drawn.files] == ["clusters.gif"]
    assert {path.name for path in tmp_path.iterdir()} == {"clusters.gif", "visualize.json"}
    check_folder(tmp_path)


def test_somebody_elses_folder_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError) as caught:
        check_folder(tmp_path)
    assert str(caught.value) == (
        f"output_dir ({tmp_path}) holds thesis.tex, which this command did not write there; choose"
        " a new folder"
    )
    (tmp_path / "visualize.json").write_text('{"clusters_of": "another program"}')
    with pytest.raises(ConfigError, match=r"holds thesis\.tex"):
        check_folder(tmp_path)


def test_names_are_data_in_the_page_and_no_markup(drawn):
    page = (drawn / "clusters.html").read_text()
    assert page.count("<script") == 2
    assert "onerror=alert" in page
    assert "<img" not in page
    assert re.search(r"https?:", page) is None

"""The page, driven in a browser from its file."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from stvit_video.video.decoding.open import read_frames
from tests.visualize.conftest import HOSTILE


@pytest.fixture
def page(browser, drawn):
    """The page as a browser opens it; at the end nothing may have failed or left the file."""
    address = (drawn / "clusters.html").as_uri()
    browser.open(address)
    yield browser
    assert browser.faults() == []
    assert {asked.partition("#")[0] for asked in browser.requests()} <= {address}


def info(page):
    return dict(json.loads(page.run(
        "JSON.stringify([...document.querySelectorAll('#info dt')]"
        ".map((dt) => [dt.innerText, dt.nextElementSibling.innerText]))"
    )))  # fmt: skip


def test_it_begins_with_all_tokens_of_the_first_frame(page):
    assert page.text("#where") == "1 of 30, 0.00 s"
    present = page.run("document.querySelectorAll('#token option').length") - 1
    assert info(page)["tokens in this frame"] == str(present)
    assert page.text("#topk caption") == "Best classes from 0.00 s to 0.32 s"
    assert page.run("document.querySelectorAll('#topk tbody tr').length") == 3
    assert page.run("document.querySelectorAll('#strip canvas').length") == 12


def test_labels_and_file_names_are_text_alone(page):
    assert page.run("document.title") == page.text("h1") == f"{HOSTILE.replace('/', '_')}.mp4"
    labels = page.run("[...document.querySelectorAll('#topk td')].map((td) => td.innerText)")
    assert HOSTILE in labels
    assert "a\\u202eb\\u2028c" in labels
    assert page.run("document.querySelectorAll('img').length") == 0


def test_keys_scrub_through_time_and_pick_tokens(page):
    page.press("ArrowRight")
    page.press("ArrowRight")
    assert page.text("#where") == "3 of 30, 0.08 s"
    page.press("ArrowLeft")
    page.press("]")
    token = info(page)["token"]
    assert page.run("location.hash") == f"#frame=2&token={token}"
    assert page.text("#strip-title") == f"Token {token} through time"
    page.press("End")
    assert page.text("#where") == "30 of 30, 1.16 s"
    assert page.text("#topk caption") == "Best classes from 0.88 s to 1.20 s"
    page.press("Escape")
    assert page.run("location.hash") == "#frame=30"
    page.press("ArrowRight")
    assert page.text("#where").startswith("30 of 30")


def test_play_goes_on_by_itself_until_paused(page):
    page.press(" ")
    assert page.text("#play") == "Pause"
    page.wait("document.querySelector('#frame').value > 2")
    page.run("document.querySelector('#play').click()")
    assert page.text("#play") == "Play"
    assert page.run("document.querySelector('#play').getAttribute('aria-pressed')") == "false"


def test_a_click_picks_the_token_under_it_and_another_click_lets_go(page):
    x, y = page.run(
        "(() => { const box = document.querySelector('#picture').getBoundingClientRect();"
        " return [box.left + box.width / 2, box.top + box.height / 2]; })()"
    )
    page.click(x, y)
    own = info(page)
    patches = int(own["patches in this frame"].split()[0])
    assert patches > 0
    assert own["patches in this frame"].split()[2] == "64"
    assert own["first seen"] == "0.00 s"
    assert page.run("document.querySelector('#token').value") == own["token"]
    page.click(x, y)
    assert "token" not in info(page)


def test_an_address_leads_to_a_frame_and_a_token_and_a_wrong_one_to_the_first(page, drawn):
    page.press("]")
    token = info(page)["token"]
    for words, where, shown in (
        (f"frame=20&token={token}", "20 of 30, 0.76 s", token),
        ("frame=9999&token=9999", "30 of 30, 1.16 s", None),
        ("frame=<b>&token=-5", "1 of 30, 0.00 s", None),
    ):
        page.run(f"location.hash = '#{words}'")
        page.wait(f"document.querySelector('#where').innerText === '{where}'")
        assert info(page).get("token") == shown


def test_counts_add_up_to_the_patches_of_the_grid(page):
    options = page.run("[...document.querySelectorAll('#token option')].map((o) => o.text)")
    patches = [int(words.split()[2]) for words in options[1:]]
    assert sum(patches) == 64


def pixels(page):
    """The canvas: colours (H, W, 3)."""
    data = page.run("document.querySelector('#picture').toDataURL('image/png')")
    picture = Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2])))
    return np.asarray(picture.convert("RGB")).astype(float)


def test_the_canvas_shows_the_colours_of_the_movie_and_the_picked_token_alone(page, drawn):
    movie = read_frames(drawn / "clusters.mp4", [0])[0].numpy().astype(float)
    page.wait("document.querySelector('#picture').width === 360")
    canvas = pixels(page)
    assert canvas.shape == movie.shape
    assert np.abs(canvas - movie).mean() < 8
    page.press("]")
    picked = pixels(page)
    patches = int(info(page)["patches in this frame"].split()[0])
    darker = (picked.mean(-1) < canvas.mean(-1) * 0.7)[8:-8, 80:-80]
    assert darker.mean() == pytest.approx(1 - patches / 64, abs=0.15)
    page.run("document.querySelector('#opacity').value = 0")
    page.run("document.querySelector('#opacity').dispatchEvent(new Event('input'))")
    page.press("Escape")
    plain = pixels(page)
    assert np.abs(plain[100, 180] - (40, 60, 50)).max() < 40, "the frame without colours"


def test_on_a_phone_nothing_reaches_over_the_edge(browser, drawn):
    browser.open((drawn / "clusters.html").as_uri(), width=400, height=900)
    assert browser.run("document.documentElement.scrollWidth") <= 400
    assert browser.run("document.querySelector('#topk').getBoundingClientRect().top") > browser.run(
        "document.querySelector('#picture').getBoundingClientRect().bottom"
    )

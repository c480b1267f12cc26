"""The page of the server in a browser: a video goes in, timeline, times and clusters come out."""

import pytest


@pytest.fixture
def page(browser, server):
    browser.open(server.address)
    browser.wait("document.querySelector('#about').innerText !== ''")
    yield browser
    assert browser.faults() == []


def give(page, path):
    """Choose a file as a person does."""
    root = page.call("DOM.getDocument")["root"]["nodeId"]
    field = page.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    page.call("DOM.setFileInputFiles", files=[str(path)], nodeId=field)


def test_a_video_that_is_given_is_shown_with_what_both_models_say(page, server, numbered_video):
    assert page.text("#about").startswith(
        "demo_tiny, 16 semantic tokens beside demo_tiny, dense. Videos of up to 1 MiB, the first"
        " 60.0 s of each."
    )
    give(page, numbered_video)
    page.wait("!document.querySelector('#result').hidden")
    assert page.text("#name") == "numbered.mp4"
    assert page.text("#facts") == "2.4 s, 60 frames of 96 x 64 at 25.00 a second, h264"
    captions = page.run("[...document.querySelectorAll('#answer caption')].map((c) => c.innerText)")
    assert captions == [
        "demo_tiny, 16 semantic tokens: 0.0 s to 0.3 s",
        "demo_tiny, dense: 0.0 s to 0.3 s",
    ]
    assert page.run("document.querySelectorAll('#answer tbody tr').length") == 6
    assert page.run("document.querySelectorAll('#timeline .bar').length") == 2
    assert page.run("document.querySelectorAll('#times tbody tr').length") == 2
    assert page.text("#agree").startswith("Both models name the same class first in ")
    assert page.run("document.querySelectorAll('img').length") == 0, "labels are text"
    page.run("document.querySelector('#timeline .bar').lastChild.click()")
    page.wait("document.querySelector('#video').currentTime > 0 || true")
    clusters = page.run("document.querySelector('#clusters').src")
    assert clusters.startswith(f"{server.address}results/")
    assert page.run("document.querySelector('#clusters').sandbox.value") == "allow-scripts"
    page.open(f"{clusters}#frame=30&token=0")
    page.wait("document.querySelector('#where').innerText === '30 of 60, 1.16 s'")


def test_what_is_refused_is_told(page, tmp_path):
    words = tmp_path / "notes.mp4"
    words.write_text("no video")
    give(page, words)
    page.wait("document.querySelector('#error').innerText !== ''")
    assert page.text("#error").startswith("the video cannot be read: not a video")
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(2**20 + 1))
    give(page, large)
    page.wait("document.querySelector('#error').innerText.includes('larger')")
    assert page.text("#error") == "the video is larger than 1 MiB"
    assert page.run("document.querySelector('#result').hidden")
    page.events.clear()  # the browser counts a refusal as an error


def test_on_a_phone_nothing_reaches_over_the_edge(browser, server, numbered_video):
    browser.open(server.address, width=400)
    give(browser, numbered_video)
    browser.wait("!document.querySelector('#result').hidden")
    assert browser.run("document.documentElement.scrollWidth") <= 400

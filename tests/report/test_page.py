import base64
import re

from stvit_video.report.page import Picture, Section, write_page
from stvit_video.report.tables import make_table

PICTURE = Picture(name="plot.svg", content=b"<svg/>", caption='speed & "cost"')
SECTIONS = [
    Section(title="Speed <fast>", text="One.\n\nTwo.", tables=(make_table("T", ["n"], [[7]]),)),
    Section(title="Plots", pictures=(PICTURE,)),
]


def test_the_page_holds_every_part_and_fetches_nothing(tmp_path):
    path = write_page(tmp_path / "new", "A & B", SECTIONS)
    text = path.read_text()
    assert path.name == "report.html"
    assert "<h1>A &amp; B</h1>" in text
    assert "<h2>Speed &lt;fast&gt;</h2>\n<p>One.</p>\n<p>Two.</p>" in text
    assert '<td class="number">7</td>' in text
    assert base64.b64encode(b"<svg/>").decode() in text
    assert 'alt="speed &amp; &quot;cost&quot;"' in text
    assert not re.search(r"https?://|<script", text)


def test_the_markdown_says_the_same_with_pictures_beside_it(tmp_path):
    write_page(tmp_path, "A & B", SECTIONS)
    assert (tmp_path / "report.md").read_text() == (
        "# A & B\n\n## Speed \\<fast\\>\n\nOne.\n\nTwo.\n\n**T**\n\n| n |\n| --: |\n| 7 |\n\n"
        '## Plots\n\n![speed & "cost"](plot.svg)\n\n*speed & "cost"*\n'
    )
    assert (tmp_path / "plot.svg").read_bytes() == b"<svg/>"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plot.svg", "report.html", "report.md"]


def test_the_numbers_of_a_picture_are_one_click_away_and_its_text_has_them(tmp_path):
    numbers = make_table("speed", ["model", "clips/s"], [["<a>", 7.5]])
    picture = Picture(
        name="p.svg", content=b"<svg/>", caption="speed", alt="speed. <a>: 7.5.", numbers=numbers
    )
    write_page(tmp_path, "T", [Section(title="S", pictures=(picture,))])
    page = (tmp_path / "report.html").read_text()
    assert 'alt="speed. &lt;a&gt;: 7.5."' in page
    details = page[page.index("<details><summary>The numbers of this figure</summary>") :]
    assert "<td>&lt;a&gt;</td>" in details
    assert '<td class="number">7.5</td>' in details
    text = (tmp_path / "report.md").read_text()
    assert "![speed. \\<a\\>: 7.5.](p.svg)\n\n*speed*\n" in text
    assert '<details markdown="1"><summary>The numbers of this figure</summary>' in text
    assert "| \\<a\\> | 7.5 |" in text

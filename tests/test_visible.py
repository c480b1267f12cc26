import pytest

from stvit_video.visible import cut, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b]0;t\x07", r"\x1b[31mred\x1b]0;t\x07"),
        ("a\u202egpm.exe", r"a\u202egpm.exe"),  # turns the rest of the line around
        ("\u2066a\u2069\u061c", r"\u2066a\u2069\u061c"),
        ("a\nb\r\tc\x85\u2028d", r"a\nb\r\tc\x85\u2028d"),
        ("z\u200bw\u200d\ufeff\u2060\xad", r"z\u200bw\u200d\ufeff\u2060\xad"),
        ("\u3164\u115f\u034f\ufe0f\U000e0041\U000e0100",
         r"\u3164\u115f\u034f\ufe0f\U000e0041\U000e0100"),
        ("\x9b31m\x7f\x00", r"\x9b31m\x7f\x00"),
        ("\udcff.mp4", r"\udcff.mp4"),  # a byte of a file name that is no text
    ],
)  # fmt: skip
def test_what_a_terminal_obeys_or_hides_is_written_out(text, shown):
    assert visible(text) == shown
    assert visible(shown) == shown


def test_letters_of_any_language_and_markup_stay():
    for text in ("Ärger 日本\u3000語 שלום नमस्ते 🎬", "[bold]x[/a].mp4", r"C:\new", "a  b"):
        assert visible(text) == text


def test_a_long_text_keeps_its_begin_and_its_end():
    text = "begin" + 5000 * "x" + "end"
    assert len(cut(text)) == 1000
    assert cut(text).startswith("begin")
    assert cut(text).endswith("end")
    assert " ... " in cut(text)
    assert cut("short") == "short"

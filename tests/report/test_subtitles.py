from stvit_video.report.subtitles import clock, srt_text, vtt_text

CUES = [(0.0, 1.25, "a <b> --> & (0.50)"), (3599.9996, 3661.5, "x\n\ny")]


def test_webvtt():
    assert vtt_text(CUES) == (
        "WEBVTT\n"
        "\n00:00:00.000 --> 00:00:01.250\na &lt;b&gt; --&gt; &amp; (0.50)\n"
        "\n01:00:00.000 --> 01:01:01.500\nx\\n\\ny\n"
    )


def test_subrip():
    assert srt_text(CUES) == (
        "1\n00:00:00,000 --> 00:00:01,250\na \u2039b\u203a --\u203a & (0.50)\n"
        "\n2\n01:00:00,000 --> 01:01:01,500\nx\\n\\ny\n"
    )


def test_times_are_rounded_before_they_are_cut():
    assert clock(59.9999) == "00:01:00.000"
    assert clock(0.0004) == "00:00:00.000"

"""Which container a file is, told by its first bytes: the only kinds that a decoder is given.

Neither the name of a file nor FFmpeg's guess decides: FFmpeg also takes lists of other files,
numbered pictures, scripts and subtitles for videos.
"""

import re

HEAD_BYTES = 2048
"""Bytes that tell a container; by as many FFmpeg tells those that are read here."""
MP4_BOXES = frozenset(
    {b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"styp", b"sidx", b"uuid"}
    | {b"pnot", b"junk", b"pict", b"prft", b"emsg", b"ssix"}
)
EBML = b"\x1a\x45\xdf\xa3"
_BEGINNINGS = {
    EBML: "matroska",
    b"FLV\x01": "flv",
    b"OggS": "ogg",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "asf",
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02": "mxf",
    b"GIF8": "gif",
    b"\x89PNG\r\n\x1a\n": "png_pipe",
    b"\xff\xd8\xff": "mjpeg",
}
"""What a file begins with, and FFmpeg's name of what reads it."""
_AVI_KINDS = (b"AVI ", b"AVI\x19", b"ON2 ", b"AMV ")
_START_CODE = re.compile(rb"\0{2,3}\x01(.)(.)", re.DOTALL)
_MPEG_KINDS = {0xBA: "mpeg", 0xB3: "mpegvideo"}
_HEVC_NALS = frozenset({0x40, 0x42, 0x44, 0x46, 0x4E})
"""First bytes of the parameter sets, delimiters and messages that a raw stream begins with."""
_H264_NALS = frozenset({1, 5, 6, 7, 8, 9})
_TS_PACKETS = (188, 192, 204)
"""Bytes of a packet of mpeg-ts, each with 0x47 at the same place."""
_TEXT_INSIDE = re.compile(rb"<mpd|<compositionplaylist|^c=in ip", re.IGNORECASE | re.MULTILINE)
"""What FFmpeg finds behind any beginning, up to the first zero byte, and then opens other files."""

READ = "mp4, mov, mkv, webm, avi, ts, mpg, flv, ogv, wmv, mxf, gif"
_OTHERS = {
    rb"\s*#EXTM3U": ("a playlist (m3u8)", "give the videos that it names"),
    rb"\s*ffconcat": ("a list of files (ffconcat)", "give the videos that it names"),
    rb"\s*(<\?xml.*)?<(mpd|smil|asx)\b": ("a playlist (xml)", "give the videos that it names"),
    rb"\s*\[playlist\]": ("a playlist (pls)", "give the videos that it names"),
    rb"v=0\r?\n": ("the description of a stream (sdp)", "record the stream first"),
    rb"#!": ("a script", "give a video"),
    rb"\s*(<!doctype html|<html)": ("a web page", "download the video itself"),
    rb"(\xef\xbb\xbf)?(WEBVTT|\[Script Info\]|\d+\s+\d+:\d\d:\d\d)": ("subtitles", "give a video"),
    rb"version https://git-lfs": ("a pointer of git-lfs", "run git lfs pull"),
    rb"RIFF....WEBP|BM....\0\0|II\*\0|MM\0\*": ("a picture", "write it as a video first"),
    rb"RIFF....WAVE|ID3|fLaC": ("sound", "give a video"),
    rb"RIFF": ("a RIFF file without pictures (no avi)", "give a video"),
    rb"[^\0-\x08\x0e-\x1a\x1c-\x1f]+\Z": ("text", "give a video"),
}
"""Beginnings of what is not read: what it is, and what to do."""


def demuxer_of(head: bytes) -> str:
    """Return FFmpeg's name for the container of a file that begins so; empty for what is not read.

    `head` is the first `HEAD_BYTES` of the file. Nothing that is read names other files.
    """
    if _TEXT_INSIDE.search(head.partition(b"\0")[0]):
        return ""
    if head[4:8] in MP4_BOXES:
        return "mov"
    if head.startswith(b"RIFF"):
        return "avi" if head[8:12] in _AVI_KINDS else ""
    for beginning, name in _BEGINNINGS.items():
        if head.startswith(beginning):
            return name
    return _raw_stream_of(head) or ("mpegts" if _has_packets(head) else "")


def what_it_is(head: bytes) -> str:
    """Say what a file is that begins so and is not read, the rule, and what to do."""
    for pattern, (kind, step) in _OTHERS.items():
        if re.match(pattern, head, re.IGNORECASE | re.DOTALL):
            return f"it is {kind}; only files that hold pictures are read ({READ}): {step}"
    return f"it begins as none of the files that are read ({READ}): write it as mp4 first"


def _raw_stream_of(head: bytes) -> str:
    """Tell MPEG program streams and raw streams by what follows their first start code."""
    found = _START_CODE.match(head)
    if found is None:
        return ""
    first, second = found[1][0], found[2][0]
    if first in _MPEG_KINDS:
        return _MPEG_KINDS[first]
    if first in _HEVC_NALS and second == 1:
        return "hevc"
    return "h264" if first < 0x80 and first & 0x1F in _H264_NALS else ""


def _has_packets(head: bytes) -> bool:
    """Whether the mark of mpeg-ts stands at one distance, five times; a first packet may be cut."""
    return any(
        head[start : start + 4 * size + 1 : size] == b"\x47" * 5
        for size in _TS_PACKETS
        for start in range(size)
    )

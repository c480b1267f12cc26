"""Which decoder is exact for a file, judged by its packets. Measured in docs/decoding.md."""

from stvit_video.video.pyav_backend import PyavDecoder

DECORD_CODECS = frozenset({"h264", "vp8", "vp9"})
_SMALLEST_SIDE = 16


def doubt_of_decord(decoder: PyavDecoder) -> str:
    """Say why decord might serve a wrong frame of this file, or none; empty where it is exact."""
    table, info = decoder.table, decoder.info
    reasons = {
        f"codec {table.codec}": table.codec not in DECORD_CODECS,
        table.doubt: not table.is_exact,
        f"{table.gop} groups of pictures": table.gop != "closed",
        f"hidden packets: {table.num_hidden}": table.num_hidden > 0,
        f"pixel format {decoder.pix_fmt}": decoder.pix_fmt not in ("yuv420p", "yuvj420p"),
        f"size {info.width}x{info.height}": (
            info.width % 2 + info.height % 2 > 0 or min(info.width, info.height) < _SMALLEST_SIDE
        ),
        f"pictures turned by {decoder.rotation} degrees in {table.format_name}": (
            decoder.rotation > 0 and table.format_name != "mov"
        ),
        "no length in the header": not decoder.has_declared_duration,
    }
    return next((reason for reason, applies in reasons.items() if applies), "")

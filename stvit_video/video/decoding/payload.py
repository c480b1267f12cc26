"""What a compressed packet says of itself without being decoded: does it show a picture, and may
decoding start at it? Bytes in, facts out.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

Payload = bytes | memoryview


class PacketFacts(NamedTuple):
    """What the first bytes of a packet tell."""

    shows_picture: bool
    """A picture comes out for this packet."""
    is_entry: bool
    """Nothing before this packet is needed to decode it and what follows it on screen."""
    is_sound: bool
    """The bytes look as the codec demands; otherwise only decoding tells what comes out."""
    is_reference: bool = True
    """Other pictures may be predicted from it; where not, it can be left out at no harm."""


_H264_EXTRAS = frozenset({6, 7, 8, 9, 10, 11, 12, 13, 15})
"""Kinds of NAL units without a picture: messages, parameter sets, delimiters, filling."""
_HEVC_EXTRAS = frozenset(range(32, 41))
_BROKEN_NAL = memoryview(b"\xff")
_DAMAGED = PacketFacts(shows_picture=True, is_entry=False, is_sound=False)


def packet_reader(codec: str, extradata: bytes | None) -> Callable[[Payload, bool], PacketFacts]:
    """Return the function (payload, key flag) -> facts for the packets of one stream.

    A codec without rules of its own is believed: every packet shows a picture, and the container's
    key flag holds.
    """
    length_size = _nal_length_size(codec, extradata)
    if codec == "h264":
        parameter_sets = _h264_parameter_sets(extradata) if length_size and extradata else set()
        return lambda payload, is_key: _h264_facts(payload, is_key, length_size, parameter_sets)
    if codec == "hevc":
        return lambda payload, is_key: _hevc_facts(payload, is_key, length_size)
    return {"vp8": _vp8_facts, "vp9": _vp9_facts, "av1": _av1_facts}.get(codec, _plain_facts)


def _plain_facts(payload: Payload, is_key: bool) -> PacketFacts:
    return PacketFacts(shows_picture=True, is_entry=is_key, is_sound=len(payload) > 0)


def _h264_facts(
    payload: Payload, is_key: bool, length_size: int, parameter_sets: set[int]
) -> PacketFacts:
    """Judge by the first slice: its first block is 0, its type and parameter set exist.

    Decoding may start at a key frame that resets the decoder (IDR), and at an intra picture ahead
    of which the encoder says that all is well from here on. `parameter_sets` grows by those that
    stand among the pictures; empty means that all may exist.
    """
    is_recovery_point = has_extras = False
    nals = _nals(payload, length_size)
    for nal in nals:
        if nal[0] & 0x80:
            return _DAMAGED
        kind = nal[0] & 0x1F
        has_extras = has_extras or kind in _H264_EXTRAS
        is_recovery_point = is_recovery_point or (kind == 6 and _is_recovery_point(nal))
        if kind == 8 and parameter_sets:
            parameter_sets.update(_golomb_values(nal[1:6], 1))
        if kind in (1, 2, 5):
            values = _golomb_values(nal[1:12], 3)
            if len(values) < 3 or values[0] != 0 or values[1] > 9:
                return _DAMAGED
            if parameter_sets and values[2] not in parameter_sets:
                return _DAMAGED
            is_intra = values[1] in (2, 4, 7, 9)
            if kind == 5 and not is_intra:
                return _DAMAGED
            is_safe = is_intra and (kind == 5 or is_recovery_point)
            return PacketFacts(
                shows_picture=True,
                is_entry=is_key and is_safe,
                is_sound=True,
                is_reference=bool(nal[0] & 0x60) or any(other[0] & 0x60 for other in nals),
            )
    return _without_picture(has_extras, is_key)


def _without_picture(has_extras: bool, is_key: bool) -> PacketFacts:
    """Judge a packet without a slice: what holds nothing else either lost its picture."""
    if not has_extras:
        return _DAMAGED
    return PacketFacts(shows_picture=False, is_entry=False, is_sound=not is_key)


def _is_recovery_point(nal: memoryview) -> bool:
    """Find, among the messages of a NAL unit, one that says: exact from this picture on."""
    start = 1
    while start + 2 < len(nal):
        numbers = [0, 0]  # kind and size: the sum of bytes, of which only the last is < 255
        for i in range(2):
            while start < len(nal) and nal[start] == 255:
                numbers[i] += 255
                start += 1
            if start == len(nal):
                return False
            numbers[i] += nal[start]
            start += 1
        if numbers[0] == 6:
            return _golomb_values(nal[start : start + 5], 1) == [0]
        start += numbers[1]
    return False


def _h264_parameter_sets(extradata: bytes) -> set[int]:
    """Ids of the picture parameter sets in the header of an mp4 or Matroska track."""
    ids: set[int] = set()
    start = 5
    for mask in (0x1F, 0xFF):  # sequence parameter sets, then those of pictures
        for _ in range(extradata[start] & mask if start < len(extradata) else 0):
            length = int.from_bytes(extradata[start + 1 : start + 3], "big")
            if mask == 0xFF:
                ids.update(_golomb_values(extradata[start + 4 : start + 9], 1))
            start += 2 + length
        start += 1
    return ids


def _hevc_facts(payload: Payload, is_key: bool, length_size: int) -> PacketFacts:
    has_extras = False
    for nal in _nals(payload, length_size):
        kind = nal[0] >> 1 & 0x3F
        has_extras = has_extras or kind in _HEVC_EXTRAS
        if nal[0] & 0x80:
            return _DAMAGED
        if kind < 32:
            is_first_slice = len(nal) > 2 and bool(nal[2] & 0x80)
            if not is_first_slice or 9 < kind < 16:
                return _DAMAGED
            return PacketFacts(
                shows_picture=True, is_entry=is_key and 16 <= kind <= 23, is_sound=True
            )
    return _without_picture(has_extras, is_key)


def _vp8_facts(payload: Payload, is_key: bool) -> PacketFacts:
    if len(payload) < 3:
        return PacketFacts(shows_picture=False, is_entry=False, is_sound=False)
    is_sound = bool(payload[0] & 1) != is_key  # the bit is 0 for a key frame
    return PacketFacts(shows_picture=bool(payload[0] & 0x10), is_entry=is_key, is_sound=is_sound)


def _vp9_facts(payload: Payload, is_key: bool) -> PacketFacts:
    if not len(payload) or payload[0] >> 6 != 0b10:
        return _DAMAGED
    profile = payload[0] >> 5 & 1 | payload[0] >> 3 & 2
    bits = payload[0] << (1 if profile == 3 else 0)
    shows_existing, is_inter, is_shown = bits >> 3 & 1, bits >> 2 & 1, bits >> 1 & 1
    if payload[-1] & 0xE0 == 0xC0:  # a superframe: hidden frames and the one that is shown
        is_sound = (bool(shows_existing) or bool(is_inter) != is_key) and _fits_together(payload)
        return PacketFacts(shows_picture=True, is_entry=is_key, is_sound=is_sound)
    if shows_existing:
        return PacketFacts(shows_picture=True, is_entry=False, is_sound=not is_key)
    is_sound = bool(is_inter) != is_key
    if is_inter and is_shown and profile < 3:
        is_sound = is_sound and _has_possible_size(payload)
    return PacketFacts(shows_picture=bool(is_shown), is_entry=is_key, is_sound=is_sound)


def _has_possible_size(payload: Payload) -> bool:
    """Whether a shown picture of VP9 that gives its own size gives one that FFmpeg can hold.

    After one that it cannot, FFmpeg refuses every later picture too.
    """
    bits = int.from_bytes(bytes(payload[1:9]).ljust(8, b"\0"), "big")  # behind the first 8 bits
    bits = bits << (0 if payload[0] & 1 else 2) & (1 << 64) - 1  # the last: no context to reset
    if bits >> 41 & 7:  # behind 8 bits of places to fill and three references of 4 bits
        return True  # as large as one of them
    width, height = (bits >> 25 & 0xFFFF) + 1, (bits >> 9 & 0xFFFF) + 1
    return (width + 128) * (height + 128) < (1 << 31) // 8


def _fits_together(superframe: Payload) -> bool:
    """Whether the sizes at the end of a superframe, between two equal marks, fit into it."""
    mark = superframe[-1]
    num_frames, width = (mark & 7) + 1, (mark >> 3 & 3) + 1
    start = len(superframe) - 2 - num_frames * width
    if start < 0 or superframe[start] != mark:
        return True  # one picture that happens to end like that
    places = range(start + 1, len(superframe) - 1, width)
    sizes = [int.from_bytes(superframe[place : place + width], "little") for place in places]
    return min(sizes) > 0 and sum(sizes) <= start


def _av1_facts(payload: Payload, is_key: bool) -> PacketFacts:
    """Judge by the first frame header, after delimiters, sequence headers and metadata.

    A sequence of still pictures has none of these bits: it consists of key frames.
    """
    start, is_still = 0, False
    while start < len(payload):
        head = payload[start]
        kind = head >> 3 & 15
        start += 2 if head & 4 else 1
        length = len(payload) - start
        if head & 2:
            length, start = _leb128(payload, start)
        if head & 0x80 or start + length > len(payload):
            return _DAMAGED
        if kind == 1 and length:
            is_still = bool(payload[start] & 8)
        if kind in (3, 6) and length:
            shows_existing, frame_kind = payload[start] >> 7, payload[start] >> 5 & 3
            is_intra = is_still or (not shows_existing and frame_kind == 0)
            return PacketFacts(True, is_key and is_intra, True)
        start += length
    return _DAMAGED


def _leb128(payload: Payload, start: int) -> tuple[int, int]:
    """Read a number of 7 bits a byte, lowest first; return it and where it ends."""
    value = 0
    for place, byte in enumerate(payload[start : start + 8]):
        value |= (byte & 127) << 7 * place
        if not byte & 128:
            return value, start + place + 1
    return len(payload), start


def _nal_length_size(codec: str, extradata: bytes | None) -> int:
    """Bytes that hold the length of a NAL unit; 0 where start codes part them (Annex B)."""
    if not extradata or extradata[0] != 1:
        return 0
    if codec == "h264" and len(extradata) > 4:
        return (extradata[4] & 3) + 1
    if codec == "hevc" and len(extradata) > 21:
        return (extradata[21] & 3) + 1
    return 0


def _nals(payload: Payload, length_size: int) -> Iterator[memoryview]:
    """Cut a packet into its NAL units; the empty ones are left out."""
    view = memoryview(payload)
    if length_size:
        start = 0
        while start + length_size < len(view):
            length = int.from_bytes(view[start : start + length_size], "big")
            if start + length_size + length > len(view):
                yield _BROKEN_NAL
                return
            if length:
                yield view[start + length_size : start + length_size + length]
            start += length_size + length
        return
    data = bytes(view)
    start = data.find(b"\0\0\1")
    while start >= 0:
        end = data.find(b"\0\0\1", start + 3)
        nal = view[start + 3 : end if end >= 0 else len(data)]
        if len(nal):
            yield nal
        start = end


def _golomb_values(data: Payload, count: int) -> list[int]:
    """Read unsigned exponential Golomb codes from the first bits; fewer where the bits end."""
    bits = "".join(f"{byte:08b}" for byte in bytes(data))
    values: list[int] = []
    position = 0
    while len(values) < count:
        zeros = bits.find("1", position) - position
        end = position + 2 * zeros + 1
        if zeros < 0 or end > len(bits):
            break
        values.append(int(bits[position + zeros : end], 2) - 1)
        position = end
    return values

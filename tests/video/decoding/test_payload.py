import pytest

from stvit_video.video.decoding.payload import packet_reader

ANNEX_B = b"\0\0\1"
# first_mb_in_slice 0 = `1`, slice_type 5 (P) = `00110`, pic_parameter_set_id 0 = `1`
P_SLICE = bytes([0b10011010, 0x80])
# slice_type 7 (I) = `0001000`
I_SLICE = bytes([0b10001000, 0b10000000])
# messages: kind 6 (recovery point), 1 byte: exact after 0 = `1`, or 3 = `00100`, pictures
RECOVERY = ANNEX_B + bytes([6, 6, 1, 0b10000000, 0x80])
SLOW_RECOVERY = ANNEX_B + bytes([6, 6, 1, 0b00100000, 0x80])
OTHER_MESSAGE = ANNEX_B + bytes([6, 5, 255, 2, *[6] * 257, 0x80])


def _h264(payload, *, is_key=False):
    return packet_reader("h264", None)(payload, is_key)


def _lengths(*nals):
    return b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals)


def _mp4_header(pps_id):
    """An avcC box: one sequence parameter set, and a picture parameter set whose id is 0 or 1."""
    pps = bytes([0x68, {0: 0b10000000, 1: 0b01000000}[pps_id]])
    sps = bytes([0x67, 66, 0, 10])
    head = bytes([1, 66, 0, 10, 0xFF, 0xE1])
    return head + b"\0\4" + sps + b"\1" + b"\0\2" + pps


def test_h264_a_picture_that_nothing_refers_to_can_be_left_out():
    unused, used = bytes([0x01]) + P_SLICE, bytes([0x41]) + P_SLICE
    assert not _h264(ANNEX_B + unused).is_reference
    assert _h264(ANNEX_B + used).is_reference
    assert _h264(ANNEX_B + unused + ANNEX_B + used).is_reference


@pytest.mark.parametrize(
    ("packet", "is_entry"),
    [
        (ANNEX_B + bytes([0x65]) + I_SLICE, True),  # IDR
        (RECOVERY + ANNEX_B + bytes([0x41]) + I_SLICE, True),
        (OTHER_MESSAGE + RECOVERY + ANNEX_B + bytes([0x41]) + I_SLICE, True),
        (ANNEX_B + bytes([0x41]) + I_SLICE, False),  # later pictures may refer to earlier ones
        (SLOW_RECOVERY + ANNEX_B + bytes([0x41]) + I_SLICE, False),
        (RECOVERY + ANNEX_B + bytes([0x41]) + P_SLICE, False),
    ],
)
def test_h264_decoding_may_start_where_nothing_refers_back(packet, is_entry):
    assert _h264(packet, is_key=True).is_entry == is_entry
    assert not _h264(packet).is_entry


def test_h264_a_packet_without_a_slice_shows_nothing():
    message = ANNEX_B + bytes([6, 5, 1, 0x80])
    assert _h264(message) == (False, False, True, True)


@pytest.mark.parametrize(
    "payload",
    [
        ANNEX_B + bytes([0xC1]) + P_SLICE,  # the bit that must be 0
        ANNEX_B + bytes([0x41, 0b01000000]),  # the slice does not start at the first block
        ANNEX_B + bytes([0x41]),  # no slice header
    ],
)
def test_h264_nonsense_is_not_sound(payload):
    assert not _h264(payload).is_sound


def test_h264_a_slice_must_name_a_parameter_set_of_the_header_or_the_stream():
    picture = _lengths(bytes([0x41]) + P_SLICE)
    assert packet_reader("h264", _mp4_header(0))(picture, False).is_sound
    read = packet_reader("h264", _mp4_header(1))
    assert not read(picture, False).is_sound
    new_set = bytes([0x68, 0b10000000])
    assert read(_lengths(new_set, bytes([0x41]) + P_SLICE), False).is_sound
    assert read(picture, False).is_sound


def test_a_length_that_reaches_behind_the_packet_is_not_sound():
    picture = _lengths(bytes([0x41]) + P_SLICE)
    assert not packet_reader("h264", _mp4_header(0))(b"\0\0\1" + picture, False).is_sound


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_packet_without_any_known_part_has_lost_its_picture(codec):
    read = packet_reader(codec, None)
    for payload in (bytes(40), ANNEX_B + bytes([0x7F] * 9)):
        facts = read(payload, False)
        assert (facts.shows_picture, facts.is_sound) == (True, False)


def test_h264_a_message_may_end_anywhere():
    message = bytes([6, 255, 255, 2, 255, 1, *[7] * 20])
    for end in range(1, len(message)):
        assert not _h264(ANNEX_B + message[:end], is_key=True).is_entry
        assert not _h264(ANNEX_B + bytes([6] + [255] * end), is_key=True).is_entry


def test_hevc_decoding_may_start_at_a_random_access_picture():
    read = packet_reader("hevc", None)
    first_slice = bytes([1, 0x80])
    random_access, trailing = (ANNEX_B + bytes([kind << 1]) + first_slice for kind in (21, 1))
    assert read(random_access, True).is_entry
    assert not read(trailing, True).is_entry
    assert not read(ANNEX_B + bytes([1 << 1, 1, 0]), False).is_sound


def test_vp8_tells_whether_it_is_shown_and_a_key():
    read = packet_reader("vp8", None)
    assert read(bytes([0x10, 0, 0]), True) == (True, True, True, True)
    assert not read(bytes([0x01, 0, 0]), False).shows_picture
    assert not read(bytes([0x10, 0, 0]), False).is_sound


def test_vp9_tells_whether_it_is_shown():
    read = packet_reader("vp9", None)
    key, inter, hidden, again = 0b10000010, 0b10000110, 0b10000100, 0b10001000
    assert read(bytes([key, 0]), True) == (True, True, True, True)
    assert read(bytes([inter, 0]), False).shows_picture
    assert not read(bytes([hidden, 0]), False).shows_picture
    assert read(bytes([hidden, 0, 0xC1]), False).shows_picture  # a superframe
    assert read(bytes([again]), False).shows_picture
    assert not read(bytes([0b01000010, 0]), True).is_sound


def test_vp9_the_first_picture_of_a_superframe_says_whether_it_is_a_key():
    read = packet_reader("vp9", None)
    key, inter, end = 0b10000000, 0b10000100, 0xC1
    assert read(bytes([key, 0, end]), True) == (True, True, True, True)
    assert not read(bytes([inter, 0, end]), True).is_sound
    assert read(bytes([inter, 0, end]), False).is_sound


@pytest.mark.parametrize(
    ("sizes", "mark", "is_sound"),
    [
        ([20, 10], 0xC1, True),
        ([20, 11], 0xC1, False),  # more than there is
        ([30, 0], 0xC1, False),
        ([0xFF, 1], 0xC1, False),
        ([0xFF, 1], 0xC0, True),  # no second mark: one picture that ends like that
    ],
)
def test_vp9_the_pictures_of_a_superframe_fit_into_it(sizes, mark, is_sound):
    payload = bytes([0b10000100, *[0] * 29, 0xC1, *sizes, mark])
    assert packet_reader("vp9", None)(payload, False).is_sound == is_sound


@pytest.mark.parametrize(
    ("found", "width", "height", "is_sound"),
    [
        ("000", 26663, 43311, False),
        ("000", 3840, 2160, True),
        ("001", 26663, 43311, True),  # as large as a reference; other bits follow
    ],
)
@pytest.mark.parametrize("resets_no_context", [0, 1])
def test_vp9_a_size_that_cannot_be_is_not_sound(found, width, height, is_sound, resets_no_context):
    bits = f"1000011{resets_no_context}" + "00" * (1 - resets_no_context) + "00000001" + "0101" * 3
    bits += found + f"{width - 1:016b}{height - 1:016b}"
    payload = int(bits.ljust(80, "0"), 2).to_bytes(10, "big")
    assert packet_reader("vp9", None)(payload, False).is_sound == is_sound


def _obu(kind, *body):
    return bytes([kind << 3 | 2, len(body), *body])


@pytest.mark.parametrize(
    ("header", "is_entry"),
    [
        (0b00010000, True),  # key frame
        (0b00110000, False),  # inter frame
        (0b01010000, False),  # intra only: later pictures may refer to earlier ones
        (0b10000000, False),  # one that was decoded before is shown
    ],
)
def test_av1_decoding_may_start_at_a_key_frame(header, is_entry):
    read = packet_reader("av1", None)
    delimiter, sequence, metadata = _obu(2), _obu(1, 0b00000000, 9), _obu(5, *[1] * 200)
    payload = delimiter + sequence + metadata[:1] + b"\xc8\x01" + metadata[2:] + _obu(6, header, 1)
    assert read(payload, True) == (True, is_entry, True, True)
    assert not read(payload, False).is_entry


def test_av1_a_sequence_of_still_pictures_has_only_key_frames():
    payload = _obu(1, 0b00011000) + _obu(6, 0b11110000)
    assert packet_reader("av1", None)(payload, True).is_entry


@pytest.mark.parametrize(
    "payload", [b"", b"\x80\0", _obu(2), bytes([6 << 3 | 2, 9, 0]), b"\x32" + b"\xff" * 9]
)
def test_av1_nonsense_is_not_sound(payload):
    assert not packet_reader("av1", None)(payload, True).is_sound


def test_other_codecs_are_believed():
    assert packet_reader("ffv1", None)(b"x", True) == (True, True, True, True)
    assert packet_reader("ffv1", None)(b"x", False).is_entry is False

from types import SimpleNamespace

import pytest

from stvit_video.video.decoding.packets import read_packet_table


class _Packet(bytes):
    """A payload with the marks that a container puts on it."""

    def __new__(cls, pts, *, key=False, discard=False, corrupt=False, payload=b"x"):
        packet = super().__new__(cls, payload)
        packet.pts, packet.dts, packet.duration, packet.size = pts, pts, 10, len(payload)
        packet.pos = None
        packet.is_keyframe, packet.is_discard, packet.is_corrupt = key, discard, corrupt
        return packet


def _table(*packets, format_name="matroska,webm", codec="ffv1"):
    stream = SimpleNamespace(
        codec_context=SimpleNamespace(codec=SimpleNamespace(canonical_name=codec), extradata=None)
    )
    container = SimpleNamespace(format=SimpleNamespace(name=format_name))
    return read_packet_table(packets, container, stream)


def _open_gop():
    """Decoding order; the pictures at 40 and 50 are shown before the key frame ahead of them."""
    times = [(0, True), (20, False), (10, False), (30, False), (60, True), (40, False), (50, False)]
    return _table(*(_Packet(pts, key=key) for pts, key in times))


def test_pictures_are_listed_in_the_order_in_which_they_are_shown():
    table = _open_gop()
    assert table.pts.tolist() == [0, 10, 20, 30, 40, 50, 60]
    assert table.positions.tolist() == [0, 2, 1, 3, 5, 6, 4]
    assert (len(table.times), table.num_leading, table.gop) == (7, 2, "open")
    assert table.is_exact


def test_a_picture_shown_before_a_key_frame_needs_the_one_before_that():
    starts = [_open_gop().entry_for(picture).pts for picture in range(7)]
    assert starts == [0, 0, 0, 0, 0, 0, 60]


def test_what_is_not_shown_is_not_listed():
    table = _table(
        _Packet(0, key=True), _Packet(10, discard=True), _Packet(20, payload=b""), _Packet(30)
    )
    assert table.pts.tolist() == [0, 30]
    assert (table.num_hidden, len(table.times)) == (2, 4)
    assert table.is_exact


def test_entries_can_be_taken_away():
    table = _open_gop()
    fewer = table.with_entries_at([60, 10])
    assert fewer.entries.tolist() == [4]
    assert (fewer.entry(0).pts, fewer.entry(0).dts) == (60, 60)
    assert (fewer.num_false_keys, table.num_false_keys) == (1, 0)
    assert table.entries.tolist() == [0, 4]


@pytest.mark.parametrize(("times", "is_shared"), [((0, 10, 20), False), ((0, 10, 10), True)])
def test_pictures_that_share_a_time_are_noticed(times, is_shared):
    table = _table(*(_Packet(pts, key=pts == 0) for pts in times))
    assert table.has_shared_times is is_shared


@pytest.mark.parametrize(
    ("packets", "how", "doubt"),
    [
        ([_Packet(0, key=True), _Packet(None)], {}, "pictures without a time of their own"),
        ([_Packet(0, key=True), _Packet(0)], {}, "pictures without a time of their own"),
        ([_Packet(0, key=True), _Packet(10, corrupt=True)], {}, "damaged packets: 1"),
        ([_Packet(0), _Packet(10, key=True)], {}, "does not start with a key frame"),
        ([_Packet(10, key=True), _Packet(0)], {}, "does not start with a key frame"),
        ([_Packet(0, key=True)], {"format_name": "avi"}, "container avi"),
        ([_Packet(0, key=True)], {"codec": "mpeg4"}, "codec mpeg4"),
    ],
)
def test_a_table_that_may_not_tell_what_is_shown_says_why(packets, how, doubt):
    table = _table(*packets, **how)
    assert (table.doubt, table.is_exact) == (doubt, False)

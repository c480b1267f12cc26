"""Damage a text or a file as strangers and accidents do, by a generator of random numbers."""

from collections.abc import Callable
from random import Random

TOKENS = (
    *(b"-1", b"1e400", b"NaN", b"Infinity", b"99999999999", b"1e9", b"0", b"0.5", b"-0"),
    *(b"\x00", b"\x1b[31m", "\u202e".encode(), b"\xff\xfe", b"\r", b"\n", b"\t", b"\\", b"'", b'"'),
    *(b"[/x]", b"[bold]", b"[", b"]", b"{", b"}", b",", b";", b":", b"#", b"&a", b"*a", b"<<: *a"),
    *(b"../../x", b"http://127.0.0.1:9/a.mp4", b"concat:a.mp4", b"/dev/zero", b"a" * 5000),
    *(b"null", b"true", b"!!python/object/apply:os.system", b"path,label", b".mp4", b"label"),
)
_NESTED = (b"[", b"{", b'{"a":', b"- ", b"((")


def mutate(content: bytes, random: Random) -> bytes:
    """Change a content by one to four mutations, drawn in turn."""
    for _ in range(random.randint(1, 4)):
        content = random.choice(MUTATIONS)(content, random)
    return content


def _place(content: bytes, random: Random) -> int:
    return random.randint(0, len(content))


def _stretch(content: bytes, random: Random) -> tuple[int, int]:
    start = _place(content, random)
    return start, min(start + random.choice((1, 4, 40, 400)), len(content))


def flip_bits(content: bytes, random: Random) -> bytes:
    """Flip bits of some bytes."""
    changed = bytearray(content)
    for _ in range(random.randint(1, 8) if changed else 0):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def insert_token(content: bytes, random: Random) -> bytes:
    """Put something with a meaning anywhere."""
    place = _place(content, random)
    return content[:place] + random.choice(TOKENS) + content[place:]


def replace_word(content: bytes, random: Random) -> bytes:
    """Put something with a meaning in the place of a word."""
    words = [word for word in content.split() if len(word) < 100]
    if not words:
        return random.choice(TOKENS)
    return content.replace(random.choice(words), random.choice(TOKENS), 1)


def leave_out(content: bytes, random: Random) -> bytes:
    """Leave out a stretch."""
    start, end = _stretch(content, random)
    return content[:start] + content[end:]


def repeat(content: bytes, random: Random) -> bytes:
    """Repeat a stretch, up to a thousand times."""
    start, end = _stretch(content, random)
    return content[:end] + content[start:end] * random.choice((1, 2, 1000)) + content[end:]


def swap_lines(content: bytes, random: Random) -> bytes:
    """Change the order of the lines."""
    lines = content.splitlines(keepends=True)
    random.shuffle(lines)
    return b"".join(lines)


def cut_off(content: bytes, random: Random) -> bytes:
    """Keep the beginning."""
    return content[: _place(content, random)]


def nest(content: bytes, random: Random) -> bytes:
    """Open many brackets."""
    place = _place(content, random)
    return (
        content[:place]
        + random.choice(_NESTED) * random.choice((3, 300, 100_000))
        + content[place:]
    )


MUTATIONS: tuple[Callable[[bytes, Random], bytes], ...] = (
    *(flip_bits, insert_token, insert_token, replace_word, replace_word, leave_out),
    *(repeat, swap_lines, cut_off, nest),
)

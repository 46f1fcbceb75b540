"""A picture's size is read from its header; anything else is no picture."""

import io

import pytest
import segno

from bot.sandbox.pictures import Picture, picture


def png(scale: int) -> bytes:
    buffer = io.BytesIO()
    segno.make("x", micro=False).save(buffer, kind="png", scale=scale, border=0)
    return buffer.getvalue()


JPEG = (
    b"\xff\xd8"  # start
    b"\xff\xe0\x00\x04AB"  # a segment to be skipped
    b"\xff\xc0\x00\x0b\x08\x00\x20\x00\x30\x01\x01\x11\x00"  # frame: 32 high, 48 wide
)


def test_png_size_is_read() -> None:
    assert picture(png(3)) == Picture("image/png", 63, 63)


def test_jpeg_size_is_read_past_other_segments() -> None:
    assert picture(JPEG) == Picture("image/jpeg", 48, 32)


@pytest.mark.parametrize(
    "content",
    [b"", b"not a picture", b"\x89PNG\r\n\x1a\nrest", JPEG[:8], b"\xff\xd8junk-junk-junk"],
)
def test_anything_else_is_no_picture(content: bytes) -> None:
    assert picture(content) is None

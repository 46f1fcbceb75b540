"""The size of a picture from its header, for the two formats in which bots send QR codes."""

from dataclasses import dataclass

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's media type and its size in pixels."""

    media_type: str
    width: int
    height: int


def picture(content: bytes) -> Picture | None:
    """What `content` is, or ``None`` when it is neither PNG nor JPEG."""
    if content.startswith(_PNG) and content[12:16] == b"IHDR":
        width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
        return Picture("image/png", width, height)
    if content.startswith(_JPEG):
        return _jpeg(content)
    return None


def _jpeg(content: bytes) -> Picture | None:
    """Walk the segments up to the frame header, which holds height and width."""
    at = len(_JPEG)
    while at + 9 <= len(content) and content[at] == 0xFF:  # noqa: PLR2004 - every marker's first byte
        if content[at + 1] in _JPEG_FRAMES:
            height, width = (int.from_bytes(content[at + n : at + n + 2], "big") for n in (5, 7))
            return Picture("image/jpeg", width, height)
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return None

"""Draws a link as a QR code, in memory only: no file ever holds it."""

import asyncio
import io

import segno

#: Pixels a module. A link of 300 characters becomes about 600 pixels, sharp on any phone.
SCALE = 8
#: Modules of quiet zone that readers expect (ISO/IEC 18004).
BORDER = 4


async def qr_png(link: str) -> bytes:
    """A PNG of `link`; drawn in a thread, as it takes tens of milliseconds of pure Python."""
    return await asyncio.to_thread(_draw, link)


def _draw(link: str) -> bytes:
    picture = io.BytesIO()
    segno.make_qr(link, error="m").save(picture, kind="png", scale=SCALE, border=BORDER)
    return picture.getvalue()

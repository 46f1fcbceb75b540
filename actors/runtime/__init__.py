"""Actors on asyncio: the only code that knows pykka."""

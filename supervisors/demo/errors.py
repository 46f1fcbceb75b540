"""Why a demo cannot be shown."""


class DemoError(Exception):
    """The demo cannot run; the text says why and what to do."""

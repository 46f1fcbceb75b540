"""Asks a running back-end through the control socket in its `data_dir`: JSON over HTTP."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import (
    ClientConnectionError,
    ClientConnectorError,
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    UnixConnector,
)

from supervisors.console.errors import (
    BackendOutage,
    ConsoleError,
    NoBackend,
    NotUnderstood,
    Refused,
    Unanswered,
)
from supervisors.console.words import clean
from supervisors.operators.socket_path import CONTROL_SOCKET, short_path

TIMEOUT_S = 10.0
LOOK_AGAIN = "what was asked for may have been done or not, look before you repeat it"

OK, REFUSED, OUTAGE = 200, 400, 503


class Control:
    """The control socket of one back-end. A connection lasts for one question."""

    def __init__(self, data_dir: Path, *, timeout_s: float = TIMEOUT_S) -> None:
        self.data_dir = data_dir
        self._timeout_s = timeout_s

    async def look(self, path: str, **query: str | int) -> Any:
        """Ask how something is.

        Raises:
            ConsoleError: no answer, or none that helps.
        """
        return await self._ask("GET", path, query=query)

    async def change(self, path: str, **wish: Any) -> Any:
        """Have something done.

        Raises:
            ConsoleError: as `look`; after `Unanswered` it may have been done.
        """
        return await self._ask("POST", path, wish=wish)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        wish: Mapping[str, Any] | None = None,
    ) -> Any:
        try:
            with short_path(self.data_dir) as socket:
                async with (
                    ClientSession(
                        connector=UnixConnector(socket),
                        timeout=ClientTimeout(total=self._timeout_s),
                    ) as session,
                    session.request(
                        method, f"http://control{path}", params=query, json=wish
                    ) as response,
                ):
                    return await _answer(response)
        except ClientConnectorError as error:
            raise self._unreachable(error.os_error) from None
        except TimeoutError:
            raise Unanswered(f"no answer came within {self._timeout_s:g} s; {LOOK_AGAIN}") from None
        except (ClientConnectionError, ClientPayloadError):
            raise Unanswered(f"the back-end went away before it answered; {LOOK_AGAIN}") from None
        except ClientError as error:
            raise NotUnderstood(type(error).__name__) from None
        except OSError as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: OSError) -> ConsoleError:
        if isinstance(error, PermissionError):
            return ConsoleError(
                f"{self.data_dir.absolute() / CONTROL_SOCKET} is another user's;"
                " run this as the user who runs the back-end"
            )
        if isinstance(error, FileNotFoundError | ConnectionRefusedError | NotADirectoryError):
            return NoBackend(self.data_dir)
        return ConsoleError(
            f"{self.data_dir.absolute() / CONTROL_SOCKET}: {error.strerror or error}"
        )


async def _answer(response: ClientResponse) -> Any:
    try:
        answer = json.loads(await response.read())
    except (ValueError, RecursionError):
        raise NotUnderstood(f"status {response.status}, not JSON") from None
    if response.status == OK:
        return answer
    reason = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(reason, str):
        raise NotUnderstood(f"status {response.status}, no reason")
    match response.status:
        case status if status == REFUSED:
            raise Refused(clean(reason))
        case status if status == OUTAGE:
            raise BackendOutage(clean(reason))
        case _:
            raise ConsoleError(f"the back-end failed: {clean(reason)}")

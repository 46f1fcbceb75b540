"""Keeps one Xray running, and equal to the store: at its start, on suspicion, every 30 s.

A crash is answered with a restart after a growing pause; a configuration that Xray refuses
is not, because it would refuse it again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import structlog

from xray_api.node.api_socket import fresh_socket
from xray_api.node.apply import Applier
from xray_api.node.engine import Configuration, Engine, RunningXray
from xray_api.node.hot_api import HotApi, HotApiError
from xray_api.node.links import differences
from xray_api.node.process import (
    RC_CONFIG_ERROR,
    RC_START_ERROR,
    XrayStartError,
)
from xray_api.node.template import Template

MEND_EVERY_S = 30.0
#: Comparisons in a row without an answer, after which a living Xray counts as hung.
HUNG_AFTER = 3
RETRY_HUNG_S = 1.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
#: An Xray that ran this long is started again at once.
STEADY_S = 60.0
#: Tries of the first start when a port is busy: a predecessor may still be ending.
FIRST_START_TRIES = 3
API_ANSWERS_WITHIN_S = 10.0

_AFTER_A_REFUSAL = "mend node.xray_config or node.xray, then restart the node service"

_log = structlog.get_logger()


class Keeper:
    """The running Xray, whichever process that is at the moment."""

    def __init__(
        self,
        engine: Engine,
        template: Template,
        configuration: Configuration,
        applier: Applier,
        state_dir: Path,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,  # noqa: TID251 - the real one
    ) -> None:
        """Take what runs, how to make its configuration, and the folder for its API's socket."""
        self._engine = engine
        self._template = template
        self._configuration = configuration
        self._applier = applier
        self._state_dir = state_dir
        self._sleep = sleep
        self._process: RunningXray | None = None
        self._hot: HotApi | None = None
        self._reason = "Xray has not started yet"
        self._version: str | None = None
        self._restarts = 0

    @property
    def pid(self) -> int | None:
        """The running Xray's process id."""
        return self._process.pid if self._process else None

    @property
    def version(self) -> str | None:
        """The version of the last Xray that ran."""
        return self._version

    @property
    def restarts(self) -> int:
        """How often Xray has been started again."""
        return self._restarts

    @property
    def reason(self) -> str:
        """Why no Xray runs; empty while one does."""
        return self._reason

    async def start(self) -> None:
        """The first start; an Xray that a former service left running is taken over.

        Raises:
            XrayStartError: it failed; the service should not go on.
        """
        if await self._adopt():
            return
        for tries_left in reversed(range(FIRST_START_TRIES)):
            try:
                await self._start()
            except XrayStartError as error:
                if error.status != RC_START_ERROR or not tries_left:
                    raise
                await self._sleep(FIRST_PAUSE_S)
            else:
                return

    async def run(self) -> None:
        """Watch, mend and restart, until cancelled."""
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE_S
        while True:
            since = loop.time()
            if self._process is not None:
                await self._watch(self._process)
            if loop.time() - since >= STEADY_S:
                pause = 0.0
            if self._applier.rebuild.is_set():  # it ended because it was asked to
                self._applier.rebuild.clear()
            else:
                await self._sleep(pause)
                pause = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, pause * 2))
            try:
                await self._start()
            except XrayStartError as error:
                self._reason = f"Xray {error}"
                if error.status == RC_CONFIG_ERROR:
                    _log.error("xray_given_up", reason=str(error), hint=_AFTER_A_REFUSAL)
                    await asyncio.Event().wait()  # a person must change something
                _log.error("xray_start_failed", reason=str(error), next_pause_s=pause)
            else:
                self._restarts += 1
                _log.warning("xray_restarted", restarts=self._restarts, pid=self.pid)

    async def close(self) -> None:
        """The service ends: so does Xray, if it must not outlive it."""
        if process := await self._detach():
            await process.release()

    async def _end(self) -> None:
        if process := await self._detach():
            await process.stop()

    async def _detach(self) -> RunningXray | None:
        self._applier.detach()
        if self._hot is not None:
            await self._hot.close()
            self._hot = None
        process, self._process = self._process, None
        return process

    async def _adopt(self) -> bool:
        process = await self._engine.adopt(self._configuration)
        if process is None:
            return False
        try:
            await self._keep(process)
        except XrayStartError as error:
            _log.warning("xray_not_adopted", reason=str(error))
            return False
        _log.info("xray_adopted", version=self._version, pid=self.pid)
        return True

    async def _start(self) -> None:
        try:
            api_socket = await asyncio.to_thread(fresh_socket, self._state_dir)
        except OSError as error:
            raise XrayStartError(f"gets no socket for its API: {error.strerror}") from error
        await self._keep(await self._engine.start(self._configuration, api_socket))
        _log.info("xray_started", version=self._version, pid=self.pid)

    async def _keep(self, process: RunningXray) -> None:
        self._process = process
        self._hot = HotApi(process.api_socket, self._template.inbound.tag, self._template.flow)
        try:
            await self._verify(self._hot)
        except HotApiError as error:
            reason = f"does not answer its API: {error}"
            if not process.api_socket.exists():
                reason += "; it opened no socket, is it too old for that?"
            await self._end()
            raise XrayStartError(reason) from error
        except XrayStartError:
            await self._end()
            raise
        self._version = self._process.version
        self._reason = ""

    async def _verify(self, hot: HotApi) -> None:
        await hot.uptime(API_ANSWERS_WITHIN_S)
        if keys := differences(self._template, await hot.inbounds()):
            raise XrayStartError(f"runs another inbound than links are made from: {keys}")
        self._applier.attach(hot)
        await self._applier.mend()

    async def _watch(self, process: RunningXray) -> None:
        """Mend until the process has ended."""
        ended = asyncio.create_task(process.wait())
        failures = 0
        try:
            while not ended.done():
                await self._until_next_look(ended, RETRY_HUNG_S if failures else MEND_EVERY_S)
                if self._applier.rebuild.is_set():
                    await process.stop()
                    break
                failures = 0 if await self._mend_until(ended) else failures + 1
                if failures >= HUNG_AFTER:
                    _log.error("xray_hung", pid=process.pid)
                    await process.stop()
            status = await ended
        finally:
            ended.cancel()
        await self._end()
        self._reason = f"Xray ended with status {status}"
        if self._applier.rebuild.is_set():
            _log.info("xray_ended_to_be_rebuilt")
        else:
            _log.error("xray_ended", status=status)

    async def _until_next_look(self, ended: asyncio.Task[int], patience_s: float) -> None:
        suspicion = asyncio.create_task(self._applier.suspicion.wait())
        rebuild = asyncio.create_task(self._applier.rebuild.wait())
        first: set[asyncio.Task[Any]] = {ended, suspicion, rebuild}
        try:
            await asyncio.wait(first, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            suspicion.cancel()
            rebuild.cancel()
        self._applier.suspicion.clear()

    async def _mend_until(self, ended: asyncio.Task[int]) -> bool:
        """Whether Xray could be compared; one that has ended is not waited for."""
        mending = asyncio.create_task(self._mend())
        try:
            await asyncio.wait({mending, ended}, return_when=asyncio.FIRST_COMPLETED)
            return ended.done() or mending.result()
        finally:
            mending.cancel()

    async def _mend(self) -> bool:
        try:
            if self._hot is not None:
                await self._hot.uptime()  # a hung Xray shows here, before a list's long deadline
                if keys := differences(self._template, await self._hot.inbounds()):
                    # Links are made from ours: only a start with our configuration mends it.
                    _log.error("xray_runs_another_inbound", differ=keys)
                    self._applier.rebuild.set()
                    return True
            await self._applier.mend()
        except HotApiError as error:
            _log.warning("xray_not_compared", reason=str(error))
            return False
        return True

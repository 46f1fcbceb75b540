"""The node's account of itself, taken from the running Xray at the moment of asking."""

import asyncio
from dataclasses import dataclass
from importlib.metadata import version

from xray_api.contract import Readiness, ServiceState, UserCounts, WriterMark, XrayState
from xray_api.node.apply import Applier
from xray_api.node.hot_api import HotApiError
from xray_api.node.keeper import Keeper
from xray_api.node.links import Links, differences
from xray_api.node.store import Store
from xray_api.node.template import Template

SERVICE_VERSION = version("tollgate")


@dataclass(frozen=True, slots=True)
class _Observed:
    answers: bool = False
    uptime_s: int = 0
    users: int = 0
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Accountant:
    """Everything that readiness is about; `since` is the service's start in the loop's time."""

    store: Store
    applier: Applier
    keeper: Keeper
    template: Template
    links: Links
    allow_private_targets: bool
    since: float

    async def account(self, within_s: float) -> Readiness:
        """Whether changes and links are to be trusted now, and if not, why.

        Args:
            within_s: how long Xray may take to answer.
        """
        seen = await self._observe(within_s)
        refusal = await self.store.refusal()
        reasons = (*seen.reasons, *([f"the store cannot be written: {refusal}"] if refusal else []))
        writer = self.store.writer
        return Readiness(
            ready=not reasons,
            reasons=reasons,
            epoch=self.store.epoch,
            xray=XrayState(
                running=seen.answers,
                version=self.keeper.version,
                uptime_s=seen.uptime_s,
                restarts=self.keeper.restarts,
            ),
            inbound=self.links.inbound,
            users=UserCounts(desired=len(self.store.present()), applied=seen.users),
            writer=WriterMark(db_id=writer.db_id, seq=writer.seq) if writer else None,
            allow_private_targets=self.allow_private_targets,
            service=ServiceState(
                version=SERVICE_VERSION,
                uptime_s=int(asyncio.get_running_loop().time() - self.since),
            ),
        )

    async def _observe(self, within_s: float) -> _Observed:
        hot = self.applier.hot
        if hot is None:
            return _Observed(reasons=(self.keeper.reason or "Xray is starting",))
        try:
            async with asyncio.timeout(within_s):
                uptime_s = await hot.uptime()
                inbounds = await hot.inbounds()
                users = await hot.count()
        except (HotApiError, TimeoutError) as error:
            self.applier.suspicion.set()
            reason = str(error) or "not in the time given"
            return _Observed(reasons=(f"Xray does not answer its API: {reason}",))
        reasons = []
        if not self.applier.ready:
            reasons.append("the users of Xray are being compared with the store")
        if keys := differences(self.template, inbounds):
            self.applier.suspicion.set()
            reasons.append(f"links are made from another inbound: {', '.join(keys)} differ")
        desired = len(self.store.present())
        # Each change under way may be counted on one side only.
        if abs(desired - users) > self.applier.under_way:
            self.applier.suspicion.set()
            reasons.append(f"Xray has {users} users, the store wants {desired}")
        return _Observed(True, uptime_s, users, tuple(reasons))

"""The rules of OTP's supervisor in plain Python: written from its manual, not from our engine.

https://www.erlang.org/doc/apps/stdlib/supervisor.html, and `lib/stdlib/src/supervisor.erl` where
that is silent. No tasks, no clock: what happens is a queue of ends and a queue of restarts.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

RestartType = Literal["permanent", "transient", "temporary"]
Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]
AutoShutdown = Literal["never", "any_significant", "all_significant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A child specification of a worker."""

    name: str
    restart: RestartType = "permanent"
    significant: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A child specification of a supervisor, with what its `init` would return."""

    name: str
    restart: RestartType = "permanent"
    significant: bool = False
    strategy: Strategy = "one_for_one"
    intensity: int = 1
    period: int = 5
    auto_shutdown: AutoShutdown = "never"
    children: tuple["Worker | Group", ...] = ()


@dataclass(slots=True, eq=False)
class Slot:
    """A child as its supervisor has it in its list."""

    spec: Worker | Group
    #: `ended`: its supervisor has not heard yet; `waiting`: for the restart of `waits_for`.
    state: Literal["down", "running", "ended", "restarting", "waiting"] = "down"
    waits_for: "Slot | None" = None
    #: The supervisor that runs here, if it is one.
    inner: "Life | None" = None


@dataclass(slots=True, eq=False)
class Life:
    """One life of a supervisor."""

    spec: Group
    above: "Life | None"
    slots: list[Slot]
    restarts: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Otp:
    """A tree, what happens in it, and a diary: `+` started, `?` failed to, `-` ended, `x` crashed.

    `ended` tells how the top ended. `blurred` is set when a supervisor had something to mend while
    the one above it was still starting others: the diary of each is sure, how they interleave is
    not. `raced` is set when not even that is: when ends wait at two supervisors at a time, or such
    a hasty supervisor ends itself. Which is heard first is a matter of luck, in OTP too.
    """

    top: Group
    now: int = 0
    failing: dict[str, int] = field(default_factory=dict)
    diary: list[str] = field(default_factory=list)
    ended: Literal["", "normal", "error"] = ""
    raced: bool = False
    blurred: bool = False
    _root: Life | None = None
    _hasty: list[Life] = field(default_factory=list)
    _ends: deque[tuple[Life, Slot, Literal["normal", "error"]]] = field(default_factory=deque)
    _due: deque[tuple[Life, Slot]] = field(default_factory=deque)

    # What a test does

    def begin(self) -> None:
        """Start the tree."""
        self._root = self._init(self.top, None)
        self._run()

    def crash(self, *names: str) -> None:
        """Let running children end by an error, one after the other but before anybody hears."""
        for name in names:
            life, slot = self._running(name)
            self._leave(slot, "x")
            self._ends.append((life, slot, "error"))
        self._run()

    def end(self, name: str) -> None:
        """Let a running child end normally."""
        life, slot = self._running(name)
        self._leave(slot, "-")
        self._ends.append((life, slot, "normal"))
        self._run()

    def running(self) -> list[tuple[str, str]]:
        """Whom there is, with the name of its supervisor; from the top, in order."""
        return [(life.spec.name, slot.spec.name) for life, slot in self._walk(self._root)]

    # The supervisor

    def _init(self, spec: Group, above: Life | None) -> Life:
        self.diary.append(f"+{spec.name}")
        life = Life(spec, above, [Slot(child) for child in spec.children])
        self._start_all(life, list(life.slots), first=True)
        return life

    def _start_all(self, life: Life, slots: list[Slot], *, first: bool = False) -> None:
        """In order. Those after one that fails wait for it, unless nobody depends on anybody."""
        for number, slot in enumerate(slots):
            if self._start(life, slot):
                continue
            if first and life.above is not None:
                self.blurred = True
                self._hasty.append(life)
            self._ends.append((life, slot, "error"))
            if life.spec.strategy != "one_for_one":
                for later in slots[number + 1 :]:
                    later.state, later.waits_for = "waiting", slot
                return

    def _start(self, life: Life, slot: Slot) -> bool:
        spec, slot.waits_for = slot.spec, None
        if isinstance(spec, Group):
            slot.state = "running"
            slot.inner = self._init(spec, life)
            return True
        if self.failing.get(spec.name, 0) > 0:
            self.failing[spec.name] -= 1
            self.diary.append(f"?{spec.name}")
            slot.state = "ended"
            return False
        self.diary.append(f"+{spec.name}")
        slot.state = "running"
        return True

    def _heard(self, life: Life, slot: Slot, reason: Literal["normal", "error"]) -> None:
        restart = slot.spec.restart
        if restart == "permanent" or (restart == "transient" and reason == "error"):
            self._restart(life, slot)
            return
        if restart == "temporary":
            life.slots.remove(slot)
        slot.state = "down"
        if slot.spec.significant and self._to_shut_down(life):
            self._exit(life, "normal")
        else:  # those who waited for a temporary child's first start wait in vain
            self._start_all(life, [it for it in life.slots if it.waits_for is slot])

    def _to_shut_down(self, life: Life) -> bool:
        match life.spec.auto_shutdown:
            case "never":
                return False
            case "any_significant":
                return True
            case "all_significant":
                return not any(
                    slot.spec.significant and slot.state != "down" for slot in life.slots
                )

    def _restart(self, life: Life, slot: Slot) -> None:
        oldest = self.now - life.spec.period
        life.restarts = [at for at in life.restarts if at >= oldest] + [self.now]
        if len(life.restarts) > life.spec.intensity:
            self._exit(life, "error")
            return
        slot.state = "restarting"
        for other in reversed(self._together_with(life, slot)):
            self._terminate(other)
            if other.spec.restart == "temporary":
                life.slots.remove(other)
            else:
                other.state, other.waits_for = "waiting", slot
        self._due.append((life, slot))

    def _together_with(self, life: Life, slot: Slot) -> list[Slot]:
        match life.spec.strategy:
            case "one_for_one":
                return []
            case "one_for_all":
                return [other for other in life.slots if other is not slot]
            case "rest_for_one":
                return life.slots[life.slots.index(slot) + 1 :]

    def _exit(self, life: Life, reason: Literal["normal", "error"]) -> None:
        """A supervisor ends: its children first."""
        self.raced = self.raced or life in self._hasty
        above = life.above
        if above is None:
            self._end_of(life, "x" if reason == "error" else "-")
            self.ended, self._root = reason, None
            return
        slot = next(slot for slot in above.slots if slot.inner is life)
        self._leave(slot, "x" if reason == "error" else "-")
        self._ends.append((above, slot, reason))

    def _leave(self, slot: Slot, mark: str) -> None:
        if slot.inner is not None:
            self._end_of(slot.inner, mark)
            slot.inner = None
        else:
            self.diary.append(f"{mark}{slot.spec.name}")
        slot.state = "ended"

    def _end_of(self, life: Life, mark: str) -> None:
        for slot in reversed(life.slots):
            self._terminate(slot)
        self.diary.append(f"{mark}{life.spec.name}")

    def _terminate(self, slot: Slot) -> None:
        """Shut a child down, if it runs; what was to be heard of it is no news any more."""
        if slot.state == "running":
            self._leave(slot, "-")
        slot.state, slot.waits_for = "down", None
        self._ends = deque(entry for entry in self._ends if entry[1] is not slot)
        self._due = deque(entry for entry in self._due if entry[1] is not slot)

    # Time

    def _run(self) -> None:
        """First hear of all ends, then do the next restart, until nothing is left."""
        while self._ends or self._due:
            self.raced = self.raced or len({id(life) for life, _, _ in self._ends}) > 1
            if self._ends:
                self._heard(*self._ends.popleft())
                continue
            life, slot = self._due.popleft()
            self._hasty.clear()
            slot.waits_for = slot
            self._start_all(life, [it for it in life.slots if it.waits_for is slot])

    def _running(self, name: str) -> tuple[Life, Slot]:
        return next(pair for pair in self._walk(self._root) if pair[1].spec.name == name)

    def _walk(self, life: Life | None) -> Iterator[tuple[Life, Slot]]:
        if life is None:
            return
        for slot in life.slots:
            if slot.state == "running":
                yield life, slot
                yield from self._walk(slot.inner)

"""Pure: which wishes count, and what must change in Xray so that it equals them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

#: Additions from which a rebuild is quicker: they take 4 s one by one (measured).
_REBUILD_FROM = 20_000


@dataclass(frozen=True, slots=True)
class Wish:
    """What the back-end wants for one uuid, as of its generation; absent ones are tombstones."""

    gen: int
    present: bool


@dataclass(frozen=True, slots=True)
class Apply:
    """A newer wish: store it, then apply it."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """The wish that the store already holds: make sure that it is applied."""


@dataclass(frozen=True, slots=True)
class Stale:
    """A wish that has been overtaken; `gen` is the highest generation seen."""

    gen: int


def decide_wish(seen: Wish | None, asked: Wish) -> Apply | Repeat | Stale:
    """The fence: only a higher generation changes a mind; one generation has one wish."""
    if seen is None or asked.gen > seen.gen:
        return Apply()
    return Repeat() if asked == seen else Stale(seen.gen)


@dataclass(frozen=True, slots=True)
class RunningUser:
    """A user of the running Xray; `email` in lower case, as Xray compares it."""

    email: str
    id: str
    flow: str


@dataclass(frozen=True, slots=True)
class Correction:
    """Removals come first: one of them may take the uuid of a user who is to be added."""

    remove: tuple[str, ...]
    add: tuple[UUID, ...]

    def __bool__(self) -> bool:
        return bool(self.remove or self.add)


def correct(wishes: Mapping[UUID, Wish], running: Iterable[RunningUser], flow: str) -> Correction:
    """What makes the running Xray equal the wishes.

    A user is right if e-mail and id are his uuid, with this flow, and nobody shares his id:
    of two users with one id Xray serves the last one, and removing either shuts both out.
    """
    listed = list(running)
    ids = Counter(user.id for user in listed)
    right = {
        user.email
        for user in listed
        if user.id == user.email and user.flow == flow and ids[user.id] == 1
    }
    wanted = {str(uuid): uuid for uuid, wish in wishes.items() if wish.present}
    return Correction(
        remove=tuple(u.email for u in listed if u.email not in right or u.email not in wanted),
        add=tuple(uuid for email, uuid in wanted.items() if email not in right),
    )


@dataclass(frozen=True, slots=True)
class Replacement:
    """What a snapshot changes in the store.

    Attributes:
        newer: wishes with a generation that the store has not seen.
        tombstones: those whom the snapshot leaves out, absent from now on in the generation
            that stood: a late `put` of it must not bring them back.
        stale: users of the snapshot whom a newer or opposite wish keeps as they are.
    """

    newer: tuple[tuple[UUID, Wish], ...]
    tombstones: tuple[tuple[UUID, Wish], ...]
    stale: int


def decide_replacement(wishes: Mapping[UUID, Wish], wanted: Mapping[UUID, int]) -> Replacement:
    """Everybody in `wanted`, a generation for each, is to be let in, and nobody else."""
    decisions = {
        uuid: decide_wish(wishes.get(uuid), Wish(gen, present=True)) for uuid, gen in wanted.items()
    }
    return Replacement(
        newer=tuple(
            (uuid, Wish(wanted[uuid], present=True))
            for uuid, decision in decisions.items()
            if isinstance(decision, Apply)
        ),
        tombstones=tuple(
            (uuid, Wish(wish.gen, present=False))
            for uuid, wish in wishes.items()
            if wish.present and uuid not in wanted
        ),
        stale=sum(isinstance(decision, Stale) for decision in decisions.values()),
    )


def most_removals(running: int) -> int:
    """How many of the running users a snapshot may remove unasked: 20, or one in a hundred."""
    return max(20, running // 100)


def is_rebuild(correction: Correction, running: int) -> bool:
    """Whether one start of Xray with all users beats adding them one by one.

    100,000 additions take 18 s, a start with them 2 s, and 5 s more until a tunnel works
    (measured); but a start cuts everybody, so only where hardly anybody is there to be cut.
    """
    additions = len(correction.add)
    return additions >= _REBUILD_FROM and running * 100 <= additions

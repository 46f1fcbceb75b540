"""Pure: which wishes count, and what must change in Xray so that it equals them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID


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

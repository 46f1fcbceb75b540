"""What goes wrong: chosen by the seed, counted when it really happens, and over at some point."""

from collections.abc import Callable, Mapping
from uuid import UUID

from tests.simulation.backend import Company
from tests.simulation.nodes import Mood, Site
from tests.simulation.people import Town, named
from tests.simulation.world import CALM, Air, Simulated

STORM = Air(lost=0.1, reply_lost=0.1, doubled=0.2, held=0.08, garbled=0.05, slowest_s=1.0)
BREEZE = Air(lost=0.01, reply_lost=0.02, doubled=0.15, held=0.04, slowest_s=0.3)


class Trouble:
    """Makes trouble, and ends it."""

    def __init__(self, company: Company, town: Town) -> None:
        self.company = company
        self.town = town
        self.world: Simulated = company.world
        self.over = False
        self._kills = 0
        for site in company.sites.values():
            site.late = self._meanwhile
        #: When something last happened that may cost somebody an answer, seconds.
        self.last_s = 0.0

    def strike(self) -> None:
        """One fault."""
        faults: Mapping[Callable[[], None], int] = {
            self.weather: 6,
            self.node_mood: 5,
            self.node_wiped: 2,
            self.node_old_image: 1,
            self.foreign_user: 2,
            self.foreign_removal: 2,
            self.foreign_crowd: 1,
            self.kill_actor: 5,
            self.kill_process: 4,
            self.second_process: 4,
            self.storage_away: 3,
            self.storage_unsure: 5,
            self.telegram_away: 2,
            self.provider_away: 2,
            self.clock_jump: 2,
        }
        self.last_s = self.world.loop.time()
        self.world.chance.choices(list(faults), list(faults.values()))[0]()

    def weather(self) -> None:
        """Calls are lost, late, doubled, held, garbled for a while."""
        world = self.world
        air = world.chance.choice((STORM, BREEZE))
        world.air = air
        self._note("storm" if air is STORM else "breeze")
        self._for(self._a_while(), lambda: self._calm(air))

    def _calm(self, air: Air) -> None:
        if self.world.air is air:
            self.world.air = CALM

    def node_mood(self) -> None:
        """A node is away, slow, sick, busy, or takes no key."""
        site = self._site()
        mood = self.world.chance.choice(
            (Mood.AWAY, Mood.AWAY, Mood.SLOW, Mood.SICK, Mood.BUSY, Mood.KEYLESS)
        )
        site.mood = mood
        self._note(f"node {mood.value}", site.node_id)

        def recover() -> None:
            if site.mood is mood:
                site.mood = Mood.WELL
                self.world.tell(site.node_id, "is well")

        self._for(self._a_while(), recover)

    def node_wiped(self, site: Site | None = None) -> None:
        """A node is rebuilt: an empty store, a new epoch."""
        site = site or self._site()
        site.node.wipe()
        self._note("node wiped", site.node_id)

    def _meanwhile(self, site: Site, late_s: float) -> None:
        """A call is on its way for so long that it may meet another node."""
        if self.world.happens(0.15):
            before_s = late_s * self.world.chance.random() ** 2
            self._for(late_s - before_s, lambda: self.node_wiped(site))

    def node_old_image(self) -> None:
        """A node goes back to how it was some time ago, epoch and all."""
        site = self._site()
        node = site.node
        was = (node.epoch, dict(node.wishes), set(node.running), node._writer)
        self._note("image kept", site.node_id)

        def restore() -> None:
            if node.epoch != was[0]:
                return
            node.epoch, node.wishes, node.running, node._writer = was[0], was[1], was[2], was[3]
            site.tainted |= node.running
            site.restored += 1
            self._note("node old image", site.node_id)

        self._for(self._a_while() * 2, restore)

    def foreign_user(self) -> None:
        """Somebody lets a user in behind the node's back."""
        site = self._site()
        uuid = UUID(int=self.world.chance.getrandbits(128), version=4)
        site.tainted.add(uuid)
        site.node.add_stranger(uuid)
        self._note(f"foreign user {named(uuid)}", site.node_id, "foreign user")

    def foreign_crowd(self) -> None:
        """More users without a right than may be removed unasked."""
        site = self._site()
        for _ in range(self.world.chance.randint(21, 30)):
            uuid = UUID(int=self.world.chance.getrandbits(128), version=4)
            site.tainted.add(uuid)
            site.node.add_stranger(uuid)
        self._note("foreign crowd", site.node_id)

    def foreign_removal(self) -> None:
        """Somebody removes a user behind the node's back; the service does not know."""
        site = self._site()
        if site.node.running:
            uuid = self.world.chance.choice(sorted(site.node.running))
            site.node.running.discard(uuid)
            site.node.wishes.pop(uuid, None)
            self._note(f"foreign removal of {named(uuid)}", site.node_id, "foreign removal")

    def kill_actor(self) -> None:
        """One actor is cut off in whatever it does."""
        world, life = self.world, self.company.life
        actors = [one for one in life.actors() if not one[0].startswith("journal")]
        if not actors or self._kills > 6:
            return
        self._kills += 1
        name, actor = world.chance.choice(sorted(actors, key=lambda one: one[0]))
        actor.kill()
        self._note(f"actor {name} killed", "back-end", "actor killed")

    def kill_process(self) -> None:
        """Kill -9, and a start a moment later."""
        self.company.kill()
        self._note("process killed")
        self._for(self.world.chance.random() * 5, self.company.begin, always=True)

    def second_process(self) -> None:
        """Another back-end takes the database over, while this one still runs."""
        self.company.begin()
        self._note("second process")

    def storage_away(self) -> None:
        """The database does not answer for a while."""
        storage = self.company.storage
        storage.away = True
        self._note("database away")

        def back() -> None:
            storage.away = False
            self.last_s = self.world.loop.time()
            self.world.tell("database", "is back")

        self._for(self.world.chance.random() ** 2 * 40, back)

    def storage_unsure(self) -> None:
        """Commits are lost, or happen and nobody hears it."""
        storage, chance = self.company.storage, self.world.chance
        storage.lost, storage.unknown = chance.choice(((0.1, 0.0), (0.0, 0.15), (0.08, 0.08)))
        self._note("commits unsure")

        def sure() -> None:
            storage.lost = storage.unknown = 0.0
            self.last_s = self.world.loop.time()

        self._for(1 + chance.random() * 20, sure)

    def telegram_away(self) -> None:
        """Telegram does not answer."""
        telegram = self.company.outside.telegram
        telegram.away = True
        self._note("telegram away")
        self._for(self._a_while(), lambda: setattr(telegram, "away", False))

    def provider_away(self) -> None:
        """A provider does not answer."""
        till = self.company.tills[self.world.chance.choice(("stars", "cryptopay"))]
        till.away = True
        self._note(f"{till.name} away", what="provider away")
        self._for(self._a_while(), lambda: setattr(till, "away", False))

    def clock_jump(self) -> None:
        """A clock goes wrong, and is corrected."""
        times, chance = self.world.times, self.world.chance
        jump_s = chance.choice((-1, 1)) * (2.0 + chance.random() ** 3 * 7_200)
        which = chance.choice(("database_s", "host_s"))
        setattr(times, which, jump_s)
        times.furthest_s = max(times.furthest_s, times.database_s)
        self._note(f"clock {which[:-2]} jumps {jump_s:+.0f} s", what=f"clock jump {which[:-2]}")
        self._for(self._a_while(), lambda: setattr(times, which, 0.0))

    def end(self) -> None:
        """All faults are over."""
        self.over = True
        world, company = self.world, self.company
        world.tell("world", "all faults are over")
        world.air = CALM
        world.times.database_s = world.times.host_s = 0.0
        for site in company.sites.values():
            site.mood = Mood.WELL
        for till in company.tills.values():
            till.away = False
        company.outside.telegram.away = False
        for user_id in sorted(company.outside.telegram.blocked):
            self.town.set_blocked(user_id, blocks=False)
        storage = company.storage
        storage.away, storage.lost, storage.unknown = False, 0.0, 0.0
        if company.life.process.dead:
            company.begin()

    def _site(self) -> Site:
        return self.world.chance.choice(list(self.company.sites.values()))

    def _a_while(self) -> float:
        return 0.5 + self.world.chance.random() ** 2 * 180

    def _for(self, after_s: float, undo: Callable[[], None], *, always: bool = False) -> None:
        def end() -> None:
            if not self.over and (not always or self.company.life.process.dead):
                undo()

        self.world.later(after_s, end)

    def _note(self, text: str, who: str = "world", what: str = "") -> None:
        self.world.count(f"fault: {what or text}")
        self.world.tell(who, text)

"""What goes wrong when a test says so, and what the kit then tells of it."""

from dataclasses import replace
from typing import Any

import pytest

from actors.runtime.actor import AsyncioActor
from actors.runtime.messages import ChildEnded, Tick
from actors.runtime.replies import ActorFailed, Unavailable
from supervisors.engine.child import ChildSpec
from supervisors.engine.policy import Exceeded, Policy, Strategy
from tests.kit.kit import Kit, parts
from tests.puppets import Bug, Do, Note, Outage, Puppet, fail

NO_BACKOFF = Policy(max_restarts=9, window_s=60, backoff_base_s=1e-9, backoff_cap_s=1e-9)


class Family:
    """Puppets by key; what each has noted outlives it."""

    def __init__(self) -> None:
        self.notes: dict[str, list[str]] = {}

    def __call__(self, key: str) -> AsyncioActor:
        """Make the one of this key."""
        return Puppet(self.notes.setdefault(key, []))


def clerk(seen: list[str] | None = None) -> ChildSpec:
    return ChildSpec(name="clerk", start=lambda: Puppet(seen))


def boss() -> ChildSpec:
    return ChildSpec(name="boss", start=Puppet)


# fail


@pytest.mark.parametrize(
    ("fault", "noted"),
    [
        ({}, ["a", "b", "tick", "c"]),
        ({"at": 2}, ["a", "b", "tick", "c"]),
        ({"at": 3, "on": Note}, ["a", "b", "tick", "c"]),
        ({"on": Tick}, ["a", "b", "c"]),  # nobody tries a tick again
        ({"at": 2, "times": 3}, ["a", "tick", "c"]),  # three strikes: set aside
        ({"times": None}, []),
    ],
    ids=["first", "second", "third-note", "tick", "second-for-good", "always"],
)
async def test_an_actor_fails_at_the_message_it_is_told_to(
    fault: dict[str, Any], noted: list[str]
) -> None:
    seen: list[str] = []
    async with Kit() as kit:
        await kit.start(clerk(seen), policy=NO_BACKOFF, exceeded=Exceeded.KEEP_TRYING)
        kit.fail("clerk", **fault)

        for message in (Note("a"), Note("b"), Tick(), Note("c")):
            kit.tell("clerk", message)
        await kit.pass_time(60)

        assert seen == noted
        assert kit.history("clerk")[0].startswith("crashed Bug during ")


async def test_the_error_is_the_one_that_the_test_names() -> None:
    async with Kit() as kit:
        await kit.start(clerk())
        kit.fail("clerk", times=3, error=OSError("the disk is full"))

        with pytest.raises(ActorFailed):
            await kit.ask("clerk", Note("a"))

        letter = kit.assert_dead_letter("clerk", Note, error=OSError)
        assert (letter.attempts, str(letter.error)) == (3, "the disk is full")


async def test_weather_is_no_crash() -> None:
    async with Kit() as kit:
        await kit.start(clerk())
        kit.fail("clerk", error=Outage)

        with pytest.raises(Unavailable):
            await kit.ask("clerk", Note("a"))

        assert await kit.ask("clerk", Note("a")) == 1
        kit.assert_untouched("clerk")


async def test_a_supervisor_can_fail_over_the_end_of_a_child() -> None:
    async with Kit() as kit:
        await kit.start_tree(parts())
        kit.fail("notifier", on=ChildEnded)

        kit.kill("notifier/telegram")
        await kit.pass_time(10)

        kit.assert_restarted("notifier")
        kit.assert_untouched("patrol")


@pytest.mark.parametrize("wrong", [{"at": 0}, {"times": 0}])
async def test_messages_are_counted_from_one(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="counted from 1"):
        Kit().fail("clerk", **wrong)


async def test_a_fault_that_never_happened_fails_the_test() -> None:
    async def misspelled() -> None:
        async with Kit() as kit:
            await kit.start(clerk())
            kit.fail("clerk", at=2, on=Note)
            kit.hang("clark")
            await kit.ask("clerk", Note("a"))

    with pytest.raises(AssertionError) as failed:
        await misspelled()

    assert str(failed.value) == (
        "never happened: clerk fails at Note message 2: it took 1; clark hangs at message 1: it"
        " took 0"
    )
    assert "KIT_SEED=" in failed.value.__notes__[0]


async def test_a_test_that_fails_for_another_reason_says_that_one() -> None:
    async def wrong() -> None:
        async with Kit() as kit:
            await kit.start(clerk())
            kit.fail("clerk", at=2)
            raise Bug

    with pytest.raises(Bug):
        await wrong()


# hang


async def test_one_that_hangs_goes_on_when_released() -> None:
    seen: list[str] = []
    async with Kit() as kit:
        await kit.start(clerk(seen))
        kit.hang("clerk", at=2)
        for text in "abc":
            kit.tell("clerk", Note(text))
        assert await kit.quiet() == {"clerk": "Note"}
        assert seen == ["a"]

        kit.release("clerk")

        assert await kit.quiet() == {}
        assert seen == ["a", "b", "c"]
        kit.assert_untouched("clerk")


async def test_only_one_that_hangs_can_be_released() -> None:
    async with Kit() as kit:
        await kit.start(clerk(), boss())
        kit.hang("boss")
        kit.tell("boss", Note("a"))
        await kit.quiet()

        with pytest.raises(LookupError, match="clerk does not hang; boss does"):
            kit.release("clerk")


async def test_one_that_hangs_is_cut_off_by_the_patrol() -> None:
    seen: list[str] = []
    async with Kit() as kit:
        await kit.start(clerk(seen), kit.patrol())
        kit.hang("clerk")
        kit.tell("clerk", Note("a"))

        assert await kit.pass_time(59) == {"clerk": "Note"}
        assert await kit.pass_time(11) == {}

        assert kit.history("clerk")[0] == "crashed Hung during Note"
        assert seen == ["a"]


# kill


async def test_one_that_is_killed_comes_back() -> None:
    async with Kit() as kit:
        await kit.start(clerk())

        kit.kill("clerk")
        await kit.quiet()

        assert kit.history("clerk")[0] == "killed during waiting"
        with pytest.raises(LookupError, match="clerk is not running"):
            kit.kill("clerk")
        assert await kit.ask("clerk", Note("a")) == 1
        kit.assert_restarted("clerk")


async def test_one_is_killed_with_a_message_in_hand_before_it_is_handled() -> None:
    seen: list[str] = []
    async with Kit() as kit:
        await kit.start(clerk(seen))
        kit.kill("clerk", at=2)

        for text in "abc":
            kit.tell("clerk", Note(text))
        await kit.pass_time(1)

        assert seen == ["a", "b", "c"]
        assert kit.history("clerk")[0] == "killed during Note"
        kit.assert_restarted("clerk")


# families, and the whole tree


async def test_a_family_has_names_partitions_and_a_patrol() -> None:
    family = Family()
    async with Kit() as kit:
        await kit.start_family("user", family, partitions=2)
        kit.fail("user/7")

        assert await kit.ask("user/7", Note("a")) == 1
        assert await kit.ask("user/8", Note("b")) == 1
        assert family.notes == {"7": ["a"], "8": ["b"]}
        kit.assert_restarted("user/7")
        kit.assert_untouched("user/8")

        await kit.pass_time(310)
        with pytest.raises(LookupError, match="user/8 is not running"):
            kit.actor("user/8")
        kit.assert_untouched("user/8")


async def test_a_user_that_fails_too_often_is_parked_and_comes_back() -> None:
    family = Family()
    policy = Policy(max_restarts=2, window_s=60, backoff_base_s=0.1, backoff_cap_s=5, park_s=300)
    async with Kit() as kit:
        await kit.start_family("user", family, policy=policy)
        kit.fail("user/7", times=3)

        for text in "ab":
            kit.tell("user/7", Note(text))
        await kit.pass_time(100)
        assert kit.history("user/7")[-1] == "parked for 300 s"
        assert family.notes.get("7") == []
        await kit.pass_time(300)

        assert family.notes["7"] == ["b"]
        kit.assert_dead_letter("user/7", Note, error=Bug)


async def test_a_storm_is_no_touch_for_those_who_are_well() -> None:
    family = Family()
    policy = replace(NO_BACKOFF, storm_children=2)
    async with Kit() as kit:
        await kit.start_family("user", family, partitions=1, policy=policy)
        await kit.ask("user/8", Note("well"))
        for name in ("user/6", "user/7"):
            kit.fail(name)
            kit.tell(name, Note("a"))
        await kit.pass_time(10)

        assert kit.history("users/00") == ["storm"]
        kit.assert_untouched("user/8")


async def test_in_the_whole_tree_a_branch_takes_along_those_that_started_after_it() -> None:
    async with Kit() as kit:
        await kit.start_tree(parts())
        await kit.ask("notifier/telegram", Note("a"))

        kit.kill("provisioners")
        await kit.pass_time(10)

        assert kit.history("provisioners")[0] == "killed during waiting"
        assert kit.history("door") == ["stopped along with provisioners", "started 2"]
        kit.assert_restarted("users")
        kit.assert_untouched("notifier/telegram")
        with pytest.raises(AssertionError, match="inbox was left alone, but door above it was not"):
            kit.assert_untouched("inbox")


async def test_siblings_go_down_together_if_the_policy_says_so() -> None:
    policy = Policy(
        strategy=Strategy.ONE_FOR_ALL,
        max_restarts=1,
        window_s=60,
        backoff_base_s=0.1,
        backoff_cap_s=5,
    )
    async with Kit() as kit:
        await kit.start(clerk(), boss(), policy=policy)
        kit.kill("boss")
        await kit.pass_time(5)
        assert kit.history("clerk") == ["stopped along with boss", "started 2"]

        kit.kill("boss")
        await kit.quiet()

        assert kit.history("top") == ["gave up boss: too many restarts"]


# What a failed assertion says


async def test_a_wrong_number_of_restarts_is_told_with_the_whole_story() -> None:
    async with Kit(1) as kit:
        await kit.start(clerk(), policy=NO_BACKOFF)
        await kit.pass_time(2)
        kit.tell("clerk", Note("a"))
        kit.fail("clerk")
        await kit.pass_time(1)

        with pytest.raises(AssertionError, match="started again 1 times, not 0"):
            kit.assert_restarted("clerk", times=0)
        with pytest.raises(AssertionError) as failed:
            kit.assert_restarted("clerk", times=2)

    assert str(failed.value).splitlines() == [
        "clerk was started again 1 times, not 2",
        "the story of clerk:",
        "     2.000 s  took Note",
        "     2.000 s  crashed Bug during Note",
        "     2.000 s  restarting in 0.0 s",
        "     2.000 s  started 2",
        "     2.000 s  took Note",
    ]


async def test_one_that_was_touched_is_told_with_its_story() -> None:
    async with Kit() as kit:
        await kit.start(clerk())
        kit.tell("clerk", Do(fail))
        await kit.quiet()

        with pytest.raises(AssertionError, match=r"not left alone\n.*\n.*took Do\n.*crashed Bug"):
            kit.assert_untouched("clerk")


async def test_one_that_never_lived_is_not_untouched() -> None:
    async with Kit() as kit:
        await kit.start_family("user", Family())

        with pytest.raises(
            AssertionError, match=r"user/7 never lived(.|\n)*nothing happened to it"
        ):
            kit.assert_untouched("user/7")


async def test_a_missing_dead_letter_is_told_with_the_story() -> None:
    async with Kit() as kit:
        await kit.start(clerk())
        kit.fail("clerk", times=2)
        await kit.ask("clerk", Note("a"))

        with pytest.raises(
            AssertionError, match=r"clerk has 0 dead letters, not 1: Note(.|\n)*took"
        ):
            kit.assert_dead_letter("clerk", Note)


async def test_a_dead_letter_of_another_kind_is_not_the_one() -> None:
    async with Kit() as kit:
        await kit.start(clerk())
        kit.fail("clerk", times=3)
        kit.tell("clerk", Note("a"))
        await kit.pass_time(10)

        assert kit.assert_dead_letter("clerk", Note).message == Note("a")
        with pytest.raises(AssertionError, match="Do set aside by BaseException"):
            kit.assert_dead_letter("clerk", Do)
        with pytest.raises(AssertionError, match="Note set aside by OSError"):
            kit.assert_dead_letter("clerk", Note, error=OSError)

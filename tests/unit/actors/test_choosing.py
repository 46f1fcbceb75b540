"""Which wishes go to a node first."""

from dataclasses import replace
from uuid import uuid4

from actors.provisioner.decisions import choose
from storage.rows import CredentialRow, Desired
from tests.unit.actors.rows import credential


def rows(count: int, desired: Desired, *, bulk: bool = False) -> list[CredentialRow]:
    one = credential()
    return [replace(one, uuid=uuid4(), desired=desired, bulk=bulk) for _ in range(count)]


def test_half_of_the_places_are_kept_for_those_who_paid() -> None:
    adds, removals = rows(9, Desired.PRESENT), rows(9, Desired.ABSENT)

    assert choose(adds, removals, 8) == [*removals[:4], *adds[:4]]


def test_places_that_one_kind_does_not_need_go_to_the_other() -> None:
    adds, removals = rows(1, Desired.PRESENT), rows(9, Desired.ABSENT)

    assert choose(adds, removals, 8) == [*removals[:7], *adds]
    assert choose(rows(0, Desired.PRESENT), removals, 8) == removals[:8]
    more = rows(9, Desired.PRESENT)
    assert choose(more, [], 8) == more[:8]


def test_a_single_wish_goes_before_all_that_were_made_in_bulk() -> None:
    paid, ban = rows(1, Desired.PRESENT), rows(1, Desired.ABSENT)
    rebuilt, swept = rows(9, Desired.PRESENT, bulk=True), rows(9, Desired.ABSENT, bulk=True)

    assert choose([*paid, *rebuilt], [*ban, *swept], 4) == [*ban, *paid, swept[0], rebuilt[0]]


def test_one_place_is_for_who_paid() -> None:
    adds, removals = rows(1, Desired.PRESENT), rows(1, Desired.ABSENT)

    assert choose(adds, removals, 1) == adds
    assert choose(adds, removals, 0) == []

"""Names as readers know them: who acted, by what way money came, which bound was in the way."""

import re
from collections.abc import Mapping

from bot.reports.fitting import one_line
from bot.texts import Value

LONGEST_NAME = 120
#: As `bot/routers/admin/wording.py` and the users' actors write who acts.
_OWNER, _BUYER = re.compile(r"telegram:([0-9]{1,20})"), re.compile(r"user/[0-9]+")
#: What works by itself, and signs for it.
PROGRAM = frozenset({"tollgate", "provisioner"})
WAYS = frozenset({"stars", "cryptopay", "card", "manual"})


def who_acts(who: str) -> Mapping[str, Value]:
    """What the text `who-name` has places for; a name of another kind is shown as it is."""
    if owner := _OWNER.fullmatch(who):
        return {"kind_of_who": "owner", "who": owner[1]}
    if _BUYER.fullmatch(who):
        return {"kind_of_who": "buyer", "who": ""}
    if who in PROGRAM:
        return {"kind_of_who": "program", "who": ""}
    if who in WAYS:
        return {"kind_of_who": "provider", "who": "", "provider": who}
    return {"kind_of_who": "other", "who": one_line(who, LONGEST_NAME)}

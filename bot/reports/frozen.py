"""Why a node was frozen, as a kind that the texts have words and advice for.

The program writes its reasons in English, for the log and the terminal; whoever is woken by one
reads what it means. A reason that is not known here is shown as it is.
"""

import re

OTHER = "other"
#: As the actors of nodes write them (`actors/reconciler/decisions.py`, the provisioner's answers).
KINDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("foreign", re.compile(r"another database wrote to it")),
    (
        "backup",
        re.compile(
            r"it has seen (writing that|newer wishes for|generation \d)"
            r"|\d+ of its users have no rows"
        ),
    ),
    ("strangers", re.compile(r"it has \d+ users, and this database never had any")),
    ("many", re.compile(r"\d+ (of its \d+ users should not be there|were removed within a day)")),
)


def kind_of(reason: str) -> str:
    """The kind of a reason."""
    return next((kind for kind, words in KINDS if words.match(reason)), OTHER)

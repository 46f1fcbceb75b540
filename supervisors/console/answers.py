"""What a back-end answered, as the values that its JSON stands for."""

from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from supervisors.console.errors import NotUnderstood
from supervisors.console.words import clean

Answer = TypeVar("Answer")


def parsed(kind: type[Answer], answer: Any) -> Answer:
    """An answer as the value that it stands for.

    Raises:
        NotUnderstood: it is none.
    """
    try:
        return TypeAdapter(kind).validate_python(answer)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise NotUnderstood(f"{kind.__name__}: {clean(place)}".removesuffix(": ")) from None


def listed(kind: type[Answer], answer: Any, name: str) -> list[Answer]:
    """The values of an answer that is a list under a name.

    Raises:
        NotUnderstood: there is none, or one of them is not such a value.
    """
    items = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(items, list):
        raise NotUnderstood(f"no {name}")
    return [parsed(kind, item) for item in items]

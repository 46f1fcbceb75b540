"""Pure: the operator's template checked, and Xray's configuration made from it.

What is wrong is reported with the place where it stands, and never with its value.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from xray_api.node.template import API_TAG, Template

_WRITTEN_BY_SERVICE = frozenset({"api", "stats", "policy"})
_OPENS_PRIVATE = "finalRules"
#: What lets users reach addresses that Xray keeps from them by default.
_ALLOW_ALL = {"action": "allow", "network": "tcp,udp"}


class TemplateError(Exception):
    """The template cannot be used; `problems` holds one line for each reason."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def read_template(text: str, *, allow_private_targets: bool) -> Template:
    """Check the operator's template.

    Raises:
        TemplateError: no correct Xray, or no correct link, can be made from it.
    """
    try:
        template = Template.model_validate(json.loads(text, object_pairs_hook=_unique))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise TemplateError([f"not JSON: {error.msg} ({place})"]) from None
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        raise TemplateError([_line(fault["loc"], fault) for fault in faults]) from None
    except ValueError as error:
        raise TemplateError([str(error)]) from None
    if not allow_private_targets:
        _refuse_private_targets(template)
    return template


def render(
    template: Template, users: Iterable[UUID], *, api_socket: Path, allow_private_targets: bool
) -> dict[str, Any]:
    """The configuration that Xray gets: the template, the users, and the service's own parts."""
    config = template.model_dump(mode="json", by_alias=True, exclude_unset=True)
    config["log"] = {"loglevel": template.log.loglevel, "access": "none"}  # it names users
    config["api"] = {
        "tag": API_TAG,
        # Its folder keeps others out. So the service gets in also where root runs Xray.
        "listen": f"{api_socket},0666",
        "services": ["HandlerService", "StatsService"],
    }
    config["stats"] = {}
    counters = ("statsUserUplink", "statsUserDownlink", "statsUserOnline")
    config["policy"] = {"levels": {"0": dict.fromkeys(counters, True)}}
    config["inbounds"][0]["settings"]["clients"] = [
        {"id": str(uuid), "email": str(uuid), "flow": template.flow, "level": 0} for uuid in users
    ]
    if allow_private_targets:
        _open_private_targets(config["outbounds"])
    return config


def _open_private_targets(outbounds: list[dict[str, Any]]) -> None:
    for outbound in outbounds:
        if outbound["protocol"] == "freedom":
            outbound["settings"] = {**outbound.get("settings", {}), _OPENS_PRIVATE: [_ALLOW_ALL]}


def _refuse_private_targets(template: Template) -> None:
    problems = [
        f"outbounds[{number}].settings.{_OPENS_PRIVATE}: may open loopback and private addresses"
        " to users; remove it (node.allow_private_targets is for demo and tests)"
        for number, outbound in enumerate(template.outbounds)
        if outbound.settings is not None and outbound.settings.final_rules is not None
    ]
    if problems:
        raise TemplateError(problems)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name}: stands twice in one object")
    return dict(pairs)


def _line(location: tuple[int | str, ...], fault: Any) -> str:
    place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in location)
    place = place.removeprefix(".") or "template"
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        written = len(location) == 1 and location[0] in _WRITTEN_BY_SERVICE
        message = "is written by the service; remove it" if written else "unknown key"
    elif location[-1:] == ("clients",):
        message = "must be absent or empty: users come from the service's store"
    return f"{place}: {message}"

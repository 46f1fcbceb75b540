"""The wire's types refuse what the contract refuses, and nothing else."""

import json
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from xray_api.contract import (
    MAX_GEN,
    ListQuery,
    Problem,
    PutReply,
    PutRequest,
    RemoveQuery,
    UserUuid,
    Writer,
)

#: Not made up anew: a part of the names of tests, which are the same in each process.
USER = UUID("3f1c9a52-6d2e-4b7a-9c41-0d5e8f7a6b12")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        str(USER).upper(),
        f"{{{USER}}}",
        USER.hex,
        USER.urn,
        f" {USER}",
        "00000000-0000-0000-0000-000000000000",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",  # version 1
        "3f1c9a52-6d2e-4b7a-1c41-0d5e8f7a6b12",  # another variant
        7,
        None,
    ],
)
def test_a_user_is_a_canonical_uuid_of_version_4(text: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter[UUID](UserUuid).validate_python(text)


def test_a_canonical_uuid_passes_both_ways() -> None:
    adapter: TypeAdapter[UUID] = TypeAdapter(UserUuid)

    assert adapter.validate_python(str(USER)) == USER
    assert adapter.dump_json(USER) == f'"{USER}"'.encode()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"gen": 1},
        {"epoch": str(USER)},
        {"gen": 0, "epoch": str(USER)},
        {"gen": -1, "epoch": str(USER)},
        {"gen": MAX_GEN + 1, "epoch": str(USER)},
        {"gen": "1", "epoch": str(USER)},
        {"gen": 1.0, "epoch": str(USER)},
        {"gen": True, "epoch": str(USER)},
        {"gen": None, "epoch": str(USER)},
        {"gen": 1, "epoch": "x"},
        {"gen": 1, "epoch": str(USER), "flow": "x"},
        [],
        "x",
    ],
)
def test_a_put_request_takes_nothing_else(body: Any) -> None:
    with pytest.raises(ValidationError):
        PutRequest.model_validate_json(json.dumps(body))


@pytest.mark.parametrize("gen", ["", "0", "-1", "+1", " 1", "1.0", "1_0", "٣", "9" * 19, "1e3"])
def test_a_generation_in_a_query_is_plain_digits(gen: str) -> None:
    with pytest.raises(ValidationError):
        RemoveQuery.model_validate({"gen": gen, "epoch": str(USER)})


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "10001"}, {"after": "x"}, {"page": "1"}]
)
def test_a_list_query_takes_nothing_else(query: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        ListQuery.model_validate(query)


def test_queries_are_read() -> None:
    assert RemoveQuery.model_validate({"gen": "7", "epoch": str(USER)}).gen == 7
    assert ListQuery.model_validate({"after": str(USER), "limit": "5"}).after == USER
    assert ListQuery.model_validate({}).limit == 10_000


@pytest.mark.parametrize("model", [PutReply, Problem])
def test_replies_pass_over_what_a_newer_node_adds(model: type[BaseModel]) -> None:
    assert model.model_config["extra"] == "ignore"


@pytest.mark.parametrize(
    "header", ["", "db", "db;", ";1", "db;x", "db;-1", "a b;1", "db;1;2", "x" * 65 + ";1"]
)
def test_a_writer_of_another_shape_is_none(header: str) -> None:
    assert Writer.parse(header) is None


def test_a_writer_is_read_as_it_is_written() -> None:
    writer = Writer("3f1c9a52-6d2e", 42)

    assert Writer.parse(writer.header()) == writer

"""Pure: the node's contract as OpenAPI 3.1, made from the types that check requests and replies."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from xray_api.contract import (
    API_KEY_HEADER,
    DEADLINE_HEADER,
    MAX_BATCH,
    PROBLEM_TYPE,
    WRITER_HEADER,
    BatchReply,
    BatchRequest,
    DigestQuery,
    DigestReply,
    DisconnectReply,
    Health,
    ListQuery,
    Problem,
    PutReply,
    PutRequest,
    Readiness,
    RemoveQuery,
    RemoveReply,
    SnapshotQuery,
    SnapshotReply,
    SnapshotRequest,
    TrafficQuery,
    TrafficReply,
    UserPage,
    UserReply,
)

_REF = "#/components/schemas/{model}"
_USER = "/v1/users/{uuid}"
_REASONS = {
    401: "No API key, or none that matches.",
    404: "The node does not know this user.",
    409: "A newer or opposite wish stands, or a snapshot would go too far. Nothing changed.",
    412: "The node has another epoch. Nothing changed.",
    413: "The body is too long.",
    422: "The request is not valid.",
    429: "Too much at once; Retry-After says when to come back.",
    503: "Not now; Retry-After says when to come back.",
}
_UUID_PATTERN = "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"


@dataclass(frozen=True, slots=True)
class _Call:
    """One call; `others` are the statuses of what can happen to it alone."""

    name: str
    method: str
    path: str
    summary: str
    reply: type[BaseModel]
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    others: tuple[int, ...] = ()
    is_change: bool = False


_CALLS = (
    _Call("health", "get", "/healthz", "The process answers", Health),
    _Call("ready", "get", "/readyz", "The node's account of itself", Readiness),
    _Call("list", "get", "/v1/users", "A page of the running users", UserPage, query=ListQuery),
    _Call(
        "snapshot",
        "put",
        "/v1/users",
        "A snapshot: these users, and nobody else",
        SnapshotReply,
        body=SnapshotRequest,
        query=SnapshotQuery,
        others=(409, 412, 413),
        is_change=True,
    ),
    _Call(
        "batch",
        "post",
        "/v1/users:batch",
        f"At most {MAX_BATCH} changes, each with its own outcome",
        BatchReply,
        body=BatchRequest,
        others=(412, 413),
        is_change=True,
    ),
    _Call(
        "digest", "get", "/v1/digest", "The running users in short", DigestReply, query=DigestQuery
    ),
    _Call(
        "traffic",
        "get",
        "/v1/traffic",
        "Traffic and who is online",
        TrafficReply,
        query=TrafficQuery,
    ),
    _Call("get", "get", _USER, "A user whom the node lets in", UserReply, others=(404,)),
    _Call(
        "put",
        "put",
        _USER,
        "Let a user in",
        PutReply,
        body=PutRequest,
        others=(409, 412, 413),
        is_change=True,
    ),
    _Call(
        "remove",
        "delete",
        _USER,
        "Shut a user out",
        RemoveReply,
        query=RemoveQuery,
        others=(409, 412),
        is_change=True,
    ),
    _Call(
        "disconnect",
        "post",
        _USER + ":disconnect",
        "End a user's open connections",
        DisconnectReply,
        others=(404,),
    ),
)
#: What can follow a user's admission, about the same user.
_AFTER_PUT = ("get", "remove", "disconnect")


def document(version: str) -> dict[str, Any]:
    """The document of this release."""
    requests = {call.body for call in _CALLS if call.body}
    queries = {call.query for call in _CALLS if call.query}
    replies = {call.reply for call in _CALLS} | {Problem}
    kept = sorted(requests | queries | replies, key=lambda model: model.__name__)
    _, schemas = models_json_schema(
        [(m, "serialization" if m in replies else "validation") for m in kept], ref_template=_REF
    )
    paths: dict[str, dict[str, Any]] = {}
    for call in _CALLS:
        paths.setdefault(call.path, {})[call.method] = _operation(call, schemas["$defs"])
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tollgate node", "version": version},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": API_KEY_HEADER},
            },
        },
    }


def _operation(call: _Call, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": call.name,
        "summary": call.summary,
        "parameters": [
            *([_path_parameter()] if "{uuid}" in call.path else []),
            *(_query_parameters(schemas[call.query.__name__]) if call.query else []),
            _header(DEADLINE_HEADER, "What is left of the caller's time.", "^[0-9]{1,9}$"),
            *([_header(WRITER_HEADER, "Who writes, and how far.", None)] if call.is_change else []),
        ],
        "responses": _responses(call),
    }
    if call.body is not None:
        operation["requestBody"] = {"required": True, "content": _json(call.body.__name__)}
    if call.path != "/healthz":
        operation["security"] = [{"key": []}]
    return operation


def _responses(call: _Call) -> dict[str, Any]:
    responses: dict[str, Any] = {
        "200": {"description": call.reply.__doc__, "content": _json(call.reply.__name__)}
    }
    if call.name == "put":
        responses["200"]["links"] = {name: _link(name) for name in _AFTER_PUT}
    usual = (422, 503) if call.path == "/healthz" else (401, 422, 429, 503)
    for status in sorted({*usual, *call.others}):
        responses[str(status)] = {
            "description": _REASONS[status],
            "content": {PROBLEM_TYPE: {"schema": _reference("Problem")}},
        }
    if call.path == "/readyz":
        responses["503"]["content"] |= _json("Readiness")
    return responses


def _link(name: str) -> dict[str, Any]:
    parameters = {"path.uuid": "$response.body#/uuid"}
    if name == "remove":
        parameters["query.epoch"] = "$response.body#/epoch"
    return {"operationId": name, "parameters": parameters}


def _path_parameter() -> dict[str, Any]:
    schema = {"type": "string", "format": "uuid", "pattern": _UUID_PATTERN}
    return {"name": "uuid", "in": "path", "required": True, "schema": schema}


def _query_parameters(schema: dict[str, Any]) -> list[dict[str, Any]]:
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": value}
        for name, value in schema["properties"].items()
    ]


def _header(name: str, description: str, pattern: str | None) -> dict[str, Any]:
    schema = {"type": "string"} | ({"pattern": pattern} if pattern else {})
    return {"name": name, "in": "header", "description": description, "schema": schema}


def _json(model: str) -> dict[str, Any]:
    return {"application/json": {"schema": _reference(model)}}


def _reference(model: str) -> dict[str, str]:
    return {"$ref": _REF.format(model=model)}

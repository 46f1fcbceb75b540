"""Pure: the node's contract as OpenAPI 3.1, made from the types that check requests and replies."""

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

#: Method, path, summary, body, query, reply, and the statuses of what else can happen.
_Call = tuple[
    str,
    str,
    str,
    type[BaseModel] | None,
    type[BaseModel] | None,
    type[BaseModel],
    tuple[int, ...],
]
_CALLS: tuple[_Call, ...] = (
    ("get", "/healthz", "The process answers", None, None, Health, ()),
    ("get", "/readyz", "The node's account of itself", None, None, Readiness, ()),
    ("get", "/v1/users", "A page of the running users", None, ListQuery, UserPage, ()),
    (
        "put",
        "/v1/users",
        "A snapshot: these users, and nobody else",
        SnapshotRequest,
        SnapshotQuery,
        SnapshotReply,
        (409, 412, 413, 429),
    ),
    (
        "post",
        "/v1/users:batch",
        f"At most {MAX_BATCH} changes, each with its own outcome",
        BatchRequest,
        None,
        BatchReply,
        (412, 413, 429),
    ),
    ("get", "/v1/digest", "The running users in short", None, DigestQuery, DigestReply, ()),
    ("get", "/v1/traffic", "Traffic and who is online", None, TrafficQuery, TrafficReply, ()),
    ("get", _USER, "A user whom the node lets in", None, None, UserReply, (404,)),
    ("put", _USER, "Let a user in", PutRequest, None, PutReply, (409, 412, 413, 429)),
    ("delete", _USER, "Shut a user out", None, RemoveQuery, RemoveReply, (409, 412, 429)),
    (
        "post",
        _USER + ":disconnect",
        "End a user's open connections",
        None,
        None,
        DisconnectReply,
        (404,),
    ),
)


def document(version: str) -> dict[str, Any]:
    """The document of this release."""
    requests = {body for _, _, _, body, _, _, _ in _CALLS if body}
    queries = {query for _, _, _, _, query, _, _ in _CALLS if query}
    replies = {reply for *_, reply, _ in _CALLS} | {Problem}
    kept = sorted(requests | queries | replies, key=lambda model: model.__name__)
    _, schemas = models_json_schema(
        [(m, "serialization" if m in replies else "validation") for m in kept], ref_template=_REF
    )
    paths: dict[str, dict[str, Any]] = {}
    for call in _CALLS:
        method, path, *_ = call
        paths.setdefault(path, {})[method] = _operation(call, schemas["$defs"])
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
    _, path, summary, body, query, reply, others = call
    operation: dict[str, Any] = {
        "summary": summary,
        "parameters": [
            *([_path_parameter()] if "{uuid}" in path else []),
            *(_query_parameters(schemas[query.__name__]) if query else []),
            _header(DEADLINE_HEADER, "What is left of the caller's time.", "^[0-9]{1,9}$"),
            *([_header(WRITER_HEADER, "Who writes, and how far.", None)] if others else []),
        ],
        "responses": _responses(path, reply, others),
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": _json(body.__name__)}
    if path != "/healthz":
        operation["security"] = [{"key": []}]
    return operation


def _responses(path: str, reply: type[BaseModel], others: tuple[int, ...]) -> dict[str, Any]:
    responses: dict[str, Any] = {
        "200": {"description": reply.__doc__, "content": _json(reply.__name__)}
    }
    usual = () if path == "/healthz" else (401, 422, 429, 503)
    for status in sorted({*usual, *others, 422, 503}):
        responses[str(status)] = {
            "description": _REASONS[status],
            "content": {PROBLEM_TYPE: {"schema": _reference("Problem")}},
        }
    if path == "/readyz":
        responses["503"]["content"] |= _json("Readiness")
    return responses


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

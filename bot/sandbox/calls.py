"""Reads a Bot API call from HTTP, whichever way a client encodes it, and judges its shape.

Nothing reaches the methods unless aiogram's class for the method accepts it.
"""

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin

import aiogram.methods
from aiogram.client.default import Default
from aiogram.types import BufferedInputFile, InlineKeyboardMarkup, InputFile
from aiohttp import BodyPartReader, MultipartReader, hdrs, web
from pydantic import ValidationError

from bot.sandbox.errors import bad_request

MethodClass = type[aiogram.methods.TelegramMethod[Any]]
METHODS: Mapping[str, MethodClass] = {
    cls.__api_method__.casefold(): cls
    for _, cls in inspect.getmembers(aiogram.methods, inspect.isclass)
    if issubclass(cls, aiogram.methods.TelegramMethod) and cls is not aiogram.methods.TelegramMethod
}
"""aiogram's method classes by lower-case name: Telegram takes names in any case."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call as received.

    Attributes:
        method: The name as Telegram spells it, such as ``"sendMessage"``.
        params: Decoded parameters; those that were files are absent.
        files: Uploaded content by parameter name.
    """

    method: str
    params: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict, repr=False)


async def read_fields(request: web.Request) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The parameters and files of a request: query string, JSON, form or multipart.

    Raises:
        ApiError: The body is not what its headers say.
    """
    fields: dict[str, Any] = dict(request.query)
    if request.method != hdrs.METH_POST or not request.can_read_body:
        return fields, {}
    try:
        texts, files = await _read_body(request)
    except UnicodeDecodeError:
        raise bad_request("strings must be encoded in UTF-8") from None
    return fields | texts, files


async def _read_body(request: web.Request) -> tuple[dict[str, Any], dict[str, bytes]]:
    if request.content_type == "application/json":
        # As bytes: JSON is UTF-8, whatever the header says.
        return _object(await request.read()), {}
    if request.content_type.startswith("multipart/"):
        return await read_multipart(await request.multipart())
    return {name: str(value) for name, value in (await request.post()).items()}, {}


def _object(body: bytes) -> dict[str, Any]:
    try:
        read = json.loads(body)
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise bad_request("can't parse parameters as a JSON object")
    return read


async def read_multipart(reader: MultipartReader) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The text parts and the file parts of a multipart body."""
    texts: dict[str, Any] = {}
    files: dict[str, bytes] = {}
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader) or not part.name:
            raise bad_request("malformed multipart body")
        content = await part.read(decode=True)
        if part.filename is None:
            texts[part.name] = bytes(content).decode()
        else:
            files[part.name] = bytes(content)
    return texts, files


def call_from(cls: MethodClass, fields: dict[str, Any], uploads: dict[str, bytes]) -> Call:
    """One checked call.

    Args:
        cls: aiogram's class for the method.
        fields: Parameters; values other than text may be JSON in a string.
        uploads: File parts by name: either the parameter's own name, or one that the parameter
            names as ``attach://name``.

    Raises:
        ApiError: aiogram's class does not accept the parameters.
    """
    params: dict[str, Any] = dict.fromkeys(_required_texts(cls), "")
    files = {name: content for name, content in uploads.items() if _takes_file(cls, name)}
    for name, value in fields.items():
        if _takes_file(cls, name) and str(value).startswith("attach://"):
            files[name] = _attached(str(value), uploads)
        elif value is not None:
            params[name] = _decoded(cls, name, value)
    _judge(cls, params, files)
    return Call(cls.__api_method__, params, files)


def _attached(reference: str, uploads: dict[str, bytes]) -> bytes:
    try:
        return uploads[reference.removeprefix("attach://")]
    except KeyError:
        raise bad_request(f"file {reference} is not in the request") from None


def _judge(cls: MethodClass, params: dict[str, Any], files: dict[str, bytes]) -> None:
    whole: dict[str, Any] = {name: BufferedInputFile(files[name], name) for name in files}
    try:
        cls.model_validate(params | whole)
        # To aiogram any object is at least a keyboard that removes keyboards.
        if "inline_keyboard" in params.get("reply_markup", {}):
            InlineKeyboardMarkup.model_validate(params["reply_markup"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise bad_request(f"{cls.__api_method__}: {where}: {first['msg']}") from error


def _decoded(cls: MethodClass, name: str, value: Any) -> Any:
    """A value as JSON would have carried it: forms hold every parameter as text."""
    if not isinstance(value, str) or _is_text(cls, name):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value  # "@channel" for a chat id; the judge decides


def _takes_file(cls: MethodClass, name: str) -> bool:
    return InputFile in _kinds(cls, name)


def _is_text(cls: MethodClass, name: str) -> bool:
    """Whether the parameter holds text, which must not be mistaken for a number."""
    return _kinds(cls, name) <= {str, type(None), Default, InputFile}


@cache
def _required_texts(cls: MethodClass) -> tuple[str, ...]:
    """Texts that must be given; one that is left out counts as empty, for aiogram omits those."""
    fields = cls.model_fields.items()
    return tuple(name for name, f in fields if f.is_required() and f.annotation is str)


@cache
def _kinds(cls: MethodClass, name: str) -> frozenset[Any]:
    """The types that a parameter may have; none for a parameter that aiogram does not know."""
    described = cls.model_fields.get(name)
    if described is None:
        return frozenset()
    annotation: Any = described.annotation
    if get_origin(annotation) in (Union, UnionType):
        return frozenset(str(a) if get_origin(a) else a for a in get_args(annotation))
    return frozenset({annotation})

# mypy: disable-error-code="type-arg"
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Config(_message.Message):
    __slots__ = ("dest", "server_names", "private_key", "short_ids")
    DEST_FIELD_NUMBER: _ClassVar[int]
    SERVER_NAMES_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_KEY_FIELD_NUMBER: _ClassVar[int]
    SHORT_IDS_FIELD_NUMBER: _ClassVar[int]
    dest: str
    server_names: _containers.RepeatedScalarFieldContainer[str]
    private_key: bytes
    short_ids: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, dest: _Optional[str] = ..., server_names: _Optional[_Iterable[str]] = ..., private_key: _Optional[bytes] = ..., short_ids: _Optional[_Iterable[bytes]] = ...) -> None: ...

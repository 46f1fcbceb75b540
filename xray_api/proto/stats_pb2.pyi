# mypy: disable-error-code="type-arg"
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class SysStatsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SysStatsResponse(_message.Message):
    __slots__ = ("Uptime",)
    UPTIME_FIELD_NUMBER: _ClassVar[int]
    Uptime: int
    def __init__(self, Uptime: _Optional[int] = ...) -> None: ...

# mypy: disable-error-code="type-arg"
from xray_api.proto import serial_pb2 as _serial_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StreamConfig(_message.Message):
    __slots__ = ("security_type", "security_settings", "protocol_name")
    SECURITY_TYPE_FIELD_NUMBER: _ClassVar[int]
    SECURITY_SETTINGS_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_NAME_FIELD_NUMBER: _ClassVar[int]
    security_type: str
    security_settings: _containers.RepeatedCompositeFieldContainer[_serial_pb2.TypedMessage]
    protocol_name: str
    def __init__(self, security_type: _Optional[str] = ..., security_settings: _Optional[_Iterable[_Union[_serial_pb2.TypedMessage, _Mapping]]] = ..., protocol_name: _Optional[str] = ...) -> None: ...

# mypy: disable-error-code="type-arg"
from xray_api.proto import internet_pb2 as _internet_pb2
from xray_api.proto import net_pb2 as _net_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReceiverConfig(_message.Message):
    __slots__ = ("port_list", "stream_settings")
    PORT_LIST_FIELD_NUMBER: _ClassVar[int]
    STREAM_SETTINGS_FIELD_NUMBER: _ClassVar[int]
    port_list: _net_pb2.PortList
    stream_settings: _internet_pb2.StreamConfig
    def __init__(self, port_list: _Optional[_Union[_net_pb2.PortList, _Mapping]] = ..., stream_settings: _Optional[_Union[_internet_pb2.StreamConfig, _Mapping]] = ...) -> None: ...

import grpc.aio

import xray_api.proto.handler_pb2

class HandlerServiceStub:
    def __init__(self, channel: grpc.aio.Channel) -> None: ...
    AlterInbound: grpc.aio.UnaryUnaryMultiCallable[
        xray_api.proto.handler_pb2.AlterInboundRequest,
        xray_api.proto.handler_pb2.AlterInboundResponse,
    ]
    GetInboundUsers: grpc.aio.UnaryUnaryMultiCallable[
        xray_api.proto.handler_pb2.GetInboundUserRequest,
        xray_api.proto.handler_pb2.GetInboundUserResponse,
    ]
    GetInboundUsersCount: grpc.aio.UnaryUnaryMultiCallable[
        xray_api.proto.handler_pb2.GetInboundUserRequest,
        xray_api.proto.handler_pb2.GetInboundUsersCountResponse,
    ]
    ListInbounds: grpc.aio.UnaryUnaryMultiCallable[
        xray_api.proto.handler_pb2.ListInboundsRequest,
        xray_api.proto.handler_pb2.ListInboundsResponse,
    ]

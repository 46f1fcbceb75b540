import grpc.aio

import xray_api.proto.stats_pb2

class StatsServiceStub:
    def __init__(self, channel: grpc.aio.Channel) -> None: ...
    GetSysStats: grpc.aio.UnaryUnaryMultiCallable[
        xray_api.proto.stats_pb2.SysStatsRequest,
        xray_api.proto.stats_pb2.SysStatsResponse,
    ]

import grpc.aio

import xray_api.proto.stats_pb2

class StatsServiceStub:
    def __init__(self, channel: grpc.aio.Channel) -> None: ...
    GetStatsOnlineIpList: grpc.aio.UnaryUnaryMultiCallable[
        xray_api.proto.stats_pb2.GetStatsRequest,
        xray_api.proto.stats_pb2.GetStatsOnlineIpListResponse,
    ]
    GetSysStats: grpc.aio.UnaryUnaryMultiCallable[
        xray_api.proto.stats_pb2.SysStatsRequest,
        xray_api.proto.stats_pb2.SysStatsResponse,
    ]
    GetUsersStats: grpc.aio.UnaryUnaryMultiCallable[
        xray_api.proto.stats_pb2.GetUsersStatsRequest,
        xray_api.proto.stats_pb2.GetUsersStatsResponse,
    ]
    QueryStats: grpc.aio.UnaryUnaryMultiCallable[
        xray_api.proto.stats_pb2.QueryStatsRequest,
        xray_api.proto.stats_pb2.QueryStatsResponse,
    ]

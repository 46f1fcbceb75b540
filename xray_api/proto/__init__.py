"""Xray's gRPC API: the messages that the node uses, and nothing more.

The `.proto` files are ours. Package, message and field names, numbers and types must equal
those of the running Xray, because RPC paths and `TypedMessage.type` contain them; a test
compares them through gRPC reflection. The `_pb2` modules are made by
`python -m xray_api.proto.generate` from the repository's root.
"""

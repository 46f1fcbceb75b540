"""Makes the `_pb2` modules from the `.proto` files: `python -m xray_api.proto.generate`.

Needs grpcio-tools (a development dependency) at grpcio's own version.
"""

import sys
from importlib import import_module
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor, ServiceDescriptor

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PACKAGE = "xray_api.proto"
#: protoc writes bare `Mapping` into its types.
MYPY_HEADER = '# mypy: disable-error-code="type-arg"\n'


def main() -> None:
    """Regenerate everything; paths are relative to the root, so imports name this package."""
    sources = sorted(str(path.relative_to(ROOT)) for path in HERE.glob("*.proto"))
    with_services = [name for name in sources if "\nservice " in (ROOT / name).read_text()]
    _protoc("--python_out", "--pyi_out", sources=sources)
    _protoc("--grpc_python_out", sources=with_services)
    for path in HERE.glob("*_pb2.pyi"):
        path.write_text(MYPY_HEADER + path.read_text())
    for name in with_services:
        stem = Path(name).stem
        module = import_module(f"{PACKAGE}.{stem}_pb2")
        (HERE / f"{stem}_pb2_grpc.pyi").write_text(_service_types(module.DESCRIPTOR))


def _protoc(*outputs: str, sources: list[str]) -> None:
    protoc = import_module("grpc_tools.protoc")  # absent where the product runs
    targets = [f"{flag}={ROOT}" for flag in outputs]
    if protoc.main(["protoc", f"--proto_path={ROOT}", *targets, *sources]) != 0:
        sys.exit("protoc failed; its reasons are above")


def _service_types(file: FileDescriptor) -> str:
    """Types for a `_pb2_grpc` module, which protoc leaves untyped: the asyncio client alone."""
    lines = ["import grpc.aio", "", *(f"import {name}" for name in _modules(file))]
    for service in file.services_by_name.values():
        lines += ["", f"class {service.name}Stub:"]
        lines += ["    def __init__(self, channel: grpc.aio.Channel) -> None: ..."]
        lines += [_method_type(method) for method in _methods(service)]
    return "\n".join(lines) + "\n"


def _method_type(method: MethodDescriptor) -> str:
    request, response = (
        f"{_module(message.file)}.{message.name}"
        for message in (method.input_type, method.output_type)
    )
    return (
        f"    {method.name}: grpc.aio.UnaryUnaryMultiCallable[\n"
        f"        {request},\n        {response},\n    ]"
    )


def _methods(service: ServiceDescriptor) -> list[MethodDescriptor]:
    return [service.methods_by_name[name] for name in sorted(service.methods_by_name)]


def _modules(file: FileDescriptor) -> list[str]:
    used = {
        _module(message.file)
        for service in file.services_by_name.values()
        for method in _methods(service)
        for message in (method.input_type, method.output_type)
    }
    return sorted(used)


def _module(file: FileDescriptor) -> str:
    return f"{PACKAGE}.{Path(file.name).stem}_pb2"


if __name__ == "__main__":
    main()

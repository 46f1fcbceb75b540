"""`node check`: all that a start looks at, tried; no port is taken and nothing is changed."""

import secrets
import tempfile
from pathlib import Path

from config.node_settings import NodeSection
from xray_api.node.config import render
from xray_api.node.engine import engine_of
from xray_api.node.errors import NodeStartError
from xray_api.node.process import RC_CONFIG_ERROR, XrayProcess, XrayStartError
from xray_api.node.run import check_api_socket, links_of, read_template_of, tls_of
from xray_api.node.template import Template


async def check_node(node: NodeSection) -> str:
    """Try the settings, the template, and an Xray with both.

    Returns:
        What would run, in a line.

    Raises:
        NodeStartError: what would stop a start; each of its lines names a setting.
    """
    check_api_socket(node.state_dir)
    template = read_template_of(node)
    links = links_of(node, template)
    tls_of(node)
    with tempfile.TemporaryDirectory(prefix="tollgate-") as folder:
        version = await _dry_run(node, template, Path(folder) / "api")
    inbound = links.inbound
    return (
        f"Xray {version} takes {node.xray_config}: {inbound.network} with {inbound.security} on "
        f"port {inbound.port}, shown as {inbound.server_name}."
    )


async def _dry_run(node: NodeSection, template: Template, api_socket: Path) -> str:
    """Xray's version, once it has started with everything but the ports."""
    config = render(
        template, [], api_socket=api_socket, allow_private_targets=node.allow_private_targets
    )
    for inbound in config["inbounds"]:
        # A name in Linux's abstract namespace: no port, and no file.
        inbound["listen"] = f"@tollgate-check-{secrets.token_hex(8)}"
    try:
        program = await engine_of(node.xray, node.state_dir).program()
        xray = await XrayProcess.start(program, config)
    except XrayStartError as error:
        refused = error.status == RC_CONFIG_ERROR
        where = f"node.xray_config: {node.xray_config}" if refused else f"node.xray: {node.xray}"
        raise NodeStartError(f"{where}: Xray {error}") from None
    await xray.stop()
    return xray.version

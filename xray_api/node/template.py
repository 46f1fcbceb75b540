"""Pure: what an operator's Xray template may hold, by Xray's own names.

Xray ignores misspelled keys and reports errors without a text, so a key that is not named
here is refused.
"""

import re
from ipaddress import ip_address
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from config.network import split_address

VISION = "xtls-rprx-vision"
API_TAG = "api"
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]*)(\.[A-Za-z0-9_-]+)*")


def _key(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}", text):
        raise ValueError("must be an X25519 private key: 43 characters of unpadded base64url")
    return text


def _short_id(text: str) -> str:
    if not re.fullmatch(r"([0-9a-f]{2}){1,8}", text):
        raise ValueError("must be 2 to 16 lower-case hex digits, of even number")
    return text


def _host(text: str) -> str:
    if not _HOST_NAME.fullmatch(text):
        raise ValueError("must be a host name")
    return text


def _address(text: str) -> str:
    ip_address(text)
    return text


def _target(text: str) -> str:
    if split_address(text)[1] == 0:
        raise ValueError("must be HOST:PORT")
    return text


Address = Annotated[str, AfterValidator(_address)]
Target = Annotated[str, AfterValidator(_target)]
Tag = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class Section(BaseModel):
    """A part of the template: Xray's names, nothing unknown, nothing converted."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
    )


class Log(Section):
    """Xray says that it has started at level `warning`; quieter levels would hide it."""

    loglevel: Literal["debug", "info", "warning"] = "warning"


class FallbackLimit(Section):
    """How fast a stranger may read the camouflage target through this node."""

    after_bytes: int = Field(ge=0)
    bytes_per_sec: int = Field(ge=0)
    burst_bytes_per_sec: int = Field(ge=0)


class Reality(Section):
    """`realitySettings`; the first name and the first short id stand in links."""

    show: bool = False
    dest: Target | None = None
    target: Target | None = None
    xver: int = Field(default=0, ge=0, le=2)
    server_names: list[Annotated[str, AfterValidator(_host)]] = Field(min_length=1)
    private_key: Annotated[str, AfterValidator(_key)] = Field(repr=False)
    short_ids: list[Annotated[str, AfterValidator(_short_id)]] = Field(min_length=1)
    min_client_ver: str = Field(default="", pattern=r"^([0-9]+(\.[0-9]+){0,2})?$")
    max_client_ver: str = Field(default="", pattern=r"^([0-9]+(\.[0-9]+){0,2})?$")
    max_time_diff: int = Field(default=0, ge=0)
    limit_fallback_upload: FallbackLimit | None = None
    limit_fallback_download: FallbackLimit | None = None

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if (self.dest is None) == (self.target is None):
            raise ValueError("needs either dest or target")
        return self


class Xhttp(Section):
    """`xhttpSettings`."""

    path: str = Field(default="/", pattern=r"^/[!-~]*$")
    mode: Literal["auto", "packet-up", "stream-up", "stream-one"] = "auto"


class Stream(Section):
    """`streamSettings`: REALITY over TCP with Vision, or over XHTTP without."""

    network: Literal["tcp", "raw", "xhttp"] = "tcp"
    security: Literal["reality"]
    reality_settings: Reality
    xhttp_settings: Xhttp | None = None

    @model_validator(mode="after")
    def _settings_fit(self) -> Self:
        if self.xhttp_settings is not None and self.network != "xhttp":
            raise ValueError("xhttpSettings need network xhttp")
        return self


class Vless(Section):
    """`settings` of the inbound; users come from the service's store."""

    decryption: Literal["none"]
    clients: list[Any] = Field(default=[], max_length=0)


class Sniffing(Section):
    """`sniffing`."""

    enabled: bool
    dest_override: list[Literal["http", "tls", "quic", "fakedns"]] = []
    domains_excluded: list[str] = []
    metadata_only: bool = False
    route_only: bool = False


class Inbound(Section):
    """The one inbound, whose users the service keeps."""

    tag: Tag
    listen: Address = "0.0.0.0"  # noqa: S104 - Xray's default: a VPN server is public
    port: int = Field(ge=1, le=65535)
    protocol: Literal["vless"]
    settings: Vless
    stream_settings: Stream
    sniffing: Sniffing | None = None


class BlackholeResponse(Section):
    """What a blocked connection gets."""

    type: Literal["none", "http"]


class OutboundSettings(Section):
    """`settings` of an outbound: `domainStrategy` of freedom, `response` of blackhole."""

    domain_strategy: str | None = Field(default=None, pattern=r"^(AsIs|(Use|Force)IP(v[46]){0,2})$")
    response: BlackholeResponse | None = None
    final_rules: list[dict[str, Any]] | None = None


class Outbound(Section):
    """Where traffic leaves."""

    tag: Tag | None = None
    protocol: Literal["freedom", "blackhole"]
    send_through: Address | None = None
    settings: OutboundSettings | None = None


class Rule(Section):
    """One rule of `routing`."""

    type: Literal["field"] = "field"
    outbound_tag: str
    inbound_tag: list[str] | None = None
    domain: list[str] | None = None
    ip: list[str] | None = None
    source: list[str] | None = None
    port: int | str | None = None
    network: Literal["tcp", "udp", "tcp,udp"] | None = None
    protocol: list[Literal["http", "tls", "quic", "bittorrent"]] | None = None


class Routing(Section):
    """`routing`."""

    domain_strategy: Literal["AsIs", "IPIfNonMatch", "IPOnDemand"] = "AsIs"
    rules: list[Rule] = []


class Dns(Section):
    """`dns`."""

    servers: list[str] = Field(min_length=1)
    query_strategy: Literal["UseIP", "UseIPv4", "UseIPv6"] = "UseIP"


class Template(Section):
    """The operator's Xray configuration, without users and without the service's own parts."""

    log: Log = Log()
    dns: Dns | None = None
    routing: Routing | None = None
    inbounds: list[Inbound] = Field(min_length=1, max_length=1)
    outbounds: list[Outbound] = Field(min_length=1)

    @model_validator(mode="after")
    def _tags_fit(self) -> Self:
        outbounds = [outbound.tag for outbound in self.outbounds if outbound.tag is not None]
        tags = [self.inbound.tag, *outbounds]
        if API_TAG in tags:
            raise ValueError(f"the tag {API_TAG} belongs to the service")
        if len(tags) != len(set(tags)):
            raise ValueError("two parts have the same tag")
        for rule in self.routing.rules if self.routing else []:
            if rule.outbound_tag not in outbounds:
                raise ValueError(f"routing: there is no outbound {rule.outbound_tag!r}")
        return self

    @property
    def inbound(self) -> Inbound:
        """The inbound whose users the service keeps."""
        return self.inbounds[0]

    @property
    def flow(self) -> str:
        """The flow of every user, on both sides: Vision works over TCP alone."""
        return "" if self.inbound.stream_settings.network == "xhttp" else VISION

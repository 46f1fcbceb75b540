"""Every setting of the back-end: typed, frozen, secrets hidden. Names are a contract."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    SecretStr,
    field_validator,
    model_validator,
)

from config import crashing
from config.loading import FileSettings, load
from config.money import EXPONENTS, STARS, Currency
from config.network import BaseUrl, ListenAddress, is_loopback, split_address
from config.nodes import BreakerSection, ExpirySection, ProvisionerSection, ReconcilerSection

#: Digits of money that cards pay in; crypto assets have more.
CENTS = 2

#: Top-level names in a shared file or environment that belong to the node service.
NODE_SECTIONS = frozenset({"node"})

#: A bot token as @BotFather gives it.
TOKEN = re.compile(r"[0-9]+:[A-Za-z0-9_-]+")
#: What Telegram takes (https://core.telegram.org/bots/api#setwebhook); shorter ones are guessed.
WEBHOOK_SECRET = re.compile(r"[A-Za-z0-9_-]{16,256}")

CONFIG_FOLDER = Path(__file__).parent

#: The demo's files, under `data_dir`: where they are, the database holds play money.
DEMO_FOLDER = "demo"


class Section(BaseModel):
    """A table of the settings file: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TelegramSection(Section):
    """The bot's account and the server that it talks to."""

    token: SecretStr
    #: Another Bot API server; Telegram's own when empty.
    api_base: BaseUrl | None = None
    #: How updates come in.
    mode: Literal["polling", "webhook"] = "polling"
    #: Where Telegram sends updates to, as the outside reaches it; its path is the one served here.
    webhook_url: BaseUrl | None = None
    #: What Telegram shows with each of them.
    webhook_secret: SecretStr | None = None
    #: Numeric ids of the owners.
    admins: tuple[int, ...] = ()

    @property
    def bot_id(self) -> int:
        """The bot's number, which never changes; the rest of the token may."""
        return int(self.token.get_secret_value().partition(":")[0])

    @field_validator("token")
    @classmethod
    def _token_has_its_shape(cls, token: SecretStr) -> SecretStr:
        if not TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError("is not a bot token; @BotFather gives one of the form 123456:ABC...")
        return token

    @field_validator("webhook_secret")
    @classmethod
    def _secret_has_its_shape(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not WEBHOOK_SECRET.fullmatch(secret.get_secret_value()):
            raise ValueError("must be 16 to 256 characters of A-Z, a-z, 0-9, _ and -")
        return secret

    @model_validator(mode="after")
    def _webhook_is_whole(self) -> "TelegramSection":
        if self.mode == "webhook" and (self.webhook_url is None or self.webhook_secret is None):
            raise ValueError('mode "webhook" needs webhook_url and webhook_secret')
        return self


class DatabaseSection(Section):
    """Where PostgreSQL is."""

    #: A DSN; empty means the embedded PostgreSQL under `data_dir`.
    url: SecretStr | None = None

    @field_validator("url")
    @classmethod
    def _url_is_postgres(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None or not url.get_secret_value():
            return None
        # Not urlsplit: its errors quote what they refuse.
        if not url.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must begin with postgresql://")
        return url


class StarsSection(Section):
    """Telegram Stars."""

    enabled: bool = True


def _none_if_empty(secret: SecretStr | None) -> SecretStr | None:
    """An empty token is none: it would sign for everybody who tries one."""
    return secret if secret is not None and secret.get_secret_value().strip() else None


OptionalSecret = Annotated[SecretStr | None, AfterValidator(_none_if_empty)]


class CryptoPaySection(Section):
    """Crypto Pay, the bot @CryptoBot; off without a token."""

    token: OptionalSecret = None
    #: `main`, `test`, or the base URL of another server.
    network: Literal["main", "test"] | BaseUrl = "main"
    #: What orders are priced in: an asset, or a fiat currency that Crypto Pay reckons by.
    currency: Currency = "USDT"

    @field_validator("network")
    @classmethod
    def _token_goes_in_secret(cls, network: str) -> str:
        parts = urlsplit(network)
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise ValueError("must be https: the host is not this machine")
        return network


class CardSection(Section):
    """A payments provider of Telegram; off without a token.

    Telegram wants digital goods to be sold for Stars: whether cards may be used is the owner's call
    (https://core.telegram.org/bots/payments-stars).
    """

    provider_token: OptionalSecret = None
    currency: Currency = "RUB"


class ManualSection(Section):
    """Paid outside, and approved by an owner."""

    enabled: bool = False
    #: How to pay, shown to the buyer as it is.
    instructions: str = Field(default="", max_length=1_000)
    currency: Currency = "RUB"


class PaymentsSection(Section):
    """How people can pay."""

    stars: StarsSection = StarsSection()
    cryptopay: CryptoPaySection = CryptoPaySection()
    card: CardSection = CardSection()
    manual: ManualSection = ManualSection()

    @model_validator(mode="after")
    def _something_can_be_paid(self) -> "PaymentsSection":
        on = (
            self.stars.enabled,
            self.cryptopay.token is not None,
            self.card.provider_token is not None,
            self.manual.enabled,
        )
        if not any(on):
            raise ValueError("nothing can be paid with: leave stars on, or set another way up")
        return self

    @model_validator(mode="after")
    def _currencies_are_known(self) -> "PaymentsSection":
        for name in ("cryptopay", "card", "manual"):
            currency = getattr(self, name).currency
            if currency not in EXPONENTS or currency == STARS:
                raise ValueError(f"{name}.currency: {currency} is not known here")
        if EXPONENTS[self.card.currency] > CENTS:
            raise ValueError(f"card.currency: cards do not pay in {self.card.currency}")
        return self

    @model_validator(mode="after")
    def _buyers_know_how(self) -> "PaymentsSection":
        if self.manual.enabled and not self.manual.instructions.strip():
            raise ValueError("manual.instructions: say how to pay")
        return self


class HttpSection(Section):
    """The server that the outside reaches: webhooks and health."""

    listen: ListenAddress = "127.0.0.1:8080"
    #: How the outside reaches it.
    public_url: BaseUrl | None = None
    #: Proxies in front of it, by address or network: only their word for a caller's address counts.
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()


class DemoSection(Section):
    """`tollgate demo`."""

    #: Where the demo's chat page listens.
    listen: ListenAddress = "127.0.0.1:8088"

    @field_validator("listen")
    @classmethod
    def _page_is_for_this_machine(cls, listen: str) -> str:
        if not is_loopback(split_address(listen)[0]):
            raise ValueError("must be on this machine, 127.0.0.1: the page has no password")
        return listen


class SecuritySection(Section):
    """Master secrets, current first."""

    #: Made in `data_dir` at the first start when empty.
    keys: tuple[SecretStr, ...] = ()

    @field_validator("keys")
    @classmethod
    def _keys_are_long(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        shortest = 32
        for number, key in enumerate(keys):
            if len(key.get_secret_value()) < shortest:
                raise ValueError(f"key {number}: shorter than {shortest} characters")
        return keys


def _checked_node_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("must be https: the host is not this machine")
    return url


class NodeEntry(Section):
    """A node that the back-end drives."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    title: str = Field(min_length=1, max_length=64)
    url: Annotated[BaseUrl, AfterValidator(_checked_node_url)]
    api_keys: tuple[SecretStr, ...] = Field(min_length=1, max_length=2)
    #: For how many users it is meant; then nothing new is sold there. Without it nobody counts.
    capacity: int | None = Field(default=None, ge=1, le=10_000_000)


class TestingSection(Section):
    """For tests of the program alone."""

    #: The process ends at once where it comes to this point.
    crash_at: Annotated[str, AfterValidator(crashing.known)] | None = None


class Settings(FileSettings):
    """The back-end's settings."""

    data_dir: Path = Path("data")
    telegram: TelegramSection
    database: DatabaseSection = DatabaseSection()
    payments: PaymentsSection = PaymentsSection()
    http: HttpSection = HttpSection()
    plans_file: Path = CONFIG_FOLDER / "plans.toml"
    supervision_file: Path = CONFIG_FOLDER / "supervision.toml"
    demo: DemoSection = DemoSection()
    security: SecuritySection = SecuritySection()
    nodes: tuple[NodeEntry, ...] = Field(default=(), validate_default=True)
    provisioner: ProvisionerSection = ProvisionerSection()
    breaker: BreakerSection = BreakerSection()
    reconciler: ReconcilerSection = ReconcilerSection()
    expiry: ExpirySection = ExpirySection()
    testing: TestingSection = TestingSection()

    @model_validator(mode="after")
    def _crashes_are_for_this_machine(self) -> "Settings":
        if self.testing.crash_at is None:
            return self
        called = [self.telegram.api_base or "", *(node.url for node in self.nodes)]
        if self.payments.cryptopay.token is not None:
            called.append(self.payments.cryptopay.network)
        url = self.database.url
        hosts = [split_address(self.http.listen)[0]] + [urlsplit(u).hostname or "" for u in called]
        hosts += [_host_of(url.get_secret_value())] if url is not None else []
        if not all(map(is_loopback, hosts)):
            raise ValueError("testing.crash_at: not every address is on this machine")
        return self

    @field_validator("nodes")
    @classmethod
    def _nodes_differ(cls, nodes: tuple[NodeEntry, ...]) -> tuple[NodeEntry, ...]:
        if not nodes:
            raise ValueError(
                "there is no node to sell access to; `tollgate node init` prints the lines to add"
            )
        if len({node.id for node in nodes}) != len(nodes):
            raise ValueError("two nodes have the same id")
        if len({node.url for node in nodes}) != len(nodes):
            raise ValueError("two nodes have the same url")
        return nodes


class DemoSettings(FileSettings):
    """What the demo needs before it can write full settings for its two programs.

    The other values pass unread to the children, where the environment outranks the demo's own.
    """

    data_dir: Path = Path("data")
    demo: DemoSection = DemoSection()


class PlaceSettings(FileSettings):
    """Where a back-end keeps its things: all that is needed to find one that runs."""

    data_dir: Path = Path("data")


def _host_of(database_url: str) -> str:
    """The host of a DSN that asyncpg would call; a socket in a folder is on this machine."""
    parts = urlsplit(database_url)
    named = parts.hostname or parse_qs(parts.query).get("host", [""])[0]
    return "localhost" if named.startswith("/") else named


def load_settings(
    config_file: Path | None = None, options: dict[str, Any] | None = None
) -> Settings:
    """Read the back-end's settings.

    Raises:
        SettingsError: one line for each problem.
    """
    return load(Settings, config_file=config_file, options=options, foreign=NODE_SECTIONS)


def load_demo_settings(config_file: Path | None = None) -> DemoSettings:
    """Read what the demo needs of the settings.

    Raises:
        SettingsError: one line for each problem.
    """
    return load(DemoSettings, config_file=config_file, foreign=_besides(DemoSettings))


def load_data_dir(config_file: Path | None = None) -> Path:
    """Read where a back-end keeps its things; the other settings may be wrong or missing.

    Raises:
        SettingsError: one line for each problem.
    """
    return load(PlaceSettings, config_file=config_file, foreign=_besides(PlaceSettings)).data_dir


def _besides(model: type[FileSettings]) -> frozenset[str]:
    return NODE_SECTIONS | frozenset(Settings.model_fields) - frozenset(model.model_fields)

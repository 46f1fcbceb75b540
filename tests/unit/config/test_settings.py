"""Where settings come from, which source wins, and what a person reads when one is wrong."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from config.loading import FileSettings, SettingsError, load
from config.node_settings import BACKEND_SECTIONS, NodeSettings, load_node_settings
from config.settings import (
    NODE_SECTIONS,
    DemoSettings,
    Settings,
    load_data_dir,
    load_demo_settings,
    load_settings,
)
from tests.unit.config.conftest import LEAST, Write, problems_of

NODE = '{"id": "%s", "title": "T", "url": "%s", "api_keys": ["0123456789abcdef"]}'
LEAST_NODE = """
[node]
api_keys = ["0123456789abcdef"]
public_host = "vpn.example"
state_dir = "state"
xray_config = "xray.json"
"""


# Sources


def test_defaults_fill_what_nobody_sets(write: Write) -> None:
    write(LEAST)

    settings = load_settings()

    assert settings.data_dir == Path("data")
    assert settings.telegram.mode == "polling"
    assert settings.database.url is None
    assert settings.payments.stars.enabled
    assert settings.payments.cryptopay.token is None
    assert settings.payments.card.provider_token is None
    assert not settings.payments.manual.enabled
    assert settings.http.trusted_proxies == ()
    assert settings.plans_file.is_file()
    assert settings.supervision_file.is_file()


def test_the_file_outranks_defaults(write: Write) -> None:
    write('data_dir = "from-file"\n' + LEAST)

    assert load_settings().data_dir == Path("from-file")


def test_the_environment_outranks_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write('data_dir = "from-file"\n' + LEAST)
    monkeypatch.setenv("TOLLGATE_DATA_DIR", "from-environment")

    assert load_settings().data_dir == Path("from-environment")


def test_options_outrank_the_environment(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write('data_dir = "from-file"\n' + LEAST)
    monkeypatch.setenv("TOLLGATE_DATA_DIR", "from-environment")

    settings = load_settings(options={"data_dir": "from-options"})

    assert settings.data_dir == Path("from-options")


def test_sources_are_merged_setting_by_setting(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write('[demo]\nlisten = "127.0.0.1:1"\n[provisioner]\nconcurrency = 3\n' + LEAST)
    monkeypatch.setenv("TOLLGATE_PROVISIONER__SCAN_INTERVAL_S", "2.5")

    settings = load_settings(options={"provisioner": {"retry_base_s": 0.5}})

    assert settings.provisioner.concurrency == 3
    assert settings.provisioner.scan_interval_s == 2.5
    assert settings.provisioner.retry_base_s == 0.5
    assert settings.demo.listen == "127.0.0.1:1"


def test_a_list_is_replaced_and_not_merged(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(LEAST)
    monkeypatch.setenv("TOLLGATE_NODES", f"[{NODE % ('paris', 'https://paris.example')}]")

    assert [node.id for node in load_settings().nodes] == ["paris"]


def test_the_environment_alone_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLGATE_TELEGRAM__TOKEN", "123456:a-token")
    monkeypatch.setenv("TOLLGATE_TELEGRAM__ADMINS", "[42]")
    monkeypatch.setenv("TOLLGATE_NODES", f"[{NODE % ('paris', 'https://paris.example')}]")

    assert load_settings().telegram.admins == (42,)


def test_an_empty_variable_counts_as_none(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(LEAST)
    monkeypatch.setenv("TOLLGATE_TELEGRAM__TOKEN", "")
    monkeypatch.setenv("TOLLGATE_TELEGRAM__API_BASE", "")
    monkeypatch.setenv("TOLLGATE_CONFIG", "")

    assert load_settings().telegram.token.get_secret_value() == "123456:a-token"


def test_a_variable_in_small_letters_counts_too(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(LEAST)
    monkeypatch.setenv("tollgate_data_dir", "small")

    assert load_settings().data_dir == Path("small")


def test_the_file_named_on_the_command_line_outranks_the_variable(
    folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("not toml")
    monkeypatch.setenv("TOLLGATE_CONFIG", "nowhere.toml")
    named = folder / "named.toml"
    named.write_text('data_dir = "named"\n' + LEAST, encoding="utf-8")

    assert load_settings(named).data_dir == Path("named")


def test_the_variable_outranks_the_file_of_the_folder(
    folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("not toml")
    (folder / "other.toml").write_text(LEAST, encoding="utf-8")
    monkeypatch.setenv("TOLLGATE_CONFIG", "other.toml")

    assert load_settings().telegram.mode == "polling"


def test_settings_cannot_be_changed(write: Write) -> None:
    write(LEAST)

    with pytest.raises(ValueError, match="frozen"):
        load_settings().data_dir = Path("elsewhere")  # type: ignore[misc]  # what is tested


def test_settings_without_arguments_of_ours_are_refused_early() -> None:
    """`load` is the way in; a source of another kind means that pydantic-settings has changed."""
    with pytest.raises(TypeError, match="in another way"):
        FileSettings.settings_customise_sources(Settings, None, None, None, None)  # type: ignore[arg-type]  # what is tested


# Files


def test_a_named_file_that_is_not_there_is_said_so() -> None:
    assert problems_of(lambda: load_settings(Path("absent.toml"))) == [
        "settings file absent.toml: there is no such file"
    ]


def test_a_file_of_the_variable_that_is_not_there_is_said_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOLLGATE_CONFIG", "absent.toml")

    assert problems_of(load_settings) == ["settings file absent.toml: there is no such file"]


def test_a_folder_is_no_file(folder: Path) -> None:
    assert problems_of(lambda: load_settings(folder)) == [
        f"settings file {folder}: there is no such file"
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[telegram", "Expected ']'"),
        (b"token = canary\n", "Invalid value (at line 1"),
        (b"a = 1\na = 2\n", "Cannot overwrite a value (at line 2"),
        (b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_a_file_that_is_not_toml_is_said_so(folder: Path, content: bytes, words: str) -> None:
    (folder / "tollgate.toml").write_bytes(content)

    [problem] = problems_of(load_settings)

    assert problem.startswith("settings file tollgate.toml: ")
    assert words in problem


def test_a_file_that_cannot_be_read_is_said_so(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(LEAST)

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(Path, "read_text", refuse)

    assert problems_of(lambda: load_settings(file)) == [f"settings file {file}: Permission denied"]


# Wrong values: one row each. {file} stands for the file's name.


@dataclass(frozen=True, slots=True)
class Wrong:
    """Something wrong, and all that a person should read."""

    id: str
    says: list[str]
    file: str = LEAST
    environment: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def changed(old: str, new: str) -> str:
    """The least file with one thing wrong."""
    assert LEAST.count(old) == 1
    return LEAST.replace(old, new)


OTHER = "(file tollgate.toml)"
WRONG = [
    Wrong(
        "nothing is set",
        [
            "telegram: is missing (not set; put it into tollgate.toml or the environment)",
            (
                "nodes: there is no node to sell access to; `tollgate node init` prints the lines"
                " to add (not set; put it into tollgate.toml or the environment)"
            ),
        ],
        file="",
    ),
    Wrong(
        "a table lacks a setting",
        ["telegram.token: is missing (not set; put it into tollgate.toml or the environment)"],
        file=changed('token = "123456:a-token"', ""),
    ),
    Wrong(
        "a token without its shape",
        [
            (
                "telegram.token: is not a bot token;"
                f" @BotFather gives one of the form 123456:ABC... {OTHER}"
            )
        ],
        file=changed("123456:a-token", "canary"),
    ),
    Wrong(
        "an unknown key in a table",
        [f"telegram.tokken: unknown {OTHER}"],
        file=changed("[telegram]", '[telegram]\ntokken = "canary"'),
    ),
    Wrong("an unknown table", [f"telegramm: unknown {OTHER}"], file="[telegramm]\n" + LEAST),
    Wrong(
        "an unknown variable",
        ["TOLLGATE_TELEGRAMM__TOKEN: no setting has this name (environment)"],
        environment={"TOLLGATE_TELEGRAMM__TOKEN": "canary"},
    ),
    Wrong(
        "an unknown variable in small letters",
        ["tollgate_dir: no setting has this name (environment)"],
        environment={"tollgate_dir": "canary"},
    ),
    Wrong(
        "an unknown variable in a table",
        ["telegram.tokken: unknown (environment, TOLLGATE_TELEGRAM__TOKKEN)"],
        environment={"TOLLGATE_TELEGRAM__TOKKEN": "canary"},
    ),
    Wrong(
        "a wrong option",
        [
            "telegram.mode: Input should be 'polling' or 'webhook' (command line)",
        ],
        options={"telegram": {"mode": "canary"}},
    ),
    Wrong(
        "a wrong variable",
        [
            (
                "payments.stars.enabled: Input should be a valid boolean, unable to interpret input"
                " (environment, TOLLGATE_PAYMENTS__STARS__ENABLED)"
            )
        ],
        environment={"TOLLGATE_PAYMENTS__STARS__ENABLED": "canary"},
    ),
    Wrong(
        "a wrong variable in small letters",
        [
            (
                "telegram.mode: Input should be 'polling' or 'webhook'"
                " (environment, tollgate_telegram__mode)"
            )
        ],
        environment={"tollgate_telegram__mode": "canary"},
    ),
    Wrong(
        "a list that is not JSON",
        ["telegram.admins: must be a JSON list (environment, TOLLGATE_TELEGRAM__ADMINS)"],
        environment={"TOLLGATE_TELEGRAM__ADMINS": "canary"},
    ),
    Wrong(
        "a list of tables that is not JSON",
        ["nodes: must be a JSON list (environment, TOLLGATE_NODES)"],
        environment={"TOLLGATE_NODES": "[{canary"},
    ),
    Wrong(
        "a table that is not JSON",
        ["telegram: must be a JSON object (environment, TOLLGATE_TELEGRAM)"],
        environment={"TOLLGATE_TELEGRAM": "canary"},
    ),
    Wrong(
        "a wrong value inside of JSON",
        ["nodes[0].id: is missing (environment, TOLLGATE_NODES)"],
        environment={
            "TOLLGATE_NODES": '[{"title": "T", "url": "https://h", "api_keys": ["canary"]}]'
        },
    ),
    Wrong(
        "a table where a list belongs",
        [f"nodes: Input should be a valid tuple {OTHER}"],
        file=changed("[[nodes]]", "[nodes]"),
    ),
    Wrong(
        "a number out of bounds",
        [f"provisioner.concurrency: Input should be greater than or equal to 1 {OTHER}"],
        file="[provisioner]\nconcurrency = 0\n" + LEAST,
    ),
    Wrong(
        "not a number",
        [f"provisioner.retry_base_s: Input should be less than or equal to 10 {OTHER}"],
        file="[provisioner]\nretry_base_s = nan\n" + LEAST,
    ),
    Wrong(
        "no address",
        [f"demo.listen: must be HOST:PORT, for example 127.0.0.1:8080 {OTHER}"],
        file='[demo]\nlisten = "8088"\n' + LEAST,
    ),
    Wrong(
        "no URL",
        [f"telegram.api_base: must be an http or https URL {OTHER}"],
        file=changed("[telegram]", '[telegram]\napi_base = "canary"'),
    ),
    Wrong(
        "a URL with a password",
        [f"telegram.api_base: must not carry a user name or password {OTHER}"],
        file=changed("[telegram]", '[telegram]\napi_base = "https://user:canary@h"'),
    ),
    Wrong(
        "a database of another kind",
        [f"database.url: must begin with postgresql:// {OTHER}"],
        file='[database]\nurl = "mysql://user:canary@h/d"\n' + LEAST,
    ),
    Wrong(
        "a short master secret",
        [f"security.keys: key 0: shorter than 32 characters {OTHER}"],
        file='[security]\nkeys = ["canary"]\n' + LEAST,
    ),
    Wrong(
        "a node without a key",
        [f"nodes[0].api_keys: Tuple should have at least 1 item after validation, not 0 {OTHER}"],
        file=changed('["0123456789abcdef"]', "[]"),
    ),
    Wrong(
        "a node whose id is none",
        [f"nodes[0].id: String should match pattern '^[a-z0-9][a-z0-9-]{{0,31}}$' {OTHER}"],
        file=changed('"berlin"', '"Berlin!"'),
    ),
    Wrong(
        "a far node without https",
        [f"nodes[0].url: must be https: the host is not this machine {OTHER}"],
        file=changed("https://node.example", "http://node.example"),
    ),
    Wrong(
        "a webhook without an address",
        [f'telegram: mode "webhook" needs webhook_url and webhook_secret {OTHER}'],
        file=changed(
            "[telegram]", '[telegram]\nmode = "webhook"\nwebhook_secret = "canary-canary-canary"'
        ),
    ),
    Wrong(
        "a webhook without a secret",
        [f'telegram: mode "webhook" needs webhook_url and webhook_secret {OTHER}'],
        file=changed("[telegram]", '[telegram]\nmode = "webhook"\nwebhook_url = "https://h/hook"'),
    ),
    Wrong(
        "a webhook's secret that is guessed",
        [
            (
                "telegram.webhook_secret: must be 16 to 256 characters of A-Z, a-z, 0-9, _ and -"
                f" {OTHER}"
            )
        ],
        file=changed("[telegram]", '[telegram]\nwebhook_secret = "canary"'),
    ),
    Wrong(
        "a webhook's secret that Telegram does not take",
        [
            (
                "telegram.webhook_secret: must be 16 to 256 characters of A-Z, a-z, 0-9, _ and -"
                " (environment, TOLLGATE_TELEGRAM__WEBHOOK_SECRET)"
            )
        ],
        environment={"TOLLGATE_TELEGRAM__WEBHOOK_SECRET": "canary canary canary"},
    ),
    Wrong(
        "a proxy that is no address",
        [f"http.trusted_proxies[0]: value is not a valid IPv4 or IPv6 network {OTHER}"],
        file='[http]\ntrusted_proxies = ["canary"]\n' + LEAST,
    ),
    Wrong(
        "nothing to pay with",
        [(f"payments: nothing can be paid with: leave stars on, or set another way up {OTHER}")],
        file="[payments.stars]\nenabled = false\n" + LEAST,
    ),
    Wrong(
        "a currency that nobody knows",
        [f"payments: cryptopay.currency: CANAR is not known here {OTHER}"],
        file='[payments.cryptopay]\ncurrency = "CANAR"\n' + LEAST,
    ),
    Wrong(
        "a provider's token in clear",
        [(f"payments.cryptopay.network: must be https: the host is not this machine {OTHER}")],
        file='[payments.cryptopay]\nnetwork = "http://pay.example.org"\n' + LEAST,
    ),
    Wrong(
        "cards for Stars",
        [f"payments: card.currency: XTR is not known here {OTHER}"],
        file='[payments.card]\ncurrency = "XTR"\n' + LEAST,
    ),
    Wrong(
        "a payment by hand that nobody explains",
        [f"payments: manual.instructions: say how to pay {OTHER}"],
        file='[payments.manual]\nenabled = true\ninstructions = " "\n' + LEAST,
    ),
    Wrong(
        "two wrong things",
        [
            (
                f"telegram.admins[1]: Input should be a valid integer, unable to parse string as an"
                f" integer {OTHER}"
            ),
            (
                "demo.listen: must be HOST:PORT, for example 127.0.0.1:8080"
                " (environment, TOLLGATE_DEMO__LISTEN)"
            ),
        ],
        file=changed("[telegram]", '[telegram]\nadmins = [1, "canary"]'),
        environment={"TOLLGATE_DEMO__LISTEN": "canary"},
    ),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.id)
def test_a_wrong_value_is_one_line_with_name_reason_and_origin(
    write: Write, monkeypatch: pytest.MonkeyPatch, wrong: Wrong
) -> None:
    write(wrong.file)
    for name, value in wrong.environment.items():
        monkeypatch.setenv(name, value)

    problems = problems_of(lambda: load_settings(options=wrong.options))

    assert problems == wrong.says
    assert "canary" not in "".join(problems)


def test_a_webhook_that_is_whole_is_taken(write: Write) -> None:
    write(
        changed(
            "[telegram]",
            '[telegram]\nmode = "webhook"\nwebhook_url = "https://shop.example/hook/"\n'
            'webhook_secret = "0123456789abcdef"',
        )
    )

    telegram = load_settings().telegram

    assert (telegram.mode, telegram.webhook_url) == ("webhook", "https://shop.example/hook")


def test_the_server_may_listen_beyond_this_machine(write: Write) -> None:
    """In a container the proxy is another machine."""
    write('[http]\nlisten = "0.0.0.0:8080"\n' + LEAST)

    assert load_settings().http.listen == "0.0.0.0:8080"


def test_proxies_are_addresses_or_networks(write: Write) -> None:
    write('[http]\ntrusted_proxies = ["127.0.0.1", "10.0.0.0/8", "fd00::/8"]\n' + LEAST)

    proxies = load_settings().http.trusted_proxies

    assert [str(proxy) for proxy in proxies] == ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"]


@pytest.mark.parametrize("network", ["main", "test", "http://127.0.0.1:9"])
def test_another_way_to_pay_may_take_the_place_of_stars(write: Write, network: str) -> None:
    write(
        "[payments.stars]\nenabled = false\n[payments.cryptopay]\n"
        f'token = "1:a"\nnetwork = "{network}"\n' + LEAST
    )

    assert load_settings().payments.cryptopay.network == network


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_token_switches_nothing_on(write: Write, empty: str) -> None:
    """Whoever signs with nothing would be taken for the provider."""
    write(
        f'[payments.cryptopay]\ntoken = "{empty}"\n'
        f'[payments.card]\nprovider_token = "{empty}"\n{LEAST}'
    )

    payments = load_settings().payments

    assert (payments.cryptopay.token, payments.card.provider_token) == (None, None)


# Secrets


def secret_paths(model: type[BaseModel], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every setting of a model that holds secrets, by its path; lists count as one step."""
    found = []
    for name, info in model.model_fields.items():
        annotation = str(info.annotation)
        inner = list(models_in(info.annotation))
        if "SecretStr" in annotation:
            found.append((*path, name))
        for kind in inner:
            found += secret_paths(kind, (*path, name))
    return found


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that a field's type mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [kind for part in getattr(annotation, "__args__", ()) for kind in models_in(part)]


SECRETS = {
    ("telegram", "token"),
    ("telegram", "webhook_secret"),
    ("database", "url"),
    ("payments", "cryptopay", "token"),
    ("payments", "card", "provider_token"),
    ("security", "keys"),
    ("nodes", "api_keys"),
    ("node", "api_keys"),
}
#: Values that some part of the way refuses; each hides the word that must not come out.
CANARIES = [
    "canary",
    "canary\x00canary",
    "123456:canary\u2100",
    "postgresql://user:[canary]@host/d",
    "postgresql://user:can\u2100canary@host/d",
    "sha256:canary",
    "https://canary@:99999999/",
]


def test_these_are_all_the_secrets_there_are() -> None:
    assert {*secret_paths(Settings), *secret_paths(NodeSettings)} == SECRETS


#: As it should be, and in every wrong kind of value.
SHAPES: dict[str, Callable[[str], Any]] = {
    "text": lambda canary: canary,
    "list": lambda canary: [canary],
    "list of lists": lambda canary: [[canary]],
    "table": lambda canary: {"key": canary},
    "number": lambda _: 7,
}


@pytest.mark.parametrize("source", ["file", "variable", "variable of the table", "options"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("path", sorted(SECRETS), ids=".".join)
@pytest.mark.parametrize("canary", CANARIES, ids=range(len(CANARIES)))
def test_no_secret_is_ever_shown(
    monkeypatch: pytest.MonkeyPatch, path: tuple[str, str], shape: str, source: str, canary: str
) -> None:
    value = SHAPES[shape](canary)
    table: Any = {path[1]: value}
    values = {path[0]: [table] if path[0] == "nodes" else table}
    options: dict[str, Any] = {"nonsense": 1}  # so that there is always something to say
    match source:
        case "file":
            monkeypatch.setattr("config.loading.read_file", lambda _: values)
        case "options":
            options |= values
        case "variable":
            name = f"TOLLGATE_{path[0]}__{path[1]}".upper()
            monkeypatch.setenv(name, str(value).replace("\x00", ""))
        case _:  # not JSON, since Python's quotes are others
            monkeypatch.setenv(f"TOLLGATE_{path[0]}".upper(), str(values).replace("\x00", ""))
    model: type[FileSettings] = NodeSettings if path[0] == "node" else Settings
    foreign = BACKEND_SECTIONS if path[0] == "node" else NODE_SECTIONS

    problems = problems_of(lambda: load(model, options=options, foreign=foreign))

    assert "canary" not in "".join(problems)


def test_settings_do_not_show_their_secrets(write: Write) -> None:
    write(
        LEAST.replace("a-token", "canary").replace("0123456789abcdef", "canary")
        + '[database]\nurl = "postgresql://u:canary@h/d"\n'
        + '[security]\nkeys = ["canary-canary-canary-canary-canary"]\n'
    )

    settings = load_settings()

    assert "canary" not in f"{settings!r} {settings} {settings.model_dump()}"
    assert settings.telegram.token.get_secret_value() == "123456:canary"


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("", None),
        ("postgresql://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgres://h/d", "postgres://h/d"),
    ],
)
def test_a_database_is_postgresql_and_an_empty_one_our_own(
    write: Write, url: str, kept: str | None
) -> None:
    write(f'{LEAST}[database]\nurl = "{url}"\n')

    found = load_settings().database.url

    assert (found and found.get_secret_value()) == kept


def test_a_secret_is_a_secret_string(write: Write) -> None:
    write(LEAST)

    assert isinstance(load_settings().nodes[0].api_keys[0], SecretStr)


# Nodes


@pytest.mark.parametrize(
    "url",
    [
        "https://node.example",
        "https://node.example:8443",
        "http://127.0.0.1:8090",
        "http://127.9.9.9",
        "http://localhost:8090",
        "http://LOCALHOST",
        "http://[::1]:8090",
    ],
)
def test_a_node_is_called_by_https_or_on_this_machine(
    write: Write, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    write(LEAST)
    monkeypatch.setenv("TOLLGATE_NODES", f"[{NODE % ('a', url)}]")

    assert load_settings().nodes[0].url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://node.example",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "http://0.0.0.0",
        "http://10.0.0.1",
        "http://[::2]",
        "ftp://127.0.0.1",
        "https://",
        "https://node.example:port",
        "https://node.example:99999",
        "https://user@node.example",
        "https://[::1",
        "node.example",
        "",
    ],
)
def test_no_other_url_is_a_nodes(write: Write, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    write(LEAST)
    monkeypatch.setenv("TOLLGATE_NODES", f"[{NODE % ('a', url)}]")

    [problem] = problems_of(load_settings)

    assert problem.startswith("nodes[0].url: must ")
    assert problem.endswith("(environment, TOLLGATE_NODES)")


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (("a", "https://one.example"), ("a", "https://two.example"), "the same id"),
        (("a", "https://one.example"), ("b", "https://one.example/"), "the same url"),
    ],
)
def test_nodes_differ(
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
    first: tuple[str, str],
    second: tuple[str, str],
    words: str,
) -> None:
    write(LEAST)
    monkeypatch.setenv("TOLLGATE_NODES", f"[{NODE % first}, {NODE % second}]")

    assert problems_of(load_settings) == [
        f"nodes: two nodes have {words} (environment, TOLLGATE_NODES)"
    ]


# The node service, and the demo


def test_a_node_reads_its_own_table_and_passes_over_the_rest(write: Write) -> None:
    write(LEAST + LEAST_NODE + "[http]\nlisten = 7\n")

    settings = load_node_settings()

    assert settings.node.listen == "127.0.0.1:8090"
    assert settings.node.xray == "embedded"


def test_a_back_end_passes_over_the_nodes_table(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(LEAST + LEAST_NODE)
    monkeypatch.setenv("TOLLGATE_NODE__LISTEN", "nonsense")

    assert load_settings().nodes[0].id == "berlin"


def test_every_table_of_the_back_end_is_known_to_the_node() -> None:
    assert set(Settings.model_fields) <= BACKEND_SECTIONS
    assert set(NodeSettings.model_fields) == NODE_SECTIONS


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("api_keys = []", "node.api_keys: Tuple should have at least 1 item after validation"),
        ('api_keys = ["short"]', "node.api_keys: key 0: shorter than 16 characters"),
        (
            'api_keys = ["0123456789abcdef", "sha256:0123456789abcdef"]',
            "node.api_keys: key 1: sha256: is followed by 64 hex digits",
        ),
        ('tls_cert = "tls.crt"', "node: tls_cert and tls_key are set together or not at all"),
        ("public_port = 0", "node.public_port: Input should be greater than or equal to 1"),
        ('public_host = ""', "node.public_host: String should have at least 1 character"),
        ('xray = "systemd:-x"', "node.xray: systemd:<unit> is followed by a unit"),
        ('xray = "binary:"', "node.xray: must be embedded, binary:<path> or systemd:<unit>"),
        ('xray = "docker"', "node.xray: must be embedded, binary:<path> or systemd:<unit>"),
        ('listen = ":8090"', "node.listen: must be HOST:PORT"),
        ("lisen = 1", "node.lisen: unknown"),
    ],
)
def test_a_wrong_node_setting_is_one_line(write: Write, lines: str, says: str) -> None:
    key = lines.split(" ", maxsplit=1)[0]
    kept = [line for line in LEAST_NODE.splitlines() if not line.startswith(f"{key} ")]
    write("\n".join([*kept, lines]))

    [problem] = problems_of(load_node_settings)

    assert problem.startswith(says)
    assert problem.endswith("(file tollgate.toml)")


def test_a_fault_of_a_whole_table_names_the_variable_that_is_part_of_it(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("")
    for name, value in {
        "API_KEYS": '["0123456789abcdef"]',
        "PUBLIC_HOST": "vpn.example",
        "STATE_DIR": "state",
        "XRAY_CONFIG": "xray.json",
        "TLS_KEY": "tls.key",
    }.items():
        monkeypatch.setenv(f"TOLLGATE_NODE__{name}", value)

    [problem] = problems_of(load_node_settings)

    assert problem.startswith("node: tls_cert and tls_key are set together or not at all ")
    assert "(environment, TOLLGATE_NODE__" in problem


@pytest.mark.parametrize("xray", ["embedded", "binary:/usr/bin/xray"])
def test_a_node_runs_an_xray_of_either_kind(write: Write, xray: str) -> None:
    write(LEAST_NODE + f'xray = "{xray}"\n')

    assert load_node_settings().node.xray == xray


def test_the_demo_needs_nothing() -> None:
    settings = load_demo_settings()

    assert (settings.data_dir, settings.demo.listen) == (
        DemoSettings.model_fields["data_dir"].default,
        "127.0.0.1:8088",
    )


def test_the_demo_leaves_the_rest_to_its_programs(write: Write) -> None:
    write(LEAST + LEAST_NODE + '[demo]\nlisten = "127.0.0.1:1"\n')

    assert load_demo_settings().demo.listen == "127.0.0.1:1"


def test_the_demo_too_refuses_what_nobody_knows(write: Write) -> None:
    write("[telegramm]\n")

    assert problems_of(load_demo_settings) == ["telegramm: unknown (file tollgate.toml)"]


def test_a_running_back_end_is_found_with_nothing_but_its_place(write: Write) -> None:
    assert load_data_dir() == Path("data")

    write('data_dir = "there"\n[telegram]\ntoken = 5\n')

    assert load_data_dir() == Path("there")


def test_a_place_is_not_looked_up_in_a_file_that_nobody_understands(write: Write) -> None:
    write('data_dirr = "there"\n')

    assert problems_of(load_data_dir) == ["data_dirr: unknown (file tollgate.toml)"]


def test_an_error_of_settings_holds_its_lines() -> None:
    assert SettingsError(["a", "b"]).problems == ["a", "b"]

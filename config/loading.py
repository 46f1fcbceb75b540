"""Settings from options, environment, TOML file and defaults, in that order, checked as a whole.

A wrong value becomes one line that names the setting, the fault and where it came from,
and never shows a secret.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

PREFIX = "TOLLGATE_"
DELIMITER = "__"
CONFIG_VARIABLE = "TOLLGATE_CONFIG"
DEFAULT_FILE = Path("tollgate.toml")


class SettingsError(Exception):
    """Settings cannot be used; `problems` holds one line for each reason."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class FileSettings(BaseSettings):
    """Base of a program's settings; the TOML values arrive through `load`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        nested_model_default_partial_update=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options first, then the environment; `load` adds the file below both."""
        del dotenv_settings, file_secret_settings
        if not isinstance(init_settings, InitSettingsSource):
            return (init_settings, env_settings)
        arguments = dict(init_settings.init_kwargs)
        from_file = arguments.pop("_from_file", {})
        return (
            InitSettingsSource(settings_cls, arguments),
            env_settings,
            InitSettingsSource(settings_cls, from_file),
        )


Model = TypeVar("Model", bound=FileSettings)


def load(
    model: type[Model],
    *,
    config_file: Path | None = None,
    options: Mapping[str, Any] | None = None,
    foreign: frozenset[str] = frozenset(),
) -> Model:
    """Read and check a program's settings.

    Args:
        model: the program's settings.
        config_file: the file named on the command line, if any.
        options: values given on the command line, nested like the model.
        foreign: top-level names of another program's settings, passed over.

    Raises:
        SettingsError: a file cannot be read, or a value is missing, unknown or wrong.
    """
    path = find_file(config_file)
    from_file = {key: value for key, value in read_file(path).items() if key not in foreign}
    given = dict(options or {})
    values: dict[str, Any] = {**given, "_from_file": from_file}
    problems = _unknown_variables(model, foreign)
    try:
        settings = model(**values)
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False):
            location = tuple(part for part in fault["loc"] if part != "_from_file")
            origin = _origin(location, given, from_file, path)
            problems.append(f"{_dotted(location)}: {_plain(fault['msg'])} ({origin})")
        raise SettingsError(problems) from None
    except ValueError as error:  # a nested environment value that is not JSON
        raise SettingsError([*problems, f"environment: {error}"]) from None
    if problems:
        raise SettingsError(problems)
    return settings


def find_file(named: Path | None) -> Path | None:
    """The settings file: the one named, or of TOLLGATE_CONFIG, or ./tollgate.toml if present.

    Raises:
        SettingsError: a file was named and is not there.
    """
    wanted = named or (Path(os.environ[CONFIG_VARIABLE]) if CONFIG_VARIABLE in os.environ else None)
    if wanted is None:
        return DEFAULT_FILE if DEFAULT_FILE.is_file() else None
    if not wanted.is_file():
        raise SettingsError([f"settings file {wanted}: there is no such file"])
    return wanted


def read_file(path: Path | None) -> dict[str, Any]:
    """The values of a TOML file; none for no file.

    Raises:
        SettingsError: the file cannot be read or is not TOML.
    """
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError([f"settings file {path}: {error}"]) from None


def _unknown_variables(model: type[FileSettings], foreign: frozenset[str]) -> list[str]:
    known = {name.upper() for name in {*model.model_fields, *foreign}}
    return [
        f"{name}: no setting has this name (environment)"
        for name in sorted(os.environ)
        if name.startswith(PREFIX)
        and name != CONFIG_VARIABLE
        and name.removeprefix(PREFIX).split(DELIMITER)[0].upper() not in known
    ]


def _origin(
    location: tuple[int | str, ...],
    given: Mapping[str, Any],
    from_file: Mapping[str, Any],
    path: Path | None,
) -> str:
    if _holds(given, location):
        return "command line"
    names = [str(part).upper() for part in location]
    for length in range(len(names), 0, -1):
        variable = PREFIX + DELIMITER.join(names[:length])
        if variable in os.environ:
            return f"environment, {variable}"
    if _holds(from_file, location):
        return f"file {path}"
    return f"not set; put it into {path or DEFAULT_FILE} or the environment"


def _holds(values: Any, location: tuple[int | str, ...]) -> bool:
    for part in location:
        if isinstance(values, Mapping):
            inside = part in values
        else:
            inside = isinstance(values, list) and isinstance(part, int) and part < len(values)
        if not inside:
            return isinstance(values, list | str | int | float)
        values = values[part]
    return True


def _dotted(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".") or "settings"


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ").replace(
        "Extra inputs are not permitted", "unknown"
    )

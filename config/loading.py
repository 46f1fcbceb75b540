"""Settings from options, environment, TOML file and defaults, in that order, checked as a whole.

A wrong value becomes one line that names the setting, the fault and where it came from,
and never shows a secret.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
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


class EnvironmentSource(EnvSettingsSource):
    """The environment, with what is not JSON left as it is: the model says which setting it is."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """JSON for lists and tables."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


class FileSettings(BaseSettings):
    """Base of a program's settings; the TOML values arrive through `load`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
        env_ignore_empty=True,
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
        del env_settings, dotenv_settings, file_secret_settings
        if not isinstance(init_settings, InitSettingsSource):
            raise TypeError("pydantic-settings hands its arguments over in another way")
        arguments = dict(init_settings.init_kwargs)
        from_file = arguments.pop("_from_file", {})
        return (
            InitSettingsSource(settings_cls, arguments),
            EnvironmentSource(settings_cls),
            InitSettingsSource(settings_cls, from_file),
        )


Model = TypeVar("Model", bound=FileSettings)
Table = TypeVar("Table", bound=BaseModel)


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
        for fault in _faults(error):
            location = tuple(part for part in fault["loc"] if part != "_from_file")
            origin = _origin(location, given, from_file, path)
            problems.append(f"{_dotted(location)}: {_plain(fault, origin)} ({origin})")
        raise SettingsError(problems) from None
    if problems:
        raise SettingsError(problems)
    return settings


def find_file(named: Path | None) -> Path | None:
    """The settings file: the one named, or of TOLLGATE_CONFIG, or ./tollgate.toml if present.

    Raises:
        SettingsError: a file was named and is not there.
    """
    variable = os.environ.get(CONFIG_VARIABLE)
    wanted = named or (Path(variable) if variable else None)
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
    return {} if path is None else _parsed(f"settings file {path}", path)


def load_table(model: type[Table], setting: str, file: Path) -> Table:
    """Read and check a TOML file that a setting names.

    Raises:
        SettingsError: one line for each problem.
    """
    name = f"{setting} {file}"
    try:
        return model.model_validate(_parsed(name, file))
    except ValidationError as error:
        raise SettingsError(
            [f"{name}: {_dotted(fault['loc'])}: {_plain(fault, name)}" for fault in _faults(error)]
        ) from None


def _parsed(name: str, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError([f"{name}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise SettingsError([f"{name}: is not UTF-8"]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([f"{name}: {error}"]) from None


def _unknown_variables(model: type[FileSettings], foreign: frozenset[str]) -> list[str]:
    known = {name.upper() for name in {*model.model_fields, *foreign}}
    return [
        f"{name}: no setting has this name (environment)"
        for name in sorted(os.environ)
        if name.upper().startswith(PREFIX)
        and name != CONFIG_VARIABLE
        and name.upper().removeprefix(PREFIX).split(DELIMITER)[0] not in known
    ]


def _origin(
    location: tuple[int | str, ...],
    given: Mapping[str, Any],
    from_file: Mapping[str, Any],
    path: Path | None,
) -> str:
    if _holds(given, location):
        return "command line"
    variables = {name.upper(): name for name, value in sorted(os.environ.items()) if value}
    names = [str(part).upper() for part in location]
    for length in range(len(names), 0, -1):
        variable = PREFIX + DELIMITER.join(names[:length])
        if variable in variables:
            return f"environment, {variables[variable]}"
    if _holds(from_file, location):
        return f"file {path}"
    whole = PREFIX + DELIMITER.join(names) + DELIMITER
    for variable, name in variables.items():
        if variable.startswith(whole):
            return f"environment, {name}"
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


def _faults(error: ValidationError) -> list[ErrorDetails]:
    """What is wrong; not that a list is too short where only its items are wrong."""
    faults = error.errors(include_input=False, include_url=False)
    deeper = {fault["loc"][:depth] for fault in faults for depth in range(len(fault["loc"]))}
    return [fault for fault in faults if fault["type"] != "too_short" or fault["loc"] not in deeper]


#: Pydantic's names of what an environment variable can only hold as JSON.
_JSON_SHAPES = {"tuple_type": "list", "model_type": "object", "model_attributes_type": "object"}


def _plain(fault: ErrorDetails, origin: str) -> str:
    if fault["type"] == "extra_forbidden":
        return "unknown"
    if fault["type"] == "missing":
        return "is missing"
    if fault["type"] in _JSON_SHAPES and origin.startswith("environment"):
        return f"must be a JSON {_JSON_SHAPES[fault['type']]}"
    return fault["msg"].removeprefix("Value error, ")

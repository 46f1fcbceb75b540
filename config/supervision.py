"""Restart policies as the operator wrote them; a wrong file stops the program with the reason."""

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from config.loading import SettingsError


class RestartPolicy(BaseModel):
    """One supervisor's limits; see `config/supervision.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_restarts: int = Field(ge=0, le=1_000)
    window_s: float = Field(gt=0, le=86_400)
    backoff_base_s: float = Field(gt=0, le=60)
    backoff_cap_s: float = Field(gt=0, le=3_600)
    shutdown_s: float = Field(gt=0, le=120)


class SupervisionPolicies(BaseModel):
    """Every supervisor's limits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: RestartPolicy
    notifier: RestartPolicy
    provisioners: RestartPolicy
    users: RestartPolicy
    door: RestartPolicy


def load_supervision(file: Path) -> SupervisionPolicies:
    """Read and check a supervision file.

    Raises:
        SettingsError: one line for each problem.
    """
    try:
        return SupervisionPolicies.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError([f"supervision_file {file}: {error}"]) from None
    except ValidationError as error:
        raise SettingsError(
            [
                f"supervision_file {file}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}"
                for fault in error.errors(include_url=False)
            ]
        ) from None

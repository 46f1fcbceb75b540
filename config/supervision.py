"""Restart policies as the operator wrote them; a wrong file stops the program with the reason."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from config.loading import load_table

Seconds = Annotated[float, Field(gt=0, le=3_600, allow_inf_nan=False)]


class RestartPolicy(BaseModel):
    """One supervisor's policy; see `config/supervision.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategy: Literal["one_for_one", "one_for_all", "rest_for_one"] = "one_for_one"
    max_restarts: int = Field(ge=0, le=1_000)
    window_s: float = Field(gt=0, le=86_400, allow_inf_nan=False)
    backoff_base_s: float = Field(gt=0, le=60, allow_inf_nan=False)
    backoff_cap_s: Seconds
    reset_after_s: Seconds = 60.0
    shutdown_s: float = Field(gt=0, le=120, allow_inf_nan=False)


class UsersPolicy(RestartPolicy):
    """The policy for users' actors, which start on their first message."""

    strategy: Literal["one_for_one"] = "one_for_one"
    park_s: Seconds = 300.0
    storm_children: int = Field(default=20, ge=2, le=100_000)
    idle_after_s: float = Field(default=300.0, ge=1, le=86_400, allow_inf_nan=False)


class SupervisionPolicies(BaseModel):
    """Every supervisor's policy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: RestartPolicy
    operators: RestartPolicy
    notifier: RestartPolicy
    provisioners: RestartPolicy
    users: UsersPolicy
    workers: RestartPolicy
    door: RestartPolicy


def load_supervision(file: Path) -> SupervisionPolicies:
    """Read and check a supervision file.

    Raises:
        SettingsError: one line for each problem.
    """
    return load_table(SupervisionPolicies, "supervision_file", file)

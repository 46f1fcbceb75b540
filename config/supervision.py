"""Restart policies as the operator wrote them; a wrong file stops the program with the reason."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from config.loading import load_table


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
    return load_table(SupervisionPolicies, "supervision_file", file)

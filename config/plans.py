"""Plans as the operator wrote them; a wrong file stops the program with the reason."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from config.loading import SettingsError, load_table

#: Telegram's limit for an invoice title (https://core.telegram.org/bots/api#sendinvoice).
TITLE_LIMIT = 32
#: Telegram's limit for one payment in Stars.
STARS_LIMIT = 10_000
LONGEST_PERIOD_S = 10 * 366 * 86_400


class Title(BaseModel):
    """A plan's name in each language of the bot."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    en: str = Field(min_length=1, max_length=TITLE_LIMIT)
    ru: str = Field(min_length=1, max_length=TITLE_LIMIT)

    def of(self, language: str) -> str:
        """The title in `language`, English where we have no other."""
        return self.ru if language == "ru" else self.en


class Plan(BaseModel):
    """Something that can be bought: an amount of time for a price."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9_-]{1,16}$")
    title: Title
    period_s: int = Field(ge=60, le=LONGEST_PERIOD_S)
    price_stars: int = Field(ge=1, le=STARS_LIMIT)
    #: Ids of the nodes that its buyers may be put on; empty means any.
    nodes: tuple[str, ...] = ()


class Plans(BaseModel):
    """All that is sold, in the order shown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    plans: tuple[Plan, ...] = Field(min_length=1)

    @field_validator("plans")
    @classmethod
    def _ids_differ(cls, plans: tuple[Plan, ...]) -> tuple[Plan, ...]:
        ids = [plan.id for plan in plans]
        if len(ids) != len(set(ids)):
            raise ValueError("two plans have the same id")
        return plans

    def get(self, plan_id: str) -> Plan | None:
        """The plan with this id, if it is sold."""
        return next((plan for plan in self.plans if plan.id == plan_id), None)


def load_plans(file: Path, node_ids: Sequence[str]) -> Plans:
    """Read and check a plans file.

    Args:
        file: TOML as in `config/plans.toml`.
        node_ids: nodes that exist; a plan may name no other.

    Raises:
        SettingsError: one line for each problem.
    """
    plans = load_table(Plans, "plans_file", file)
    foreign = [
        f"plans_file {file}: plan {plan.id}: there is no node {node_id}"
        for plan in plans.plans
        for node_id in plan.nodes
        if node_id not in node_ids
    ]
    if foreign:
        raise SettingsError(foreign)
    return plans

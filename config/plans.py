"""Plans as the operator wrote them; a wrong file stops the program with the reason."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from config.loading import SettingsError, load_table
from config.money import STARS, Currency, MoneyError, minor

#: Telegram's limit for an invoice title (https://core.telegram.org/bots/api#sendinvoice).
TITLE_LIMIT = 32
#: Telegram's limit for one payment in Stars.
STARS_LIMIT = 10_000
DAY_S = 86_400
#: Also what one row of the ledger may add at most (the CHECK in storage/migrations).
LONGEST_PERIOD_S = 10 * 366 * DAY_S
#: How far ahead of now access may reach when a plan says nothing else.
USUAL_HORIZON_S = 2 * 366 * DAY_S


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
    #: Prices in other currencies, as people write them. A currency that is not named here is not
    #: offered for this plan.
    prices: Mapping[Currency, Decimal] = Field(default_factory=dict)
    #: Plans of one tier are lengths of the same thing: buying another one adds time. Time left of
    #: another tier is converted by price.
    tier: str = Field(default="standard", pattern=r"^[a-z0-9_-]{1,16}$")
    #: How far ahead of now access of this plan may reach.
    horizon_s: int = Field(default=0, ge=0, le=LONGEST_PERIOD_S, validate_default=True)
    #: Ids of the nodes that its buyers may be put on; empty means any.
    nodes: tuple[str, ...] = ()

    @field_validator("prices")
    @classmethod
    def _prices_are_amounts(cls, prices: Mapping[str, Decimal]) -> Mapping[str, Decimal]:
        for currency, amount in prices.items():
            if currency == STARS:
                raise ValueError("the price in Stars is price_stars")
            try:
                minor(amount, currency)
            except MoneyError as error:
                raise ValueError(f"{currency}: {error}") from None
        return prices

    @model_validator(mode="after")
    def _horizon_holds_a_period(self) -> "Plan":
        if self.horizon_s and self.horizon_s < self.period_s:
            raise ValueError("horizon_s is shorter than period_s: nobody could buy it")
        return self

    @property
    def reach_s(self) -> int:
        """How far ahead of now access of this plan may reach, seconds."""
        return self.horizon_s or max(USUAL_HORIZON_S, 2 * self.period_s)

    def price_in(self, currency: str) -> int | None:
        """The price in the currency's smallest unit; None when it is not sold for that."""
        if currency == STARS:
            return self.price_stars
        amount = self.prices.get(currency)
        return None if amount is None else minor(amount, currency)


class Trial(BaseModel):
    """What a person may try once, for nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: The plan whose nodes it opens.
    plan: str
    period_s: int = Field(ge=60, le=90 * DAY_S)


class Limits(BaseModel):
    """How much time may be given at once: what is more is a mistake, and stopped; seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: One grant of an owner.
    grant_s: int = Field(default=366 * DAY_S, ge=60, le=LONGEST_PERIOD_S)
    #: All that one user gets within a day, bought and given.
    user_day_s: int = Field(default=2 * 366 * DAY_S, ge=60, le=2 * LONGEST_PERIOD_S)
    #: All grants and trials of the shop within a day.
    shop_day_s: int = Field(default=10 * 366 * DAY_S, ge=60)


class Plans(BaseModel):
    """All that is sold, in the order shown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    plans: tuple[Plan, ...] = Field(min_length=1)
    #: None: nobody may try for nothing.
    trial: Trial | None = None
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _trial_is_of_a_plan(self) -> "Plans":
        if self.trial is not None and self.get(self.trial.plan) is None:
            raise ValueError(f"trial: there is no plan {self.trial.plan}")
        return self

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

"""Runs seeds: `python -m tests.simulation --seeds 10000`; `--help` says the rest.

Exit status 1 when a rule was broken, with the command that tells the story again.
"""

import argparse
import gc
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeAlias

from tests.simulation.plants import PLANTS
from tests.simulation.play import Outcome, alone, forget, play

#: A seed, what broke, what happened, and how long it was: virtual seconds, and of a CPU.
Ran: TypeAlias = tuple[int, str, Counter[str], float, float]

#: Runs between two looks at what can be thrown away.
FORGET_EVERY = 10


def main() -> int:
    """Run what the arguments ask for."""
    asked = _arguments()
    if asked.seed is not None:
        with alone(logging_too=asked.log):
            outcome = play(asked.seed, asked.plant)
        _tell(outcome)
        return int(outcome.error is not None)
    began = time.perf_counter()
    ran, failed, counts, virtual_s, cpu_s = 0, [], Counter[str](), 0.0, 0.0
    for seed, error, found, lasted_s, took_s in _all(asked):
        ran += 1
        counts += found
        virtual_s += lasted_s
        cpu_s += took_s
        if error:
            failed.append(seed)
            again = f"python -m tests.simulation --seed {seed}{_plant(asked)}"
            _say(f"seed {seed}: {error[:500]}\n  {again}")
            if asked.first:
                break
        if ran % 250 == 0:
            _say(f"{ran} seeds, {len(failed)} failed, {_pace(ran, began)} a minute")
    for what, times in sorted(counts.items()):
        _say(f"{times:8} {what}")
    _say(
        f"{ran} seeds, {len(failed)} failed, {_pace(ran, began)} a minute,"
        f" {virtual_s / 86_400:.0f} days of virtual time, {1_000 * cpu_s / ran:.0f} ms of CPU each"
    )
    return int(bool(failed))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=300, help="how many")
    parser.add_argument("--from", type=int, default=0, dest="begin", help="the first of them")
    parser.add_argument("--seed", type=int, help="only this one, with its story")
    parser.add_argument("--log", action="store_true", help="tell the log within the story")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--plant", choices=sorted(PLANTS), help="plant this bug")
    parser.add_argument("--first", action="store_true", help="stop at the first that fails")
    return parser.parse_args()


def _all(asked: argparse.Namespace) -> Iterator[Ran]:
    work = [(seed, asked.plant) for seed in range(asked.begin, asked.begin + asked.seeds)]
    if asked.jobs == 1:
        with alone(for_good=True):
            yield from map(_one, work)
        return
    with multiprocessing.get_context("fork").Pool(asked.jobs, _settle_in) as pool:
        yield from pool.imap_unordered(_one, work, chunksize=4)


def _settle_in() -> None:
    """A process of its own is alone all its life."""
    global _company  # noqa: PLW0603 - as long as the process
    _company = alone(for_good=True)
    _company.__enter__()
    gc.freeze()  # what is there by now stays: no need to look it over again and again


_company: Any = None


def _one(work: tuple[int, str | None]) -> Ran:
    seed, plant = work
    outcome = play(seed, plant)
    if seed % FORGET_EVERY == 0:
        forget()
    error = outcome.error
    text = "" if error is None else f"{type(error).__name__}: {error}"
    return seed, text, outcome.counts, outcome.virtual_s, outcome.cpu_s


def _tell(outcome: Outcome) -> None:
    for line in outcome.story:
        _say(f"{line.at_s:16.3f} s  {line.who:12} {line.text}")
    if outcome.error is not None:
        _say("".join(traceback.format_exception(outcome.error)))
    _say(
        f"seed {outcome.seed}: {'broken' if outcome.error else 'well'}, {outcome.steps} steps,"
        f" {outcome.virtual_s:.0f} virtual seconds, healed within {outcome.healed_s:.0f} s"
    )


def _plant(asked: argparse.Namespace) -> str:
    return f" --plant {asked.plant}" if asked.plant else ""


def _pace(ran: int, began: float) -> int:
    return round(ran / (time.perf_counter() - began) * 60)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command prints


if __name__ == "__main__":
    sys.exit(main())

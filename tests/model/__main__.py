"""Prints every variant, its states, seconds of processor and result: `python -m tests.model`."""

import sys
import time

from tests.model.variants import DEEP_VARIANTS, SMALL_VARIANTS, Variant


def line(variant: Variant) -> str:
    """Search a variant; a line of the table."""
    began = time.process_time()
    found = variant.run()
    took = time.process_time() - began
    result = found.rule or "0 violations"
    return f"{variant.name:<44} | {found.states:>9,} | {took:>5.1f} | {result}"


def main() -> None:
    """Search everything."""
    sys.stdout.write(f"{'variant':<44} | {'states':>9} | {'s':>5} | result\n")
    for variant in (*SMALL_VARIANTS, *DEEP_VARIANTS):
        sys.stdout.write(f"{line(variant)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

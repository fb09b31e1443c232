"""`make sim`: many seeds on all cores, a table of the steps crashed at, and the seeds that failed."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from time import monotonic

from sim.run import Report, run_on_all_cores, say
from sim.steps import OF_DAMAGE, STEPS, named_in_source

SEEDS = 100_000
PROGRESS_S = 10.0


def main() -> int:
    parser = ArgumentParser(prog="make sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--stop", action="store_true", help="at the first seed that fails")
    options = parser.parse_args()
    total, begun, told = Report(), monotonic(), 0.0
    for report in run_on_all_cores(options.first, options.seeds, stop=options.stop):
        total.add(report)
        if monotonic() - told > PROGRESS_S or report.failed:
            told = monotonic()
            say(f"{total.seeds:>8,} seeds, {told - begun:6.1f} s, {len(total.failed)} failed")
    show(total)
    return bool(total.failed or set(total.steps) - set(STEPS))


def show(total: Report) -> None:
    width = max(map(len, STEPS))
    say(f"\n{'step':{width}} {'reached':>10} {'crashed at':>10}")
    for label in sorted({*STEPS, *total.steps}):
        known = "" if label in STEPS else "  unknown: add it to tests/sim/steps.py"
        say(f"{label:{width}} {total.steps[label]:10,} {total.crashes[label]:10,}{known}")
    for label in sorted(named_in_source() - {*STEPS, *OF_DAMAGE}):
        say(f"{label:{width}} is in the source and not in tests/sim/steps.py")
    say(f"\n{total.seeds:,} seeds, {total.operations:,} operations, {len(total.failed)} failed")
    for seed, story in sorted(total.failed.items()):
        say(f"\n{story}\nseed {seed} failed; again: make sim ARGS='--first {seed} --seeds 1'")


if __name__ == "__main__":
    sys.exit(main())

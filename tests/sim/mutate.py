"""`make mutants`: break a copy of the source, one rule at a time; the simulation must notice.

A mutant whose text is no longer in the source, or that nobody catches, fails the run: then a rule
has moved, or has no test.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple

from sim.mutants import MUTANTS, Mutant
from sim.run import say

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("actors", "gateway", "pipelining")
SEEDS: Final = 1_500  # after so many a mutant counts as alive
TIMEOUT_S: Final = 600
NOBODY: Final = "NOBODY"


class Verdict(NamedTuple):
    caught_by: str
    seed: str
    seconds: float


def main() -> int:
    parser = ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--only", default="", help="those whose name contains this")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options = parser.parse_args()
    alive = 0
    width = max(len(mutant.name) for mutant in MUTANTS)
    say(f"{'mutant':{width}}  caught by                {'seed':>6} {'s':>6}")
    for mutant in MUTANTS:
        if options.only in mutant.name:
            for verdict in judged(mutant, range(options.first, options.first + options.seeds)):
                alive += verdict.caught_by.startswith(NOBODY)
                line = f"{verdict.caught_by:24} {verdict.seed:>6} {verdict.seconds:6.1f}"
                say(f"{mutant.name:{width}}  {line}")
    say(f"{alive} of them were not caught")
    return alive > 0


def judged(mutant: Mutant, seeds: range) -> Iterator[Verdict]:
    """Break a copy of the source, and run what must notice."""
    with tempfile.TemporaryDirectory(prefix="raydo-mutant-") as folder:
        copy = Path(folder)
        if not broken_copy(mutant, copy):
            yield Verdict(f"{NOBODY}: no such text", "", 0)
            return
        if mutant.log_alone:
            yield _by_log_tests(copy)
        yield _by_simulation(copy, seeds)


def broken_copy(mutant: Mutant, copy: Path) -> bool:
    """Copy what the tests need, broken; tell whether the text was there once."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / "raydo" / name)
    for name in ("__init__.py", "py.typed", "testing.py"):
        shutil.copy(ROOT / name, copy / "raydo" / name)
    shutil.copytree(ROOT / "tests" / "sim", copy / "sim")
    shutil.copy(ROOT / "tests" / "test_log_crashes.py", copy)
    path = copy / "raydo" / mutant.file
    text = path.read_text()
    path.write_text(text.replace(mutant.old, mutant.new))
    return text.count(mutant.old) == 1


def _by_log_tests(copy: Path) -> Verdict:
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", "."]
    status, _, seconds = _run([*command, "-o", "addopts=", "test_log_crashes.py"], copy)
    return Verdict("test_log_crashes.py" if status == 1 else NOBODY, "", seconds)


def _by_simulation(copy: Path, seeds: range) -> Verdict:
    command = ["-m", "sim", "--seeds", str(len(seeds)), "--first", str(seeds.start), "--stop"]
    status, output, seconds = _run(command, copy)
    found = re.findall(r"^seed (\d+) failed", output, re.MULTILINE)
    if status == 1 and found:
        return Verdict("the simulation", found[0], seconds)
    if status:
        return Verdict(f"{NOBODY}: {output[-2_000:]}", "", seconds)
    return Verdict(NOBODY, "", seconds)


def _run(command: list[str], copy: Path) -> tuple[int, str, float]:
    begun = monotonic()
    done = subprocess.run(
        [sys.executable, *command],
        cwd=copy,
        env={"PYTHONPATH": str(copy), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return done.returncode, done.stdout, monotonic() - begun


if __name__ == "__main__":
    sys.exit(main())

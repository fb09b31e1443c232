"""A short run of the log's own simulation: crashes at every step, against a model."""

from __future__ import annotations

from collections import Counter

from sim.log_world import STEPS, LogWorld

SEEDS = 24 * len(STEPS)


def test_what_was_promised_survives_crashes_at_every_step_and_nothing_is_invented() -> None:
    crashes: Counter[str] = Counter()
    for seed in range(SEEDS):
        world = LogWorld(seed, STEPS[seed % len(STEPS)])
        world.run(operations=40)
        crashes += world.disk.crashes

    assert set(crashes) == set(STEPS)
    assert min(crashes.values()) >= 5, crashes

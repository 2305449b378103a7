"""Simulated runs of scheduled groups: never after the deadline, never twice, never forgotten.

Each run is drawn from its seed, and plays hours in milliseconds: see `plots`. A failure names its seed and tells the
story. By hand, more of them, or one again:

    SIMULATED_RUNS=5000 .venv/bin/python -m pytest -q tests/unit/simulation
    SIMULATED_SEED=4711 .venv/bin/python -m pytest -q tests/unit/simulation
"""

import os

import pytest

from tests.unit.simulation.runs import play

_RUNS = int(os.environ.get("SIMULATED_RUNS", "50"))
_ONE_SEED = os.environ.get("SIMULATED_SEED")
_BATCH = 10


def _batches() -> list[range]:
    if _ONE_SEED is not None:
        return [range(int(_ONE_SEED), int(_ONE_SEED) + 1)]
    return [range(first, min(first + _BATCH, _RUNS)) for first in range(0, _RUNS, _BATCH)]


@pytest.mark.parametrize("seeds", _batches(), ids=str)
def test_nobody_is_answered_late_or_twice_or_forgotten(seeds: range) -> None:
    for seed in seeds:
        played = play(seed)
        if played.problems:
            told = "\n".join([*played.story, *played.problems])
            pytest.fail(f"{told}\nSIMULATED_SEED={seed}", pytrace=False)

"""What is played, and in which order."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from clearance.sandbox.plan import Play, PlaySchema, Step, steps
from clearance.sandbox.record import Kind


def _play(**settings: object) -> Play:
    play = PlaySchema().load({"count": 100, **settings})
    assert isinstance(play, Play)
    return play


def _steps(play: Play) -> list[Step]:
    return list(steps(play, random.Random(play.seed)))


@given(
    count=st.integers(1, 400),
    seed=st.integers(),
    mix=st.fixed_dictionaries(
        {kind: st.floats(0, 0.24) for kind in ("duplicate", "bad_signature", "malformed", "expired")}
    ),
)
def test_the_counts_are_exact_and_slots_never_go_back(count: int, seed: int, mix: dict[str, float]) -> None:
    play = _play(count=count, seed=seed, mix=mix) if count > 3 else _play(count=count, seed=seed)
    planned = _steps(play)
    assert {kind: sum(step.kind is kind for step in planned) for kind in Kind} == play.count_by_kind
    assert [step.slot for step in planned] == sorted(step.slot for step in planned)
    assert all(0 <= number - step.slot <= 1 for number, step in enumerate(planned))


@pytest.mark.parametrize("seed", range(20))
def test_a_duplicate_always_follows_a_valid_notification(seed: int) -> None:
    planned = _steps(_play(count=10, seed=seed, mix={"duplicate": 0.4, "expired": 0.4}))
    assert planned[0].kind is Kind.VALID


def test_some_duplicates_leave_at_the_moment_of_their_original_and_some_later() -> None:
    planned = _steps(_play(count=1000, mix={"duplicate": 0.2}))
    twins = [number for number, step in enumerate(planned) if step.is_twin]
    assert 40 < len(twins) < 160
    for number in twins:
        assert planned[number - 1].kind is Kind.VALID
        assert planned[number - 1].slot == planned[number].slot


def test_the_same_seed_plans_the_same_and_another_seed_something_else() -> None:
    mix = {"duplicate": 0.2, "malformed": 0.2}
    assert _steps(_play(seed=3, mix=mix)) == _steps(_play(seed=3, mix=mix))
    assert _steps(_play(seed=3, mix=mix)) != _steps(_play(seed=4, mix=mix))


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"count": 0}, "count"),
        ({"count": 2_000_001}, "count"),
        ({"rate_per_s": 0}, "rate_per_s"),
        ({"rate_per_s": 5_001}, "rate_per_s"),
        ({"window_ms": 0}, "window_ms"),
        ({"mix": {"duplicate": 2}}, "mix"),
        ({"mix": {"late": 0.1}}, "mix"),
        ({"mix": {"malformed": 0.6, "expired": 0.6}}, "mix"),
        ({"mix": {"duplicate": 1}}, "mix"),
        ({"targets": []}, "targets"),
        ({"targets": ["http://example.com/hook"]}, "targets"),
        ({"speed": 3}, "speed"),
    ],
)
def test_a_play_that_makes_no_sense_is_refused_by_field(settings: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        _play(**settings)
    assert list(caught.value.messages_dict) == [field]

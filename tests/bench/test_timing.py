"""Taking turns, and what is made of the measurements."""

import numpy as np
import pytest
import torch

from lookright.bench import timing
from lookright.bench.timing import Spread, repeats, synchronize, take_turns, timed


def test_variants_take_turns_and_the_order_turns() -> None:
    calls: list[str] = []

    def variant(name: str) -> float:
        calls.append(name)
        return len(calls)

    measured = take_turns({name: lambda n=name: variant(n) for name in "abc"}, rounds=2, label="")
    assert "".join(calls) == "abc" + "bca" + "cab"
    assert measured == {"a": [6, 8], "b": [4, 9], "c": [5, 7]}, "the first round does not count"


def test_without_a_warm_up_every_round_counts() -> None:
    assert take_turns({"a": lambda: 3.0}, rounds=2, label="", warm_up=False) == {"a": [3.0, 3.0]}


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_spread_equals_numpys_quartiles(n: int) -> None:
    values = np.random.default_rng(n).random(n)
    np.testing.assert_allclose(Spread.of(values.tolist()), np.quantile(values, [0.25, 0.5, 0.75]))


class Clock:
    """A clock that only calls move on."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, 0

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.calls += 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timing, "perf_counter", lambda: clock.now)
    return clock


def test_timed_gives_seconds_per_call(clock: Clock) -> None:
    assert timed(lambda: clock.passes(0.5), repeat=3)() == 0.5
    assert clock.calls == 3


def test_repeats_makes_short_calls_long_enough(clock: Clock) -> None:
    assert repeats(lambda: clock.passes(0.25)) == 1
    assert repeats(lambda: clock.passes(0.03125)) == 10, "of 1, 2, 5, 10, ... the first that takes 0.2 s"


def test_a_cpu_has_nothing_to_wait_for() -> None:
    synchronize(torch.device("cpu"))

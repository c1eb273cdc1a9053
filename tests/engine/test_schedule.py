import numpy as np
import pytest
import torch

from lookright.engine.schedule import learning_rate


def rates(steps: int, **options: object) -> list[float]:
    return [learning_rate(step, steps, **({"peak": 0.1} | options)) for step in range(steps)]


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_cosine_is_that_of_torch(steps: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    theirs = []
    for _ in range(steps):
        theirs.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(rates(steps, warmup=0.0, cosine=True), theirs, atol=1e-12)


def test_warm_up_rises_in_equal_steps_to_the_peak_and_does_not_start_at_zero() -> None:
    np.testing.assert_allclose(rates(8, warmup=0.5, cosine=False), [0.025, 0.05, 0.075] + [0.1] * 5)


def test_after_the_warm_up_the_cosine_starts_at_the_peak() -> None:
    after = rates(10, warmup=0.2, cosine=True)[2:]
    np.testing.assert_allclose(after, rates(8, warmup=0.0, cosine=True))
    assert after[0] == 0.1


@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.5, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 3, 50])
def test_every_step_has_a_rate_above_zero_and_at_most_the_peak(
    steps: int, warmup: float, cosine: bool
) -> None:
    assert all(0 < rate <= 0.1 + 1e-12 for rate in rates(steps, warmup=warmup, cosine=cosine))

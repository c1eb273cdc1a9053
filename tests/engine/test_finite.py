"""A loss that is not finite is named with its epoch and images, at once or when the epoch is over."""

import pytest
import torch

from lookright.engine.finite import FiniteCheck, check_weights
from lookright.engine.supervised import Step
from lookright.errors import NonFiniteError
from lookright.types import Batch

NAN = float("nan")


def step(total: float, logit: float = 1.0, prediction: float = 1.0) -> tuple[torch.Tensor, Step]:
    loss = torch.tensor(total)
    return loss, Step(torch.tensor([[logit, 0.0]]), loss, torch.tensor(prediction), None, {})


def batch(name: str) -> Batch:
    return Batch(torch.zeros(1), torch.zeros(1), torch.zeros(1), torch.zeros(1), (name,))


BROKEN = [
    (step(NAN, logit=NAN, prediction=NAN), "the network's outputs are not finite"),
    (step(NAN, prediction=float("inf")), "the prediction loss is not finite"),
    (step(NAN), "the explanation loss is not finite"),
]


@pytest.mark.parametrize(
    ("broken", "cause"), BROKEN, ids=lambda value: value if isinstance(value, str) else ""
)
@pytest.mark.parametrize("at_once", [True, False])
def test_the_first_batch_that_breaks_is_named(at_once: bool, broken: tuple, cause: str) -> None:
    check = FiniteCheck(at_once=at_once)
    check.add(*step(1.0), batch("fine.png"), 3)
    told = rf"epoch 3: the loss is nan because {cause} \(batch with first\.png\); the run is kept"
    if at_once:
        with pytest.raises(NonFiniteError, match=told):
            check.add(*broken, batch("first.png"), 3)
    else:
        check.add(*broken, batch("first.png"), 3)
        check.add(*BROKEN[0][0], batch("second.png"), 3)
        with pytest.raises(NonFiniteError, match=told):
            check.end(3)
    check.end(4)  # all is forgotten


def test_weights() -> None:
    check_weights([torch.ones(2), torch.ones(3, 2)], 0)
    with pytest.raises(NonFiniteError, match="epoch 2: the weights are not finite after its last step"):
        check_weights([torch.ones(2), torch.tensor([1.0, NAN])], 2)

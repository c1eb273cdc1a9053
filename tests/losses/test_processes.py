"""Two processes give the loss and the gradients of one, whoever holds the annotated images."""

import os
from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lookright.engine.supervised import SupervisedModel
from lookright.engine.weighting import GradientRatio
from lookright.explainers import GradCAM
from lookright.losses import (
    GRADIA,
    HAICS,
    RES,
    Energy,
    Evidence,
    Objective,
    Outside,
    SoftIoU,
    Term,
    deep_imputer,
    shallow_imputer,
)
from lookright.losses.reduce import gather_cells, global_mean, global_sum
from lookright.types import Batch

METHODS: dict[str, Callable[[], list[Term]]] = {
    "baseline": list,
    "gradia": lambda: [Term(GRADIA(), 0.7)],
    "haics": lambda: [Term(HAICS())],
    "res-g": lambda: [Term(RES())],
    "res-g per image": lambda: [Term(RES(per_image=True))],
    "res-g beyond the slack": lambda: [Term(RES(slack=2.0))],
    "res-l s1": lambda: [Term(RES(shallow_imputer(4), regularizer=0.1))],
    "res-l s2": lambda: [Term(RES(shallow_imputer(4, sees_image=True)))],
    "res-l d1": lambda: [Term(RES(deep_imputer(4), stop_gradient=True, regularizer=0.5))],
    "energy": lambda: [Term(Energy())],
    "evidence": lambda: [Term(Evidence())],
    "evidence and overlap": lambda: [Term(Evidence(Outside.NEGATIVE)), Term(SoftIoU(), 0.5)],
    "by gradient ratio": lambda: [Term(RES(), balanced=True), Term(Energy(), 0.5, balanced=True)],
}
# Who holds how many of the 8 images; the annotated ones are 0, 1, 2 and 5.
SHARES = {"3 of them, 1 of them": (4, 4), "none on one side": (6, 2), "1 image, 7 images": (1, 7)}
IMAGES, CLASSES, SIZE = 8, 3, 16
Outcome = dict[str, Tensor]


def model(method: str) -> SupervisedModel:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 4, stride=4),
        nn.Tanh(),
        nn.Conv2d(6, 6, 3, padding=1),
        nn.GroupNorm(2, 6),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
        nn.Tanh(),
        nn.Linear(5, CLASSES),
    )
    # In double precision: where a map is clamped at its maximum (HAICS), rounding decides about the gradient.
    return SupervisedModel(network, GradCAM(network, network[2]), Objective(METHODS[method]())).double()


def batch(start: int, stop: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(IMAGES, 3, SIZE, SIZE, generator=generator).double()
    marks = torch.zeros(IMAGES, 1, SIZE, SIZE)
    marks[0, :, :8, :8], marks[0, :, 8:, 8:] = 1, -1
    marks[1, :, 4:12] = 1
    marks[2, :, 12:] = -1
    marks[5, :, :, :4], marks[5, :, :, 8:] = 1, -1
    annotated = torch.tensor([True, True, True, False, False, True, False, False])
    label = torch.arange(IMAGES) % CLASSES
    rows = slice(start, stop)
    return Batch(image[rows], label[rows], marks[rows], annotated[rows], tuple("abcdefgh"[rows]))


def outcome(module: nn.Module, own: SupervisedModel, part: Batch) -> Outcome:
    own.ratio = GradientRatio(own.objective, 1)  # the scale is measured on this step, and used in it
    step = module(part)
    step.total.backward()
    values = {"total": step.total.detach(), "cross-entropy": step.prediction_loss.detach()} | step.facts
    if step.explanation_loss is not None:
        values["explanation loss"] = step.explanation_loss.detach()
    values["scale"] = own.objective.scale.clone()
    return values | {f"gradient of {name}": p.grad for name, p in own.named_parameters()}


def work(rank: int, folder: str) -> None:
    """What each of the two processes does."""
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1"}
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    results: dict[tuple[str, str], Outcome] = {}
    for method in METHODS:
        for share, (first, _) in SHARES.items():
            own = model(method)
            part = batch(0, first) if rank == 0 else batch(first, IMAGES)
            results[method, share] = outcome(DistributedDataParallel(own), own, part)
    values = torch.arange(5.0)[2 * rank : 2 + 3 * rank].requires_grad_()
    total = global_sum(values.square().sum())
    (slope,) = torch.autograd.grad(total, values)
    mean = global_mean(values, torch.tensor([True, False, True])[: len(values)])
    nothing = global_mean(values, torch.zeros(len(values), dtype=torch.bool))
    reduced = {"sum": total.detach(), "slope": slope, "cells": gather_cells(values), "mean": mean.detach()}
    torch.save((results, reduced | {"nothing": nothing.detach()}), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[dict[tuple[str, str], Outcome], Outcome]]:
    folder = tmp_path_factory.mktemp("two processes")
    mp.spawn(work, args=(str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("method", METHODS)
def test_loss_and_gradients_are_those_of_one_process(
    method: str, share: str, two: list[tuple[dict[tuple[str, str], Outcome], Outcome]]
) -> None:
    alone = model(method)
    expected = outcome(alone, alone, batch(0, IMAGES))
    assert method == "baseline" or expected["explanation loss"] > 0
    for rank in (0, 1):
        ours = two[rank][0][method, share]
        assert ours.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(
                ours[name], value, rtol=0, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
            )


def test_reductions_by_hand(two: list[tuple[dict[tuple[str, str], Outcome], Outcome]]) -> None:
    """Rank 0 holds [0, 1], rank 1 [2, 3, 4]; a mean over the first and third of each."""
    for rank, values in enumerate([[0.0, 1.0], [2.0, 3.0, 4.0]]):
        reduced = two[rank][1]
        assert reduced["sum"] == 30
        assert reduced["slope"].tolist() == [2 * 2 * value for value in values], "2 x, times the processes"
        assert reduced["cells"].tolist() == [0, 1, 2, 3, 4]
        assert reduced["mean"] == (0 + 2 + 4) / 3
        assert reduced["nothing"] == 0

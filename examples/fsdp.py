"""Does an explanation loss go through FSDP2? Compares gradients with those of one process.

torchrun --nproc_per_node 2 examples/fsdp.py
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from lookright.engine.supervised import SupervisedModel
from lookright.explainers import GradCAM
from lookright.losses import RES, Objective, Term
from lookright.types import Batch


def model() -> SupervisedModel:
    """A small network under RES-G, the same in every process."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 4, stride=4),
        nn.Tanh(),
        nn.Conv2d(6, 6, 3, padding=1),
        nn.GroupNorm(2, 6),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 6),
        nn.Tanh(),
        nn.Linear(6, 4),
    )
    return SupervisedModel(network, GradCAM(network, network[2]), Objective([Term(RES())]))


def batch(start: int, stop: int) -> Batch:
    """A part of eight images, three of which are annotated."""
    image = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    marks = torch.zeros(8, 1, 16, 16)
    marks[0, :, :8, :8], marks[0, :, 8:, 8:] = 1, -1
    marks[1, :, 4:12] = 1
    marks[5, :, :, :4], marks[5, :, :, 8:] = 1, -1
    annotated = marks.flatten(1).any(dim=1)
    rows = slice(start, stop)
    label = torch.arange(8) % 4
    return Batch(image[rows], label[rows], marks[rows], annotated[rows], tuple("abcdefgh"[rows]))


def largest_difference(sharded: nn.Module, expected: dict[str, Tensor]) -> float:
    """Of a gradient, relative to the largest entry of the expected one."""
    worst = 0.0
    for name, parameter in sharded.named_parameters():
        gradient = parameter.grad.full_tensor()
        worst = max(worst, float((gradient - expected[name]).abs().max() / expected[name].abs().max()))
    return worst


alone = model()
alone(batch(0, 8)).total.backward()
expected = {name: parameter.grad for name, parameter in alone.named_parameters()}

dist.init_process_group("gloo")
mesh = init_device_mesh("cpu", (2,))
for by_layer in (False, True):
    for reshard in (True, False):
        sharded = model()
        if by_layer:
            for layer in sharded.network:
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    fully_shard(layer, mesh=mesh, reshard_after_forward=reshard)
        fully_shard(sharded, mesh=mesh, reshard_after_forward=reshard)
        try:
            sharded(batch(0, 3) if dist.get_rank() == 0 else batch(3, 8)).total.backward()
            found = f"largest relative difference of a gradient {largest_difference(sharded, expected):.1e}"
        except RuntimeError as error:
            found = f"RuntimeError: {error}"
        if dist.get_rank() == 0:
            how = "each layer a unit" if by_layer else "one unit"
            print(f"{how}, reshard_after_forward={reshard}: {found}")
        dist.barrier()
dist.destroy_process_group()

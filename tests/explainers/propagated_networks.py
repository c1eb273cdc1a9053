"""Networks that a pair of tensors is sent through, and what must be untouched afterwards."""

from collections.abc import Callable

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookright.models.small_cnn import SmallCNN


class Functional(nn.Module):
    """Residual sums in both forms, concatenation, chunks, functional and in-place calls; no nn.Sequential."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2)
        self.norm = nn.BatchNorm2d(4)
        self.left = nn.Conv2d(2, 2, 3, padding=1, groups=2)
        self.right = nn.Conv2d(2, 2, 1)
        self.scale = nn.Parameter(torch.randn(4, 1, 1))
        self.head = nn.Linear(4, 3)

    def forward(self, image: Tensor) -> Tensor:
        assert isinstance(image, Tensor)
        x = F.relu(self.norm(self.stem(image)), inplace=True)
        left, right = x.chunk(2, dim=1)
        y = torch.cat([self.left(left), self.right(right)], dim=1)
        y += x
        y = 0.5 * torch.relu(y) * self.scale - 0.1
        y = F.max_pool2d(y, 3, stride=2, padding=1) + F.avg_pool2d(F.pad(y, (0, 1, 0, 1)), 2, 2)[..., :, :]
        y = F.dropout(y - F.relu6(y + y), 0.5, self.training)
        return self.head(y.mean((2, 3)).view(image.shape[0], -1))


def chain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
        nn.Conv2d(4, 5, 3, padding=1, bias=False),
        nn.BatchNorm2d(5),
        nn.LeakyReLU(0.1),
        nn.AvgPool2d(2),
        nn.Dropout(0.5),
        nn.Conv2d(5, 5, 1),
        nn.MaxPool2d(2),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(20, 3),
    )


def resnet() -> nn.Module:
    network: nn.Module = timm.create_model("resnet10t", num_classes=3)
    return network


def smooth() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.Tanh(), nn.Conv2d(4, 4, 3), nn.Softplus(2.0), nn.Conv2d(4, 3, 3),
        nn.Sigmoid(), nn.Flatten(), nn.LazyLinear(3),
    )  # fmt: skip


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "small_cnn": lambda: SmallCNN(3, (4, 6, 8)),
    "chain": chain,
    "functional": Functional,
    "resnet": resnet,
}


def network_and_image(
    build: Callable[[], nn.Module], size: int = 16, dtype: torch.dtype = torch.float64
) -> tuple[nn.Module, Tensor, Tensor]:
    """A network with uneven weights and statistics, two images and a region of each."""
    torch.manual_seed(0)
    network = build().to(dtype)
    image = torch.randn(2, 3, size, size, dtype=dtype)
    network.eval()(image)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, std=0.5)
            nn.init.normal_(module.weight)
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 2)
    region = torch.zeros(2, 1, size, size, dtype=torch.bool)
    region[0, :, 2:8, 3:9] = True
    region[1, :, 10:, :5] = True
    return network, image, region


def state(network: nn.Module) -> list[object]:
    """What must be as before: modes, hooks, buffers, gradients, the functions that torch runs."""
    modules = list(network.modules())
    hooks = [
        value
        for module in modules
        for name, value in vars(module).items()
        if name.endswith("_hooks") and isinstance(value, dict) and value
    ]
    buffers = [buffer.clone().tolist() for buffer in network.buffers()]
    graph = [p.grad is None for p in network.parameters()]
    return [
        [m.training for m in modules],
        hooks,
        buffers,
        graph,
        torch._C._len_torch_function_stack(),
        torch.is_grad_enabled(),
        torch.is_autocast_enabled("cpu"),
    ]


def slope_of(value: Callable[[], Tensor], weight: Tensor, step: float = 1e-6) -> tuple[Tensor, Tensor]:
    """Derivatives of a scalar by one entry of a weight: autograd's, and a central difference."""
    (gradient,) = torch.autograd.grad(value(), weight)
    entry = tuple(int(i) for i in torch.unravel_index(gradient.abs().argmax(), weight.shape))
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[entry] += sign * step
        values.append(value().detach())
        with torch.no_grad():
            weight[entry] -= sign * step
    return gradient[entry], (values[0] - values[1]) / (2 * step)

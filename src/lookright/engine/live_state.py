"""The state of a network that learns, without reading again what is frozen."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


class LiveState:
    """The state of a network after each epoch, as `state_dict` gives it.

    Reading all modules of a network takes as long as a training step on cached features. Only those are read
    that can change: they hold a weight that learns, or buffers while they are in train mode. Which ones these
    are is found when the state is first read.

    Args:
        network: what learns of it is decided

    Example:
        >>> network = nn.Sequential(nn.BatchNorm2d(3).requires_grad_(False).eval(), nn.Linear(2, 2))
        >>> state = LiveState(network)
        >>> state.read().keys() == network.state_dict().keys()
        True
        >>> kept = state.read(copied=True)
        >>> _ = nn.init.zeros_(network[1].bias)
        >>> bool(kept["1.bias"].any()), bool(state.read()["1.bias"].any())
        (True, False)
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self._whole: Mapping[str, Tensor] | None = None
        self._changing: list[tuple[str, nn.Module]] = []
        self._frozen: set[str] = set()

    def read(self, *, copied: bool = False) -> dict[str, Tensor]:
        """Give the state as it is now.

        Args:
            copied: give copies of what training changes; else the tensors are those of the network
        """
        if self._whole is None:
            self._whole = self.network.state_dict()
            self._changing = [(n, m) for n, m in self.network.named_modules() if _can_change(m)]
            named = self.network.named_parameters(remove_duplicate=False)
            self._frozen = {name for name, weight in named if not weight.requires_grad}
        state = dict(self._whole)
        for prefix, module in self._changing:
            found: dict[str, Tensor] = module.state_dict(prefix=f"{prefix}." if prefix else "")
            for name, tensor in found.items():
                state[name] = tensor.clone() if copied and name not in self._frozen else tensor
        return state


def _can_change(module: nn.Module) -> bool:
    learns = any(weight.requires_grad for weight in module.parameters(recurse=False))
    return learns or (module.training and any(True for _ in module.buffers(recurse=False)))

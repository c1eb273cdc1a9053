"""Photos of noise, of which one class has a stamp in a corner, and networks that look at it or elsewhere."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

SIDE = 64
STAMP = 12
CELLS = 8


def write_photos(folder: Path, *, per_class: int = 20, masks: bool = False, seed: int = 0) -> Path:
    """Classes `plain` and `stamped`; an object in the middle of each, marked if there are masks."""
    generator = np.random.default_rng(seed)
    for name in ("plain", "stamped"):
        for kind in ("images", "masks") if masks else ("images",):
            (folder / kind / name).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            photo = generator.integers(20, 120, (SIDE, SIDE, 3), dtype=np.uint8)
            middle = slice(24, 40), slice(24, 40)
            photo[middle] += generator.integers(40, 90, dtype=np.uint8)
            if name == "stamped":
                photo[:STAMP, :STAMP] = 255
            Image.fromarray(photo).save(folder / "images" / name / f"{name}{number:02d}.png")
            if masks:
                mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
                mask[middle] = 255
                Image.fromarray(mask).save(folder / "masks" / name / f"{name}{number:02d}.png")
    return folder


class Cells(nn.Conv2d):
    """Brightness and darkness of the cells of a part of the image; the others are 0."""

    where: Tensor

    def forward(self, image: Tensor) -> Tensor:
        return (super().forward(image) * self.where).relu()


class Looking(nn.Module):
    """Decides by how bright a part of the image is: class 1 is bright there."""

    def __init__(self, where: Tensor, at: float) -> None:
        super().__init__()
        self.cells = Cells(3, 2, SIDE // CELLS, stride=SIDE // CELLS, bias=False)
        self.head = nn.Linear(2, 2)
        self.cells.register_buffer("where", where)
        with torch.no_grad():
            self.cells.weight.fill_(1 / self.cells.weight[0].numel())
            self.cells.weight[0].neg_()
            self.head.weight.copy_(torch.tensor([[30.0, -30.0], [-30.0, 30.0]]))
            level = at * float(where.mean())
            self.head.bias.copy_(torch.tensor([60.0, -60.0]) * level)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.cells(image).mean(dim=(2, 3)))


def looks_at_corner(num_classes: int) -> nn.Module:
    """The backbone `corner_photos:looks_at_corner`."""
    where = torch.zeros(1, 1, CELLS, CELLS)
    where[..., :2, :2] = 1
    return Looking(where, at=0.0)


def looks_nowhere(num_classes: int) -> nn.Module:
    """The backbone `corner_photos:looks_nowhere`: its maps are empty."""
    return Looking(torch.zeros(1, 1, CELLS, CELLS), at=0.0)


def looks_at_middle(num_classes: int) -> nn.Module:
    """The backbone `corner_photos:looks_at_middle`: it cannot tell the classes apart."""
    where = torch.zeros(1, 1, CELLS, CELLS)
    where[..., 3:5, 3:5] = 1
    return Looking(where, at=0.0)


def attends(num_classes: int) -> nn.Module:
    """The backbone `corner_photos:attends`: a transformer that has learnt nothing."""
    return VisionTransformer(SIDE, CELLS, num_classes=num_classes, embed_dim=16, depth=2, num_heads=2)

"""What the benchmark measures, and how often."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lookright.bench.steps import StepPrecision, Subject, make_subject

MILLION = 10**6


@dataclass(frozen=True)
class Settings:
    """What to measure, and how often. Those of a session on a CPU."""

    backbones: tuple[str, ...] = ("resnet18", "resnet50", "tf_efficientnet_lite0")
    batch_sizes: tuple[int, ...] = (16,)
    """of the steps; other measurements take the first"""
    precision: StepPrecision = "32"
    """of training; maps and evaluation are float32"""
    image_size: int = 224
    rounds: int = 7
    few_rounds: int = 3
    """of what takes long: steps that cost several plain ones, and whole training runs"""
    memory_rounds: int = 2
    """fewer still, since memory hardly varies"""
    images: int = 32
    """of evaluation and of data loading"""
    map_images: int = 64
    input_gradient_methods: tuple[str, ...] = ("rrr",)
    """the others take as many operations"""
    compiled_backbones: tuple[str, ...] = ("resnet18", "tf_efficientnet_lite0")
    """compiling takes a minute or more each"""
    correction_backbone: str = "tf_efficientnet_lite0"
    correction_images: int = 100
    correction_batch_size: int = 20
    correction_epochs: int = 100
    corrected_epochs: int = 15
    """of the correction that the page starts"""
    since_marked: float = 15.0
    """seconds between a mark, which starts the process that waits for a correction, and the button"""
    served_photos: int = 10_000
    """of the folder that the page is started on"""
    many_seeds: int = 10
    """of each method of a comparison"""
    whole_epochs: int = 3
    """of the whole network, to compare an epoch with; the first one does not count"""
    product_size: int = 2048
    """of the matrices whose product gives the machine's rate"""
    cells: tuple[int, ...] = (10**2, 10**3, 10**4, 10**5, MILLION)
    loop_cells: tuple[int, ...] = (10**2, 10**3)
    """for which the loop over candidates ends within patience"""
    trial: bool = False
    """whether the figures say nothing"""

    def subject(self, backbone: str, device: torch.device, batch_size: int, method: str = "res-g") -> Subject:
        """Make what the steps of one network learn; see `lookright.bench.steps.make_subject`."""
        return make_subject(
            backbone,
            batch_size=batch_size,
            image_size=self.image_size,
            device=device,
            precision=self.precision,
            method=method,
        )


QUICK = Settings(
    backbones=("small_cnn",),
    batch_sizes=(4,),
    image_size=32,
    rounds=1,
    few_rounds=1,
    memory_rounds=1,
    images=8,
    map_images=8,
    input_gradient_methods=("rrr",),
    compiled_backbones=(),
    correction_backbone="small_cnn",
    correction_images=8,
    correction_batch_size=4,
    correction_epochs=2,
    corrected_epochs=1,
    since_marked=0.0,
    served_photos=100,
    many_seeds=2,
    whole_epochs=2,
    product_size=64,
    cells=(10**2, 10**3),
    loop_cells=(10**2,),
    trial=True,
)
"""To see that everything runs."""

ON_GPU = Settings(
    backbones=("resnet50", "vit_small_patch16_224"),
    batch_sizes=(64, 256, 512),
    precision="bf16",
    compiled_backbones=("resnet50", "vit_small_patch16_224"),
    images=512,
    map_images=1024,
    product_size=8192,
)
"""Where the device is a GPU and nothing else is asked for."""

"""Label Studio's brush masks, written from the description of their format."""

from itertools import pairwise

import numpy as np


def encode(values: list[int], sizes: tuple[int, ...], cuts: list[int], repeat: bool = True) -> list[int]:
    """Blocks between the cuts, as text of bits: shorter ones where the sizes are too small for them."""
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    longest = 1 << max(sizes)
    bounds = sorted({0, len(values), *cuts})
    for begin, end in pairwise(bounds):
        for start in range(begin, end, longest):
            block = values[start : min(start + longest, end)]
            choice = next(i for i, size in enumerate(sizes) if len(block) <= 1 << size)
            length = f"{len(block) - 1:0{sizes[choice]}b}"
            alike = repeat and len(set(block)) == 1
            content = block[:1] if alike else block
            bits += f"{int(alike)}{choice:02b}{length}" + "".join(f"{value:08b}" for value in content)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


def rgba(alpha: np.ndarray) -> list[int]:
    """Pixels whose colour says nothing."""
    pixels = np.full((*alpha.shape, 4), 77, dtype=np.uint8)
    pixels[..., 3] = alpha
    return pixels.ravel().tolist()

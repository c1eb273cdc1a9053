"""The decoy digits: a small data set whose classes can be told by a shortcut."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookright.errors import ConfigError, DataError
from lookright.files import replacing_folder

CLASSES = 10
SIDE = 32
DIGIT_SIDE = 24
BACKGROUND = 32
MARKER = "decoy_digits.json"
"""In every folder written here: what it was made with, and that it may be written again."""

_STEP = 20  # grey levels from one class to the next
_INK = 4.0  # of 16: where a stroke begins, once a digit is enlarged


@dataclass(frozen=True)
class Decoy:
    """How strong the shortcut is.

    Attributes:
        patch: side of the corner patch in pixels, of 32; from 5 on it may touch the digit's square
        contrast: brightness of the digit's strokes, in (0, 1]: the fainter, the more tempting the patch
        noise: standard deviation of the grey noise added to digit and background, in grey levels of 255
    """

    patch: int = 4
    contrast: float = 1.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.patch <= SIDE // 2:
            raise ConfigError(f"patch: got {self.patch}; give 1 to {SIDE // 2} pixels")
        if not 0 < self.contrast <= 1:
            raise ConfigError(f"contrast: got {self.contrast}; give a number above 0, at most 1")
        if not 0 <= self.noise <= 255:
            raise ConfigError(f"noise: got {self.noise}; give 0 to 255 grey levels")


def write_decoy_digits(
    out: Path,
    *,
    per_class_train: int = 60,
    per_class_val: int = 20,
    per_class_test: int = 40,
    seed: int = 0,
    decoy: Decoy | None = None,
) -> Path:
    """Write scikit-learn's handwritten digits as a decoy problem, in the layout that lookright reads.

    After Ross, Hughes and Doshi-Velez, "Right for the Right Reasons" (IJCAI 2017). Each digit, enlarged to
    24 x 24, lies in the middle of a grey canvas of 32 x 32 with a patch in a random corner. The patch has
    the grey level 255 - 20 * class in the splits train, val and test_decoy; in test it is that of a class
    drawn at random. test_decoy holds the digits of test. The strokes of the digit are the positive marks,
    the patch the negative one. The column `group` of split.csv is 'aligned' where the patch tells the true
    class, else 'conflicting'.

    Args:
        out: folder to write; it must not exist, be empty, or have been written by this function
        per_class_train: images per class
        per_class_val: likewise
        per_class_test: likewise, in test and again in test_decoy
        seed: which digits go where, the corners, and the random levels
        decoy: strength of the shortcut

    Returns:
        `out`

    Raises:
        ConfigError: more digits asked for than there are.
        DataError: `out` is something else, or cannot be written. What was there is left as it was.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     data = write_decoy_digits(
        ...         Path(folder, "digits"), per_class_train=2, per_class_val=1, per_class_test=1
        ...     )
        ...     len(list(data.glob("images/*/*.png")))
        50
    """
    from sklearn.datasets import load_digits  # scikit-learn takes a second to load

    decoy = decoy or Decoy()
    counts = {"train": per_class_train, "val": per_class_val, "test": per_class_test}
    digits = load_digits()
    available = int(np.bincount(digits.target).min())
    if min(counts.values()) < 1 or sum(counts.values()) > available:
        raise ConfigError(
            f"per_class_train, per_class_val, per_class_test: got {per_class_train}, {per_class_val} and "
            f"{per_class_test}; give at least 1 each, at most {available} together"
        )
    made_with = {"seed": seed, **counts, **asdict(decoy)}
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or (out / MARKER).is_file())):
        raise DataError(f"{out}: exists and holds something else; name a folder that does not exist yet")

    with replacing_folder(out) as unfinished:
        with (unfinished / "split.csv").open("w", encoding="utf-8", newline="\n") as table:
            table.write("file,class,split,group\n")
            _write_images(unfinished, table, digits.images, digits.target, counts, decoy, seed)
        (unfinished / MARKER).write_text(json.dumps(made_with, indent=2) + "\n", encoding="utf-8")
    return out


def _write_images(
    folder: Path,
    table: TextIO,
    images: NDArray[np.float64],
    labels: NDArray[np.int64],
    counts: dict[str, int],
    decoy: Decoy,
    seed: int,
) -> None:
    generator = np.random.default_rng(seed)
    for kind in ("images", "masks", "negatives"):
        for label in range(CLASSES):
            (folder / kind / str(label)).mkdir(parents=True)
    for label in range(CLASSES):
        order = iter(generator.permutation(np.flatnonzero(labels == label)))
        for split, count in counts.items():
            for _ in range(count):
                index = int(next(order))
                splits = ("test", "test_decoy") if split == "test" else (split,)
                for name in splits:
                    told = int(generator.integers(CLASSES)) if name == "test" else label
                    file = f"{label}/{index:04d}{'_decoy' if name == 'test_decoy' else ''}.png"
                    image, digit, patch = _draw(images[index], told, decoy, generator)
                    Image.fromarray(image).save(folder / "images" / file)
                    Image.fromarray(digit).save(folder / "masks" / file)
                    Image.fromarray(patch).save(folder / "negatives" / file)
                    group = "aligned" if told == label else "conflicting"
                    table.write(f"images/{file},{label},{name},{group}\n")


def _draw(
    digit: NDArray[np.float64], told: int, decoy: Decoy, generator: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]:
    """Image (32, 32), its digit and its patch. `digit` is (8, 8) in [0, 16]."""
    enlarged = Image.fromarray(digit.astype(np.float32)).resize((DIGIT_SIDE,) * 2, Image.Resampling.BICUBIC)
    margin = (SIDE - DIGIT_SIDE) // 2
    ink = np.zeros((SIDE, SIDE), dtype=np.float32)
    ink[margin:-margin, margin:-margin] = np.asarray(enlarged).clip(0, 16)
    grey = BACKGROUND + decoy.contrast * (255 - BACKGROUND) * ink / 16
    grey += generator.normal(0, decoy.noise, grey.shape) if decoy.noise else 0

    patch = np.zeros((SIDE, SIDE), dtype=bool)
    at_bottom, at_right = generator.integers(2, size=2)
    rows = slice(-decoy.patch, None) if at_bottom else slice(decoy.patch)
    columns = slice(-decoy.patch, None) if at_right else slice(decoy.patch)
    patch[rows, columns] = True
    grey[patch] = 255 - _STEP * told
    return grey.round().clip(0, 255).astype(np.uint8), (ink >= _INK) & ~patch, patch

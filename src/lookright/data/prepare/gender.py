"""Photos of COCO whose captions name only a man or only a woman, with the person's segmentation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tqdm.auto import tqdm

from lookright.data.prepare.captions import CLASSES
from lookright.data.prepare.download import Archive, fetch, unzip
from lookright.data.prepare.output import Prepared, check_out, made_with, writing
from lookright.data.prepare.people import MISSING, PARTS, Candidate, Candidates, read_part
from lookright.data.splits import TEST_SHARE, VAL_SHARE, shuffle_key
from lookright.errors import ConfigError, DataError
from lookright.prepare_config import GenderConfig

ARCHIVES = {
    "2014": Archive(
        "http://images.cocodataset.org/annotations/annotations_trainval2014.zip",
        252_872_794,
        "0a379cfc70b0e71301e0f377548639bd",
    ),
    "2017": Archive(
        "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
        252_907_541,
        "f4bbac642086de4f52a3fdda2de5fa2c",
    ),
}
"""No checksum is known to be COCO's own. These stand alike in the loaders of many projects (PaddlePaddle's,
MLPerf's, torchvision's for R), which also tell the sizes that the server gives."""

_PHOTOS_URL = "http://images.cocodataset.org/zips/"
_KINDS = ("captions", "instances")
_FEWEST = 4
"""photos of a class, so that each split gets one"""


def prepare_gender(config: GenderConfig) -> Prepared:
    """Choose photos of COCO by their captions; the segmentation of the people is the positive annotation.

    The gender task of GRADIA and RES (Gao et al., CSCW and KDD 2022), rebuilt from Lin et al., "Microsoft
    COCO" (ECCV 2014) as the field does it (`class_named`). Theirs was filtered further, so these are other
    photos. Left out are photos with a crowd, with more than `people` persons or none, and those where they
    cover less than `area`.

    Classes are equally large in each split. COCO's validation photos never train: test is drawn from them,
    train and val (3 to 1) from COCO's training photos. If there are photos of one part alone, the splits are
    60/20/20 of it. The draw depends on the seed and the file names. The column `source` of split.csv is the
    part and the file.

    The labels are what annotators thought they saw. They are here for research on contextual bias; nothing
    trained on them is for use on people.

    Raises:
        ConfigError: a folder was not named, an option is out of its range, or `out` is in use.
        DataError: a file is missing or damaged, no photo is there, too few fit, or there is no network.
    """
    source, images = _folders(config)
    _check(config)
    check_out(config)
    found = _read(config, source, images)
    splits = _draw(config, source, found)
    with writing(config) as writer:
        for photo in tqdm(found.photos, "photos", unit="image", disable=None):
            if photo.id not in splits:
                continue
            writer.add(
                photo.path,
                photo.path.name,
                class_name=photo.class_name,
                split=splits[photo.id],
                positive=photo.people.sides()[0],
                origin={"source": photo.id},
            )
        parts = sorted({photo.part for photo in found.photos})
        if len(parts) == 1:
            writer.remark(f"all splits are made of {parts[0]}{config.year}, COCO's other part is not there")
        for sentence in found.told():
            writer.remark(sentence)
        if spare := len(found.photos) - len(splits):
            writer.remark(f"{spare} photos fit and were not drawn, for classes of equal size")
        return writer.finish(made_with("gender", config))


def _folders(config: GenderConfig) -> tuple[Path, Path]:
    if config.source is None:
        raise ConfigError(
            f"from: missing; give the folder of COCO's json files, unpacked from {ARCHIVES[config.year].url} "
            "(with --download it may be empty)"
        )
    if config.images is None:
        raise ConfigError(f"images: missing; give the folder of COCO's photos, unpacked from {_urls(config)}")
    return config.source, config.images


def _urls(config: GenderConfig) -> str:
    return " and ".join(f"{_PHOTOS_URL}{part}{config.year}.zip" for part in PARTS)


def _check(config: GenderConfig) -> None:
    for name, least in (("captions", 1), ("people", 1), ("per_class", _FEWEST)):
        value = getattr(config, name)
        if value is not None and value < least:
            raise ConfigError(f"{name}: got {value}, need {least} or more")
    if not 0 <= config.area < 1:
        raise ConfigError(f"area: got {config.area}, need a share of the photo, 0 or more and below 1")


def _read(config: GenderConfig, source: Path, images: Path) -> Candidates:
    archive = ARCHIVES[config.year]
    names = [f"{kind}_{part}{config.year}.json" for part in PARTS for kind in _KINDS]
    if config.download and not all(_find(source, name) for name in names):
        unzip(fetch(archive, source), names, source / "annotations")
    if not any(_find(source, name) for name in names):
        raise DataError(
            f"{source}: holds none of {', '.join(names)}; unpack {archive.about} there, or add --download"
        )
    found = Candidates()
    for part in PARTS:
        files = [_find(source, f"{kind}_{part}{config.year}.json") for kind in _KINDS]
        captions, instances = files
        if captions is not None and instances is not None:
            read_part(config, part, (captions, instances), images, found)
        elif captions is not None or instances is not None:
            missing = _KINDS[files.index(None)]
            raise DataError(
                f"{source}: has no {missing}_{part}{config.year}.json beside {captions or instances}; unpack "
                f"it from {archive.url} too"
            )
    if not found.photos and found.left_out[MISSING]:
        raise DataError(
            f"images: {images} has none of the {found.left_out[MISSING]} photos that fit, such as "
            f"{found.example[MISSING]}; unpack {_urls(config)} there"
        )
    return found


def _find(source: Path, name: str) -> Path | None:
    places = (source / name, source / "annotations" / name)
    return next((place for place in places if place.is_file()), None)


def _draw(config: GenderConfig, source: Path, found: Candidates) -> dict[str, str]:
    """Id -> split, equally many of each class."""
    counts = Counter((photo.part, photo.class_name) for photo in found.photos)
    parts = [part for part in PARTS if any(counts[part, name] for name in CLASSES)] or [PARTS[0]]
    rarest = {part: min(counts[part, name] for name in CLASSES) for part in parts}
    of_train, of_test = parts[0], parts[-1]
    total = config.per_class or (rarest[of_train] if of_train == of_test else None)
    test = rarest[of_test] if total is None else round(TEST_SHARE * total)
    rest = rarest[of_train] if total is None else total - test
    val = round(rest * VAL_SHARE / (1 - TEST_SHARE))
    sizes = {"test": test, "val": val, "train": rest - val}
    needed = Counter({of_test: test})
    needed[of_train] += rest
    there = ", ".join(
        f"{counts[part, name]} {name} in {part}{config.year}" for part in parts for name in CLASSES
    )
    if config.per_class and any(needed[part] > rarest[part] for part in parts):
        takes = " and ".join(f"{needed[part]} of each class in {part}{config.year}" for part in parts)
        raise ConfigError(f"per_class: got {config.per_class}, which takes {takes}; there are {there}")
    if min(sizes.values()) < 1:
        reasons = "; ".join(found.told()) or "captions name nobody else"
        raise DataError(f"{source}: too few photos fit ({there}); {reasons}")
    splits: dict[str, str] = {}
    for name in CLASSES:
        waiting = {part: iter(_ordered(config, found.photos, part, name)) for part in parts}
        for split, size in sizes.items():
            part = of_test if split == "test" else of_train
            splits |= {next(waiting[part]): split for _ in range(size)}
    return splits


def _ordered(config: GenderConfig, photos: Sequence[Candidate], part: str, class_name: str) -> list[str]:
    ids = [photo.id for photo in photos if (photo.part, photo.class_name) == (part, class_name)]
    return sorted(ids, key=lambda id_: shuffle_key(config.seed, id_))

"""Photos of COCO by their captions: which are taken, with what mask, in which split."""

import io
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archive_server import serving
from coco_files import HEIGHT, MAN, WIDTH, WOMAN, Coco, rectangle, runs
from prepared_sets import all_bytes, pixels, rows_of
from pycocotools import mask as coco_mask

from lookright.config import DataConfig
from lookright.data import read_annotations
from lookright.data.prepare import gender, prepare_gender
from lookright.data.prepare.captions import class_named
from lookright.errors import ConfigError, DataError
from lookright.prepare_config import GenderConfig


def options(coco: Coco, **changes: Any) -> GenderConfig:
    given = {"source": coco.write(), "images": coco.root / "photos", "out": coco.root / "out"}
    return GenderConfig(**given | {"year": coco.year} | changes)  # type: ignore[arg-type]  # of a mix


@pytest.fixture
def coco(tmp_path: Path) -> Coco:
    return Coco(tmp_path).many(5)


def names_of(config: GenderConfig) -> set[str]:
    return {Path(row["file"]).name for row in rows_of(prepare_gender(config).folder)}


@pytest.mark.parametrize(
    ("captions", "named"),
    [
        (["A man."], "man"),
        (["Two women, one hat."], "woman"),
        (["WOMEN at work"], "woman"),
        (["a person", "nobody", "the boys' room"], "man"),
        (["A man.", "A woman."], None),
        (["A man and his wife."], None),
        (["A man.", "She runs."], None),
        (["A lady.", "Someone with his dog."], None),
        (["A person with her dog."], None),  # a pronoun alone names nobody
        (["A human in Germany, a manly hat, a mango."], None),  # whole words
        ([], None),
    ],
)
def test_whom_captions_name(captions: list[str], named: str | None) -> None:
    assert class_named(captions) == named


def test_how_many_captions_have_to_name_it() -> None:
    captions = ["A man.", "A guy, a man.", "A surfer."]
    assert [class_named(captions, at_least) for at_least in (1, 2, 3)] == ["man", "man", None]


@pytest.mark.parametrize("year", ["2014", "2017"])
def test_masks_classes_and_what_a_reader_makes_of_it(tmp_path: Path, year: str) -> None:
    coco = Coco(tmp_path, year=year).many(5)
    prepared = prepare_gender(options(coco))
    assert prepared.images == prepared.annotated == 10
    found = read_annotations(DataConfig(data=prepared.folder))
    assert not found.problems
    assert found.classes == ("man", "woman")
    expected = np.zeros((HEIGHT, WIDTH))
    expected[2:10, 4:12] = 1  # the person, and not the dog
    assert all((item.marks.render() == expected).all() for item in found.items)
    row = next(row for row in rows_of(prepared.folder) if row["class"] == "woman")
    assert row["source"] == f"train{year}/{Path(row['file']).name}"
    photo = tmp_path / "photos" / row["source"]
    assert (prepared.folder / row["file"]).read_bytes() == photo.read_bytes()


def test_json_files_and_photos_may_lie_flat(coco: Coco) -> None:
    assert names_of(options(coco)) == names_of(
        options(
            coco,
            source=coco.write("flat"),
            images=coco.root / "photos" / "train2014",
            out=coco.root / "other",
        )
    )


def test_run_lengths_and_several_people(coco: Coco) -> None:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[3:9, 2:7] = mask[12, 10] = 1
    packed = coco_mask.encode(np.asfortranarray(mask))
    several = [runs(mask), rectangle(10, 2, 14, 6)]
    names = [
        coco.add(101, MAN, [runs(mask)]),
        coco.add(102, WOMAN, [{"size": packed["size"], "counts": packed["counts"].decode()}]),
        coco.add(103, MAN, several),
        coco.add(104, WOMAN, several),
    ]
    folder = prepare_gender(options(coco, people=2)).folder
    files = {Path(row["file"]).name: row for row in rows_of(folder)}
    both = mask.copy()
    both[2:6, 10:14] = 1
    for name, expected in zip(names, (mask, mask, both, both), strict=True):
        drawn = pixels(folder / "masks" / files[name]["class"] / f"{Path(name).stem}.png")
        assert (drawn == expected).all()
    assert not names_of(options(coco, out=coco.root / "other")) & set(names[2:])  # one person by default


def _damaged(part: Coco) -> str:
    mirrored = {"size": [WIDTH, HEIGHT], "counts": [WIDTH * HEIGHT]}
    return part.add(90, MAN, [mirrored])


def _unreadable(part: Coco) -> str:
    name = part.add(90, MAN)
    (part.root / "photos" / "train2014" / name).write_bytes(b"no photo")
    return name


LEFT_OUT: dict[str, tuple[Callable[[Coco], str], str | None]] = {
    "both": (lambda part: part.add(90, ["A man.", "A woman."]), None),
    "neither": (lambda part: part.add(90, ["A dog."]), None),
    "no captions": (lambda part: part.add(90, []), None),
    "nobody": (lambda part: part.add(90, MAN, []), "nobody is segmented"),
    "crowd": (lambda part: part.add(90, MAN, iscrowd=1), "a crowd is segmented as one"),
    "two": (lambda part: part.add(90, MAN, [rectangle(0, 0, 9, 9)] * 2), "more people than 1"),
    "box alone": (
        lambda part: part.add(90, MAN, [[]], bbox=[0, 0, 9, 9]),
        "a person without segmentation",
    ),
    "small": (lambda part: part.add(90, MAN, [rectangle(0, 0, 2, 2)]), "people cover less than 0.02 of it"),
    "mirrored run lengths": (_damaged, "a damaged segmentation"),
    "two corners": (lambda part: part.add(90, MAN, [[[1, 1, 5, 5]]]), "a damaged segmentation"),
    "no photo": (lambda part: part.add(90, MAN, photo=False), "not in the folder of --images"),
    "mirrored photo": (
        lambda part: part.add(90, MAN, size=(HEIGHT, WIDTH)),
        "the photo has another size than COCO says",
    ),
    "unreadable photo": (_unreadable, "the photo cannot be read"),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_left_out(case: str, coco: Coco) -> None:
    add, reason = LEFT_OUT[case]
    name = add(coco)
    coco.add(92, WOMAN)  # or it could be left out for there being more men
    prepared = prepare_gender(options(coco))
    assert name not in {Path(row["file"]).name for row in rows_of(prepared.folder)}
    told = [remark for remark in prepared.remarks if remark.startswith("1 photos left out")]
    expected = [] if reason is None else [f"1 photos left out: {reason}, for instance {name}"]
    assert told == expected


def test_validation_photos_of_coco_never_train(coco: Coco) -> None:
    val = Coco(coco.root, "val").many(3, start=500)
    val.add(600, WOMAN)
    val.write()
    prepared = prepare_gender(options(coco))
    rows = rows_of(prepared.folder)
    assert Counter((row["split"], row["class"], row["source"].split("/")[0]) for row in rows) == {
        ("train", "man", "train2014"): 4,
        ("train", "woman", "train2014"): 4,
        ("val", "man", "train2014"): 1,
        ("val", "woman", "train2014"): 1,
        ("test", "man", "val2014"): 3,
        ("test", "woman", "val2014"): 3,
    }
    assert prepared.remarks == ("1 photos fit and were not drawn, for classes of equal size",)
    chosen = prepare_gender(options(coco, per_class=5, out=coco.root / "five"))
    assert {split: sum(groups.values()) for split, groups in chosen.groups.items()} == {
        "train": 6,
        "val": 2,
        "test": 2,
    }


def test_one_part_alone_is_shared_out(tmp_path: Path) -> None:
    val = Coco(tmp_path, "val", "2017").many(10)
    val.add(99, MAN)
    prepared = prepare_gender(options(val))
    counts = Counter((row["split"], row["class"]) for row in rows_of(prepared.folder))
    assert counts == {
        (split, name): n for split, n in (("train", 6), ("val", 2), ("test", 2)) for name in ("man", "woman")
    }
    assert "all splits are made of val2017, COCO's other part is not there" in prepared.remarks


def test_the_seed_draws(tmp_path: Path) -> None:
    coco = Coco(tmp_path).many(12)
    made = [
        prepare_gender(options(coco, per_class=5, seed=seed, out=tmp_path / f"out{number}"))
        for number, seed in enumerate((0, 0, 1))
    ]
    first, again, other = (all_bytes(prepared.folder) for prepared in made)
    assert first == again
    assert first.keys() != other.keys()


def test_options_of_the_choice(coco: Coco) -> None:
    twice = [coco.add(201 + i, ["A man.", "A guy."]) for i in range(5)]
    twice += [coco.add(301 + i, ["A girl.", "A lady."]) for i in range(5)]
    assert names_of(options(coco, captions=2)) == set(twice)
    large = [
        coco.add(401 + i, captions, [rectangle(0, 0, 18, 16)]) for i, captions in enumerate((MAN, WOMAN) * 4)
    ]
    assert names_of(options(coco, area=0.5, out=coco.root / "large")) == set(large)


def _broken(folder: Path) -> None:
    file = folder / "captions_train2014.json"
    file.write_text(file.read_text()[:-40])


def _edit(kind: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        file = folder / f"{kind}_train2014.json"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    return edit


def _no_captions(folder: Path) -> None:
    (folder / "captions_train2014.json").unlink()


def _nothing(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_broken, "captions_train2014.json: broken json in line 1"),
        (
            _edit("captions", '"caption"', '"text"'),
            "needs a list 'annotations' whose entries have image_id, cap",
        ),
        (_edit("captions", '"image_id": 1,', '"image_id": [1],'), "captions_train2014.json: needs a list"),
        (_edit("instances", '"images"', '"pictures"'), "instances_train2014.json: needs a list 'images'"),
        (_edit("instances", '"height": 16', '"height": "16"'), "whose entries have id, file_name, height"),
        (_edit("instances", '"person"', '"human"'), "has no category 'person', but human, dog"),
        (
            _no_captions,
            "has no captions_train2014.json beside .*instances_train2014.json; unpack it from http",
        ),
        (
            _nothing,
            "holds none of captions_train2014.json, .*; unpack http://images.cocodataset.org/.*--download",
        ),
    ],
)
def test_damage(damage: Callable[[Path], None], message: str, coco: Coco) -> None:
    config = options(coco)
    damage(coco.root / "json" / "annotations")
    with pytest.raises(DataError, match=message):
        prepare_gender(config)
    assert not (coco.root / "out").exists()


def test_no_photo_at_all(coco: Coco) -> None:
    (coco.root / "empty").mkdir()
    with pytest.raises(DataError, match=r"has none of the 10 photos .*unpack http.*train2014.zip and http"):
        prepare_gender(options(coco, images=coco.root / "empty"))


def test_too_few_photos(tmp_path: Path) -> None:
    coco = Coco(tmp_path).many(2)
    coco.add(90, WOMAN, [])
    with pytest.raises(DataError, match=r"too few photos fit \(2 man in train2014, 2 woman .*nobody is segm"):
        prepare_gender(options(coco))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": None}, "from: missing; give the folder of COCO's json files, unpacked from http"),
        ({"images": None}, "images: missing; give the folder of COCO's photos, unpacked from http"),
        ({"out": None}, "out: missing"),
        ({"captions": 0}, "captions: got 0, need 1 or more"),
        ({"people": 0}, "people: got 0, need 1 or more"),
        ({"per_class": 3}, "per_class: got 3, need 4 or more"),
        ({"per_class": 6}, "per_class: got 6, which takes 6 of each class in train2014; there are 5 man"),
        ({"area": 1.0}, "area: got 1.0, need a share"),
    ],
)
def test_mistakes(change: dict[str, Any], message: str, coco: Coco) -> None:
    with pytest.raises(ConfigError, match=message):
        prepare_gender(replace(options(coco), **change))


def test_download(coco: Coco, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Coco(tmp_path, "val").many(1, start=500).write()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in (coco.write() / "annotations").iterdir():
            archive.write(file, f"annotations/{file.name}")
    config = options(coco, source=tmp_path / "cache", download=True)
    with serving(packed.getvalue()) as server:
        monkeypatch.setitem(gender.ARCHIVES, "2014", server.archive)
        assert prepare_gender(config).groups == {"train": {"": 8}, "val": {"": 2}, "test": {"": 2}}
    assert len(list((tmp_path / "cache" / "annotations").iterdir())) == 4
    prepare_gender(replace(config, out=tmp_path / "again"))  # nothing is fetched again
    with pytest.raises(
        DataError, match=rf"{server.archive.url} did not arrive .* by hand, put it into .*new"
    ):
        prepare_gender(replace(config, source=tmp_path / "new", out=tmp_path / "third"))
    assert not (tmp_path / "third").exists()

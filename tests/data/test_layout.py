from pathlib import Path

import pytest
from data_files import save_photo

from lookright.data.layout import find_photos
from lookright.errors import ConfigError, DataError


def test_images_folder(tmp_path: Path) -> None:
    save_photo(tmp_path / "images" / "cat" / "a.PNG")
    save_photo(tmp_path / "images" / "dog" / "more" / "a.jpg")
    save_photo(tmp_path / "masks" / "cat" / "a.png")
    photos = find_photos(tmp_path).all
    assert [(p.id, p.key, p.class_name, p.split) for p in photos] == [
        ("images/cat/a.PNG", "cat/a", "cat", None),
        ("images/dog/more/a.jpg", "dog/more/a", "dog", None),
    ]


def test_class_folders_directly(tmp_path: Path) -> None:
    save_photo(tmp_path / "cat" / "a.png")
    save_photo(tmp_path / "masks" / "cat" / "a.png")
    assert [(p.id, p.class_name) for p in find_photos(tmp_path).all] == [("cat/a.png", "cat")]


@pytest.mark.parametrize("base", ["", "images"])
def test_split_folders(tmp_path: Path, base: str) -> None:
    for split in ("train", "Validation", "test"):
        save_photo(tmp_path / base / split / "cat" / f"{split}.png")
    photos = find_photos(tmp_path).all
    assert {(p.class_name, p.split) for p in photos} == {("cat", "train"), ("cat", "val"), ("cat", "test")}


def test_a_class_called_test_is_a_class(tmp_path: Path) -> None:
    save_photo(tmp_path / "test" / "a.png")
    save_photo(tmp_path / "control" / "a.png")
    assert {p.class_name for p in find_photos(tmp_path).all} == {"test", "control"}


def test_leftovers_of_systems_are_passed_over(tmp_path: Path) -> None:
    save_photo(tmp_path / "images" / "cat" / "a.png")
    for name in ("__MACOSX/cat/a.png", ".cache/cat/a.png", "cat/._a.png", "cat/.hidden.png"):
        save_photo(tmp_path / "images" / name)
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini", "notes.txt"):
        (tmp_path / "images" / "cat" / name).write_text("x")
    assert [p.id for p in find_photos(tmp_path).all] == ["images/cat/a.png"]


def test_a_link_that_leads_back_up_ends(tmp_path: Path) -> None:
    save_photo(tmp_path / "images" / "cat" / "a.png")
    (tmp_path / "images" / "cat" / "loop").symlink_to(tmp_path / "images")
    assert len(find_photos(tmp_path).all) == 1


def test_names_that_find_a_photo(tmp_path: Path) -> None:
    save_photo(tmp_path / "images" / "cat" / "a.b.jpg")
    photos = find_photos(tmp_path)
    for name in (
        "images/cat/a.b.jpg",
        "cat/a.b.jpg",
        r".\cat\a.b.jpg",
        "a.b.jpg",
        "a.b",
        "cat/a.b",
        "a.b.PNG",
    ):
        assert [p.id for p in photos.find(name)] == ["images/cat/a.b.jpg"], name
    assert not photos.find("train2017/a.b.jpg")
    assert photos.find("train2017/a.b.jpg", anywhere=True)
    assert not photos.find("a")


def test_the_longest_end_of_a_name_counts(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        save_photo(tmp_path / "images" / name / "0.jpg")
    photos = find_photos(tmp_path)
    found = photos.find("/home/anna/pets/images/dog/0.jpg", anywhere=True)
    assert [photo.id for photo in found] == ["images/dog/0.jpg"]
    assert len(photos.find("elsewhere/0.jpg", anywhere=True)) == 2


def test_no_folder_no_image(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no data folder was named"):
        find_photos(None)
    with pytest.raises(DataError, match="does not exist"):
        find_photos(tmp_path / "gone")
    with pytest.raises(DataError, match="no image found"):
        find_photos(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file"):
        find_photos(tmp_path / "file")

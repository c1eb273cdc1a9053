import io
from pathlib import Path

import numpy as np
import pytest
from annotate_made import bomb, png, random_marks
from PIL import Image

from lookright.annotate.pixels import decode_marks, encode_marks, has_marks, of_photo, unmarked
from lookright.annotate.refused import RefusedError
from lookright.data import MaskFiles
from lookright.data.annotations import Matrix
from lookright.data.images import Frame

SIZE = (7, 5)


def refusal(body: bytes, size: tuple[int, int] = SIZE) -> RefusedError:
    with pytest.raises(RefusedError) as refused:
        decode_marks(body, size)
    return refused.value


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_grey_and_coloured_pngs_give_the_same_marks(mode: str) -> None:
    marks = random_marks(SIZE)
    assert np.array_equal(decode_marks(png(marks, mode), SIZE), marks)


def test_what_is_encoded_is_decoded() -> None:
    marks = random_marks(SIZE, seed=1)
    assert np.array_equal(decode_marks(encode_marks(marks), SIZE), marks)


@pytest.mark.parametrize("value", [1, 127, 129, 254])
def test_other_values_are_refused_and_named(value: int) -> None:
    marks = unmarked(SIZE)
    marks[2, 3] = value
    refused = refusal(png(marks))
    assert refused.status == 400
    assert str(value) in refused.sentence


def test_another_size_is_refused_and_both_are_named() -> None:
    refused = refusal(png(unmarked((5, 7))))
    assert refused.status == 400
    assert "5 x 7" in refused.sentence
    assert "7 x 5" in refused.sentence


@pytest.mark.parametrize("mode", ["1", "P", "I;16"])
def test_other_kinds_of_png_are_refused(mode: str) -> None:
    image = Image.new(mode, SIZE)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    assert refusal(buffer.getvalue()).status == 415


def test_no_png_is_refused() -> None:
    buffer = io.BytesIO()
    Image.new("L", SIZE, 128).save(buffer, "JPEG")
    for body in (b"", b"marks", buffer.getvalue(), b"\x89PNG\r\n\x1a\n"):
        assert refusal(body).status == 415


def test_a_png_cut_short_is_refused() -> None:
    whole = png(random_marks((60, 60)))
    refused = refusal(whole[: len(whole) // 2], (60, 60))
    assert refused.status == 400


@pytest.mark.parametrize("side", [20_000, 2**31 - 1])
def test_a_decompression_bomb_is_not_decoded(side: int) -> None:
    refused = refusal(bomb(side, side))
    assert refused.status in (400, 413, 415)


def test_nothing_marked() -> None:
    assert not has_marks(unmarked(SIZE))
    assert has_marks(random_marks(SIZE))


def test_marks_of_another_size_and_grades_come_to_the_photo() -> None:
    positive = np.array([[0.2, 0.0], [0.0, 0.0]], dtype=np.float32)
    negative = np.array([[0.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    grey = of_photo(Matrix(positive, negative), Frame((4, 2), 1), "a.png")
    assert grey.tolist() == [[255, 255, 128, 128], [128, 128, 0, 0]]


def test_marks_drawn_before_the_rotation_are_turned(tmp_path: Path) -> None:
    drawn = np.zeros((2, 3), dtype=np.uint8)
    drawn[0, 0] = 255
    file = tmp_path / "a.png"
    Image.fromarray(drawn).save(file)
    grey = of_photo(MaskFiles(file), Frame((3, 2), 6), "a.png")
    assert grey.shape == (3, 2)
    assert grey.tolist() == [[128, 255], [128, 128], [128, 128]]

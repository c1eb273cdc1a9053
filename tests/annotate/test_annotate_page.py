"""Drawing on the page in a real browser: the file on the disk has exactly the pixels that were drawn."""

import io
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from served_page import HEIGHT, PHONE, WIDE, WIDTH, Pixels, Tab, opened, unmarked

if TYPE_CHECKING:
    from playwright.sync_api import Browser

POSITIVE, UNMARKED, NEGATIVE = 255, 128, 0
DEFAULT = 7
"""Width of the brush on photos of this size, until another one is chosen."""

Point = tuple[float, float]


@pytest.fixture(scope="module")
def one_tab(browser: "Browser", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with opened(browser, tmp_path_factory.mktemp("page")) as tab:
        yield tab


@pytest.fixture
def tab(one_tab: Tab) -> Iterator[Tab]:
    one_tab.renew()
    yield one_tab.open()
    one_tab.check()


def centres() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x and y of the centre of every pixel."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return x, y


def line(start: Point, end: Point, size: int) -> NDArray[np.bool_]:
    """Pixels whose centre is at most size / 2 from a line."""
    x, y = centres()
    (ax, ay), (bx, by) = start, end
    squared = (bx - ax) ** 2 + (by - ay) ** 2
    along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / squared if squared else 0 * x
    along = along.clip(0, 1)
    distance = (x - ax - along * (bx - ax)) ** 2 + (y - ay - along * (by - ay)) ** 2
    return distance <= (size / 2) ** 2 + 1e-9


def polygon(corners: list[Point]) -> NDArray[np.bool_]:
    """Pixels whose centre lies in a polygon: an odd number of edges to the right of it."""
    x, y = centres()
    inside = np.zeros(x.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        if ay != by:
            inside ^= ((ay > y) != (by > y)) & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
    return inside


def same(mask: Pixels | None, expected: Pixels) -> None:
    assert mask is not None
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, expected)


def test_a_dot_is_a_disc(tab: Tab) -> None:
    tab.click(40.5, 30.5)
    tab.wait_saved()
    expected = unmarked()
    expected[line((40.5, 30.5), (40.5, 30.5), DEFAULT)] = POSITIVE
    same(tab.served.mask(0), expected)
    assert tab.page.locator("#image-status").inner_text() == "Marked"
    assert tab.served.status(0) == "marked"


@pytest.mark.parametrize(("size", "snap"), [(1, 0.5), (2, 0.0), (3, 0.5), (4, 0.0), (20, 0.0)])
def test_brushes_of_every_width(tab: Tab, size: int, snap: float) -> None:
    points = [(20 + snap, 20 + snap), (70 + snap, 31 + snap), (64 + snap, 80 + snap), (115 + snap, 3 + snap)]
    tab.size(size)
    tab.drag(*points)
    tab.wait_saved()
    expected = unmarked()
    for start, end in pairwise(points):
        expected[line(start, end, size)] = POSITIVE
    same(tab.served.mask(0), expected)


def test_two_inks_and_the_eraser(tab: Tab) -> None:
    expected = unmarked()
    for value, across, pixel in (("positive", 20.5, 255), ("negative", 40.5, 0), ("eraser", 30.5, 128)):
        tab.choose(value)
        tab.drag((20.5, across), (100.5, across))
        expected[line((20.5, across), (100.5, across), DEFAULT)] = pixel
    tab.drag((60.5, 10.5), (60.5, 50.5))
    expected[line((60.5, 10.5), (60.5, 50.5), DEFAULT)] = UNMARKED
    tab.wait_saved()
    same(tab.served.mask(0), expected)


def test_alt_erases_with_the_brush(tab: Tab) -> None:
    tab.drag((20.5, 20.5), (80.5, 20.5))
    tab.page.keyboard.down("Alt")
    tab.drag((40.5, 20.5), (60.5, 20.5))
    tab.page.keyboard.up("Alt")
    tab.wait_saved()
    expected = unmarked()
    expected[line((20.5, 20.5), (80.5, 20.5), DEFAULT)] = POSITIVE
    expected[line((40.5, 20.5), (60.5, 20.5), DEFAULT)] = UNMARKED
    same(tab.served.mask(0), expected)


def test_a_box_is_dragged_or_has_its_corners_pressed(tab: Tab) -> None:
    tab.choose("box")
    tab.drag((80.5, 60.5), (30.5, 20.5))
    tab.choose("negative")
    tab.click(5.5, 70.5)
    tab.click(15.5, 85.5)
    tab.wait_saved()
    expected = unmarked()
    expected[20:61, 30:81] = POSITIVE
    expected[70:86, 5:16] = NEGATIVE
    same(tab.served.mask(0), expected)


def test_a_box_ends_at_the_edge_of_the_photo(tab: Tab) -> None:
    tab.choose("box")
    tab.drag((100.5, 80.5), (WIDTH + 1.5, HEIGHT + 1.5))
    tab.wait_saved()
    expected = unmarked()
    expected[80:, 100:] = POSITIVE
    same(tab.served.mask(0), expected)


CORNERS = [(20.0, 20.0), (60.0, 20.0), (60.0, 50.5), (40.0, 70.5), (20.0, 50.5)]
"""No edge comes near the centre of a pixel: half a screen pixel does not matter."""


@pytest.mark.parametrize("how", ["first corner", "last corner", "c", "Enter", "button"])
def test_a_polygon_is_closed(tab: Tab, how: str) -> None:
    tab.choose("polygon")
    for corner in CORNERS:
        tab.click(*corner)
    tab.wait_message("Corner 5")
    assert tab.served.mask(0) is None
    if how == "button":
        tab.page.get_by_role("button", name="Close").click()
    elif how.endswith("corner"):
        tab.click(*CORNERS[0 if how.startswith("first") else -1])
    else:
        tab.page.keyboard.press(how)
    tab.wait_saved()
    expected = unmarked()
    expected[polygon(CORNERS)] = POSITIVE
    same(tab.served.mask(0), expected)
    assert tab.page.locator("#shape").is_hidden()


def test_a_polygon_can_be_corrected_and_given_up(tab: Tab) -> None:
    tab.choose("polygon")
    for corner in [*CORNERS, (100.0, 10.0)]:
        tab.click(*corner)
    tab.page.keyboard.press("Backspace")
    tab.page.keyboard.press("c")
    tab.wait_saved()
    expected = unmarked()
    expected[polygon(CORNERS)] = POSITIVE
    same(tab.served.mask(0), expected)
    for corner in CORNERS:
        tab.click(*corner)
    tab.page.keyboard.press("Escape")
    tab.wait_message("given up")
    tab.click(10, 10)
    tab.page.keyboard.press("Backspace")
    tab.wait_message("Corner removed, none left")
    tab.choose("box")
    tab.click(10, 10)
    tab.page.keyboard.press("z")
    tab.wait_message("Corner of the box removed")
    tab.page.keyboard.press("z")
    tab.wait_saved()
    assert tab.served.mask(0) is None


def test_a_click_fills_a_superpixel_and_a_second_one_clears_it(tab: Tab) -> None:
    numbers = tab.page.context.request.get(f"{tab.served.url}/api/images/0/superpixels?level=3")
    assert numbers.ok
    tab.choose("superpixel")
    tab.page.wait_for_selector("#canvas[data-regions=shown]")
    regions = segments(numbers.body())
    tab.click(30.5, 20.5)
    tab.wait_saved()
    expected = unmarked()
    expected[regions == regions[20, 30]] = POSITIVE
    same(tab.served.mask(0), expected)

    tab.choose("negative")
    tab.drag((10.5, 80.5), (60.5, 80.5), (110.5, 80.5))
    tab.wait_saved()
    mask = tab.served.mask(0)
    assert mask is not None
    for x in (10, 60, 110):
        assert (mask[regions == regions[80, x]] == NEGATIVE).all()
    for number in np.unique(regions):
        assert len(np.unique(mask[regions == number])) == 1

    for _ in range(2):
        tab.page.keyboard.press("z")
    tab.wait_saved()
    assert tab.served.mask(0) is None
    tab.choose("positive")
    tab.click(30.5, 20.5)
    tab.click(30.5, 20.5)
    tab.wait_saved()
    assert tab.served.mask(0) is None


def segments(png: bytes) -> NDArray[np.int64]:
    red, green, blue = np.moveaxis(np.asarray(Image.open(io.BytesIO(png))).astype(np.int64), -1, 0)
    return red + 256 * green + 65536 * blue


def test_finer_superpixels_are_asked_for(tab: Tab) -> None:
    tab.choose("superpixel")
    tab.page.wait_for_selector("#canvas[data-regions=shown]")
    with tab.page.expect_response("**/superpixels?level=4"):
        tab.page.keyboard.press("]")
    tab.page.wait_for_selector("#canvas[data-regions=shown]")
    assert tab.page.locator("#level-shown").inner_text() == "4 of 5"


def test_undo_and_redo_a_hundred_steps(tab: Tab) -> None:
    tab.size(3)
    expected = unmarked()
    for step in range(100):
        point = (3.5 + step % 20 * 5, 5.5 + step // 20 * 15)
        if step % 10 == 0:
            tab.choose("negative" if step % 20 else "positive")
        tab.click(*point)
        expected[line(point, point, 3)] = NEGATIVE if step % 20 >= 10 else POSITIVE
    tab.wait_saved()
    same(tab.served.mask(0), expected)
    tab.page.locator("#canvas").focus()
    for _ in range(100):
        tab.page.keyboard.press("z")
    tab.wait_saved()
    assert tab.served.mask(0) is None
    assert tab.served.status(0) == "open"
    assert tab.page.locator("#undo").get_attribute("aria-disabled") == "true"
    for step in range(100):
        tab.page.keyboard.press("Control+y" if step % 2 else "Shift+Z")
    tab.wait_saved()
    same(tab.served.mask(0), expected)
    assert tab.page.locator("#redo").get_attribute("aria-disabled") == "true"


def test_clear_is_one_step(tab: Tab) -> None:
    tab.drag((20.5, 20.5), (100.5, 70.5))
    tab.wait_saved()
    before = tab.served.mask(0)
    assert before is not None
    tab.page.locator("#clear").click()
    tab.wait_message("undo brings them back")
    tab.wait_saved()
    assert tab.served.mask(0) is None
    tab.page.locator("#undo").click()
    tab.wait_saved()
    same(tab.served.mask(0), before)


def test_what_is_drawn_when_zoomed_in_is_as_exact(tab: Tab) -> None:
    tab.page.mouse.move(*tab.at(60.5, 45.5))
    for _ in range(6):
        tab.page.mouse.wheel(0, -200)
    tab.page.wait_for_timeout(200)
    scale = float(tab.page.locator("#canvas").get_attribute("data-view").split()[0])
    assert scale > 15
    tab.page.keyboard.down(" ")
    tab.drag((60.5, 45.5), (64.5, 47.5))
    tab.page.keyboard.up(" ")
    assert tab.served.mask(0) is None
    tab.drag((58.5, 44.5), (62.5, 46.5))
    tab.wait_saved()
    expected = unmarked()
    expected[line((58.5, 44.5), (62.5, 46.5), DEFAULT)] = POSITIVE
    same(tab.served.mask(0), expected)
    tab.page.locator("#fit").click()
    tab.page.wait_for_timeout(100)
    assert float(tab.page.locator("#canvas").get_attribute("data-view").split()[0]) < scale


def crowd(tab: Tab, height: int) -> None:
    """Something above the photo takes so much of its room, as the panel of Correct does."""
    tab.page.evaluate(
        """(height) => {
          const panel = document.getElementById("correction");
          panel.hidden = !height;
          panel.style.height = `${height}px`;
        }""",
        height,
    )
    tab.page.wait_for_timeout(100)


def view(tab: Tab) -> list[float]:
    return [float(part) for part in str(tab.page.locator("#canvas").get_attribute("data-view")).split()]


@pytest.mark.parametrize("screen", ["wide", "phone"])
def test_the_photo_stays_under_a_stroke_when_the_layout_changes(tab: Tab, screen: str) -> None:
    tab.page.set_viewport_size(PHONE if screen == "phone" else WIDE)
    tab.page.wait_for_timeout(100)
    before = view(tab)
    places = [tab.at(x, 60.5) for x in (20.5, 60.5, 100.5)]
    tab.page.mouse.move(*places[0])
    tab.page.mouse.down()
    for place, height in zip(places[1:], (150, 40), strict=True):
        crowd(tab, height)
        tab.page.mouse.move(*place)
        assert view(tab)[0] == before[0]
    tab.page.mouse.up()
    tab.wait_saved()
    expected = unmarked()
    expected[line((20.5, 60.5), (100.5, 60.5), DEFAULT)] = POSITIVE
    same(tab.served.mask(0), expected)
    crowd(tab, 0)
    assert view(tab) == pytest.approx(before)  # fitted again
    tab.page.set_viewport_size(WIDE)


def test_the_photo_stays_between_the_corners_of_a_polygon(tab: Tab) -> None:
    before = view(tab)
    places = [tab.at(*corner) for corner in CORNERS]
    tab.choose("polygon")
    for place in places:
        tab.page.mouse.click(*place)
        crowd(tab, 90)
    assert view(tab)[0] == before[0]
    tab.page.keyboard.press("c")
    tab.wait_saved()
    expected = unmarked()
    expected[polygon(CORNERS)] = POSITIVE
    same(tab.served.mask(0), expected)
    assert view(tab)[0] < before[0]
    crowd(tab, 0)


@pytest.mark.parametrize("tool", ["brush", "box", "superpixel"])
def test_escape_gives_up_what_is_being_drawn(tab: Tab, tool: str) -> None:
    tab.choose(tool)
    if tool == "superpixel":
        tab.page.wait_for_selector("#canvas[data-regions=shown]")
    tab.page.mouse.move(*tab.at(20.5, 20.5))
    tab.page.mouse.down()
    tab.page.mouse.move(*tab.at(60.5, 60.5))
    tab.page.keyboard.press("Escape")
    tab.page.mouse.move(*tab.at(80.5, 60.5))
    tab.page.mouse.up()
    tab.wait_message("Given up")
    assert tab.page.locator("#undo").get_attribute("aria-disabled") == "true"
    tab.choose("brush")
    tab.click(40.5, 30.5)
    tab.wait_saved()
    expected = unmarked()
    expected[line((40.5, 30.5), (40.5, 30.5), DEFAULT)] = POSITIVE
    same(tab.served.mask(0), expected)


@pytest.mark.parametrize("control", ["input[value=negative]", "#fit", "#size", "#undo"])
def test_space_moves_the_photo_whatever_was_clicked_before(tab: Tab, control: str) -> None:
    tab.page.locator("#zoom-in").click()
    tab.page.locator(control).click(force=True)
    before = tab.page.locator("#canvas").get_attribute("data-view")
    start, end = tab.at(60.5, 45.5), tab.at(70.5, 50.5)
    tab.page.mouse.move(*start)
    tab.page.keyboard.down(" ")
    tab.page.mouse.down()
    tab.page.mouse.move(*end)
    tab.page.mouse.up()
    tab.page.keyboard.up(" ")
    tab.page.wait_for_timeout(100)
    assert tab.page.locator("#canvas").get_attribute("data-view") != before
    tab.click(10.5, 10.5)  # no more held
    tab.wait_saved()
    mask = tab.served.mask(0)
    assert mask is not None
    assert (mask[30:] == UNMARKED).all()
    assert (mask[10, 10] != UNMARKED).all()


def test_drawing_with_the_keyboard_alone(tab: Tab) -> None:
    keys = tab.page.keyboard
    keys.press("Tab")
    keys.press("Enter")  # the link "To the photo"
    assert tab.page.evaluate("document.activeElement.id") == "canvas"
    keys.press("2")
    keys.press("Enter")
    tab.wait_message("Brush down")
    for key in ["ArrowRight"] * 10 + ["ArrowDown"] * 5:
        keys.press(f"Shift+{key}")
    keys.press("Enter")
    tab.wait_message("Brush lifted")
    keys.press("Shift+ArrowDown")
    tab.wait_message("Column 70, row 51: not here")
    tab.wait_saved()
    expected = unmarked()
    expected[line((60.5, 45.5), (70.5, 45.5), DEFAULT)] = NEGATIVE
    expected[line((70.5, 45.5), (70.5, 50.5), DEFAULT)] = NEGATIVE
    same(tab.served.mask(0), expected)

    keys.press("r")
    keys.press("1")
    keys.press(" ")
    for _ in range(4):
        keys.press("Shift+ArrowUp")
        keys.press("Shift+ArrowLeft")
    keys.press(" ")
    tab.wait_saved()
    expected[47:52, 66:71] = POSITIVE
    same(tab.served.mask(0), expected)


def walk(tab: Tab, right: int, down: int) -> None:
    """Move the cross-hair by so many pixels."""
    for key, count in (("Right", right), ("Left", -right), ("Down", down), ("Up", -down)):
        for _ in range(count):
            tab.page.keyboard.press(f"Shift+Arrow{key}")


def test_polygons_and_superpixels_with_the_keyboard_alone(tab: Tab) -> None:
    keys = tab.page.keyboard
    regions = segments(tab.context.request.get(f"{tab.served.url}/api/images/0/superpixels?level=3").body())
    keys.press("Tab")
    keys.press("Enter")  # the link "To the photo"
    keys.press("p")
    corners = [(60.5, 45.5), (77.5, 50.5), (64.5, 68.5)]
    keys.press("Enter")
    walk(tab, 17, 5)
    keys.press("Enter")
    walk(tab, 10, 0)
    keys.press("Enter")
    tab.wait_message("Corner 3")
    keys.press("Backspace")  # that one was wrong
    tab.wait_message("Corner removed, 2 left")
    walk(tab, -23, 18)
    keys.press(" ")
    tab.wait_message("Corner 3")
    keys.press("c")
    tab.wait_message("Polygon filled")
    tab.wait_saved()
    expected = unmarked()
    expected[polygon(corners)] = POSITIVE
    same(tab.served.mask(0), expected)

    keys.press("s")
    keys.press("2")
    tab.page.wait_for_selector("#canvas[data-regions=shown]")
    walk(tab, -34, -48)
    keys.press("Enter")
    tab.wait_message("1 region filled")
    tab.wait_saved()
    filled = regions == regions[20, 30]
    expected[filled] = NEGATIVE
    same(tab.served.mask(0), expected)
    keys.press(" ")  # once more: it is cleared
    tab.wait_message("1 region cleared")
    tab.wait_saved()
    expected[filled] = UNMARKED
    same(tab.served.mask(0), expected)
    keys.press("z")
    keys.press("z")
    keys.press("z")
    tab.wait_saved()
    assert tab.served.mask(0) is None


@pytest.fixture
def phone(browser: "Browser", one_tab: Tab) -> Iterator[Tab]:
    one_tab.renew()
    tab = Tab(browser, one_tab.served, viewport=PHONE, has_touch=True, is_mobile=True).open()
    yield tab
    tab.close()


def touch(tab: Tab, *moments: list[Point]) -> None:
    """Fingers at places of the window, moment by moment; then they are lifted."""
    session = tab.context.new_cdp_session(tab.page)
    for number, fingers in enumerate([*moments, []]):
        kind = "touchEnd" if not fingers else "touchStart" if number == 0 else "touchMove"
        if fingers and number and len(fingers) > len(moments[number - 1]):
            kind = "touchStart"
        points = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(fingers)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.detach()


def test_a_finger_draws(phone: Tab) -> None:
    start, end = (20.5, 20.5), (100.5, 60.5)
    touch(phone, [phone.at(*start)], [phone.at(*end)])
    phone.wait_saved()
    expected = unmarked()
    expected[line(start, end, DEFAULT)] = POSITIVE
    same(phone.served.mask(0), expected)
    assert phone.page.evaluate("scrollY") == 0


def test_two_fingers_zoom_and_draw_nothing(phone: Tab) -> None:
    before = phone.page.locator("#canvas").get_attribute("data-view").split()[0]
    left, right = phone.at(50, 45), phone.at(70, 45)
    wider = [(left[0] - 40, left[1]), (right[0] + 40, right[1])]
    touch(phone, [left], [left, right], wider)
    phone.page.wait_for_timeout(200)
    assert float(phone.page.locator("#canvas").get_attribute("data-view").split()[0]) > 1.5 * float(before)
    assert phone.page.locator("#undo").get_attribute("aria-disabled") == "true"
    assert phone.served.mask(0) is None
    touch(phone, [phone.at(60.5, 45.5)])
    phone.wait_saved()
    expected = unmarked()
    expected[line((60.5, 45.5), (60.5, 45.5), DEFAULT)] = POSITIVE
    same(phone.served.mask(0), expected)


def pointer(
    tab: Tab, kind: str, place: Point, pointer_id: int = 7, of: str = "pen", buttons: int = 1
) -> None:
    """An event of a pen or finger at a place of the photo."""
    x, y = tab.at(*place)
    init = {"pointerId": pointer_id, "pointerType": of, "clientX": x, "clientY": y, "buttons": buttons}
    tab.page.dispatch_event("#canvas", f"pointer{kind}", init | {"bubbles": True})


def test_a_knuckle_takes_no_stroke_away(tab: Tab) -> None:
    pointer(tab, "down", (20.5, 20.5), 3, "touch")
    pointer(tab, "move", (60.5, 20.5), 3, "touch")
    tab.page.wait_for_timeout(250)
    for kind in ("down", "move", "up"):
        pointer(tab, kind, (90.5, 80.5), 4, "touch")
    pointer(tab, "move", (80.5, 20.5), 3, "touch")
    pointer(tab, "up", (80.5, 20.5), 3, "touch")
    tab.wait_saved()
    expected = unmarked()
    expected[line((20.5, 20.5), (80.5, 20.5), DEFAULT)] = POSITIVE
    same(tab.served.mask(0), expected)


def test_a_pen_draws_and_its_other_end_erases(tab: Tab) -> None:
    def stroke(start: Point, end: Point, buttons: int) -> None:
        for kind, place in (("down", start), ("move", end), ("up", end)):
            pointer(tab, kind, place, buttons=buttons)

    stroke((20.5, 20.5), (80.5, 20.5), buttons=1)
    stroke((40.5, 20.5), (60.5, 20.5), buttons=32)
    tab.wait_saved()
    expected = unmarked()
    expected[line((20.5, 20.5), (80.5, 20.5), DEFAULT)] = POSITIVE
    expected[line((40.5, 20.5), (60.5, 20.5), DEFAULT)] = UNMARKED
    same(tab.served.mask(0), expected)


def test_a_hand_that_rests_on_the_screen_does_not_disturb_a_pen(tab: Tab) -> None:
    pointer(tab, "down", (100.5, 80.5), 3, "touch")
    pointer(tab, "down", (20.5, 20.5))
    pointer(tab, "down", (90.5, 80.5), 4, "touch")
    pointer(tab, "move", (90.5, 85.5), 4, "touch")
    pointer(tab, "move", (60.5, 20.5))
    pointer(tab, "up", (60.5, 20.5))
    pointer(tab, "up", (90.5, 85.5), 4, "touch")
    pointer(tab, "up", (100.5, 80.5), 3, "touch")
    tab.wait_saved()
    expected = unmarked()
    expected[line((20.5, 20.5), (60.5, 20.5), DEFAULT)] = POSITIVE
    same(tab.served.mask(0), expected)


def test_fingers_do_not_draw_once_a_pen_was_seen_unless_they_are_to(tab: Tab) -> None:
    def press(*places: Point, of: str = "touch") -> None:
        for kind, place in (("down", places[0]), ("move", places[-1]), ("up", places[-1])):
            pointer(tab, kind, place, 3, of)

    assert tab.page.get_by_label("Draw with fingers").is_hidden()
    press((20.5, 20.5), of="pen")
    tab.wait_message("fingers move and zoom")
    before = view(tab)
    press((90.5, 80.5))
    tab.page.wait_for_timeout(100)
    assert view(tab) == before
    press((60.5, 45.5), (80.5, 45.5))
    tab.page.wait_for_timeout(100)
    assert view(tab)[1] > before[1]
    expected = unmarked()
    expected[line((20.5, 20.5), (20.5, 20.5), DEFAULT)] = POSITIVE
    tab.wait_saved()
    same(tab.served.mask(0), expected)
    tab.page.get_by_label("Draw with fingers").focus()
    tab.page.keyboard.press(" ")
    press((90.5, 80.5))
    expected[line((90.5, 80.5), (90.5, 80.5), DEFAULT)] = POSITIVE
    tab.wait_saved()
    same(tab.served.mask(0), expected)


def test_a_window_that_moves_to_a_denser_screen(browser: "Browser", one_tab: Tab) -> None:
    one_tab.renew()
    tab = Tab(browser, one_tab.served).open()

    def opacity(*place: float) -> int:
        """Of what the canvas has at a place of the photo, or beside it."""
        return int(
            tab.page.evaluate(
                """([x, y]) => {
                  const canvas = document.getElementById("canvas");
                  const [scale, left, top] = canvas.dataset.view.split(" ").map(Number);
                  const at = [left + x * scale, top + y * scale];
                  const pixel = at.map((v) => Math.floor(v * canvas.width / canvas.clientWidth));
                  return canvas.getContext("2d").getImageData(...pixel, 1, 1).data[3];
                }""",
                place,
            )
        )

    session = tab.context.new_cdp_session(tab.page)
    for dense in (2, 1.5):
        session.send(
            "Emulation.setDeviceMetricsOverride", WIDE | {"deviceScaleFactor": dense, "mobile": False}
        )
        tab.page.mouse.move(*tab.at(60.5, 45.5))  # something is drawn anew
        tab.wait(f"canvas.width === Math.round({dense} * canvas.clientWidth)")
        tab.page.wait_for_timeout(100)
        inside = [(1, 1), (WIDTH - 1, 1), (1, HEIGHT - 1), (WIDTH - 1, HEIGHT - 1)]
        outside = [(-1, 45), (WIDTH + 1, 45), (60, -1), (60, HEIGHT + 1)]
        assert [opacity(*place) for place in (*inside, *outside)] == [255] * 4 + [0] * 4
    tab.close()

"""The page on wide and narrow screens, for screen readers, and under its policy."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from served_page import PHONE, WIDE, Served, Tab, served, write_photos

import lookright.annotate

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PAGE = Path(lookright.annotate.__file__).parent / "page"
DOCUMENT = Path(__file__).parents[2] / "docs" / "annotate.md"

ON_ITS_SIDE = {"width": 844, "height": 390}
WIDTHS = {"phone": PHONE, "tablet": {"width": 900, "height": 700}, "wide": WIDE, "on its side": ON_ITS_SIDE}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Photos that no test here marks."""
    with served(write_photos(tmp_path_factory.mktemp("looks") / "data"), model=True) as server:
        yield server


@pytest.fixture(params=WIDTHS)
def tab(browser: "Browser", server: Served, request: pytest.FixtureRequest) -> Iterator[Tab]:
    options = {"has_touch": True, "is_mobile": True} if request.param == "phone" else {}
    tab = Tab(browser, server, viewport=WIDTHS[request.param], **options).open()
    yield tab
    tab.close()


@pytest.fixture
def wide(browser: "Browser", server: Served) -> Iterator[Tab]:
    tab = Tab(browser, server).open()
    yield tab
    tab.close()


def states(tab: Tab) -> Iterator[str]:
    """The page in each of its states."""
    page = tab.page
    yield "brush"
    tab.choose("polygon")
    tab.click(30, 30)
    tab.click(60, 30)
    page.wait_for_selector("#shape")
    yield "polygon"
    page.keyboard.press("Escape")
    tab.choose("superpixel")
    yield "superpixel"
    if page.locator("#show-images").is_visible():
        page.locator("#show-images").click()
        yield "list"
        page.locator("#show-images").click()
    for dialog in ("conflict", "unsaved", "keys"):
        page.evaluate("id => document.getElementById(id).showModal()", dialog)
        yield dialog
        page.evaluate("id => document.getElementById(id).close()", dialog)


def test_nothing_scrolls_sideways(tab: Tab) -> None:
    for state in states(tab):
        wide, window = tab.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= window, state
        inner = tab.page.evaluate(
            "[...document.querySelectorAll('aside, nav, dialog, #list')]"
            ".filter(e => e.scrollWidth > e.clientWidth).map(e => e.id || e.tagName)"
        )
        assert inner == [], state


def test_the_header_does_not_grow_with_what_is_done(tab: Tab) -> None:
    high = "document.querySelector('header').getBoundingClientRect().height"
    say = "text => document.querySelector('#progress-shown').textContent = text"
    before = tab.page.evaluate(high)
    tab.page.evaluate(say, "9,999 of 10,000 done")
    assert tab.page.evaluate(high) == before


def test_no_text_is_cut_off(tab: Tab) -> None:
    cut = """[...document.querySelectorAll('button, .inks span, .tools span, legend, .slider > *')]
      .filter(e => e.checkVisibility() && getComputedStyle(e).clipPath === 'none')
      .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"""
    for state in states(tab):
        assert tab.page.evaluate(cut) == [], state


def test_a_message_moves_nothing_whatever_its_length(tab: Tab) -> None:
    places = """['canvas', 'zoom-in', 'size'].map((id) => {
      const { x, y, width, height } = document.getElementById(id).getBoundingClientRect();
      return [x, y, width, height];
    })"""
    before = tab.page.evaluate(places)
    for text in ("Undone", "a word " * 12, "a word " * 300):
        tab.page.evaluate("async (text) => (await import('/static/dom.js')).say(text)", text.strip())
        tab.wait_message(text.strip())
        assert tab.page.evaluate(places) == before
        over, window = tab.page.evaluate("[message.getBoundingClientRect().height, innerHeight]")
        assert over < window / 3


def test_the_photo_has_most_of_a_phone_on_its_side(browser: "Browser", server: Served) -> None:
    tab = Tab(browser, server, viewport=ON_ITS_SIDE, has_touch=True, is_mobile=True).open()
    assert tab.page.evaluate("canvas.clientHeight / innerHeight") > 0.6
    tab.close()


def test_long_names_leave_the_photo_its_room(browser: "Browser", tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data", 1)
    folder = data / "images/boat"
    photo = folder / "boat00.png"
    photo.rename(photo.with_name(f"{'long ' * 30}name.png"))
    folder.rename(folder.with_name(f"a {'wide ' * 30}class"))
    with served(data, model=True) as server:
        tab = Tab(browser, server, viewport=PHONE, has_touch=True, is_mobile=True).open()
        assert tab.page.evaluate("document.getElementById('facts').innerText").endswith("90 % (right)")
        places = [tab.page.locator(part).bounding_box() for part in ("#canvas", ".now", ".actions")]
        photo, tools, actions = [place for place in places if place]
        assert photo["y"] < 180
        assert tools["y"] + tools["height"] < actions["y"]
        assert "…" in tab.message()
        tab.close()


def test_every_control_has_a_name(tab: Tab) -> None:
    session = tab.context.new_cdp_session(tab.page)
    controls = {
        "button",
        "link",
        "combobox",
        "searchbox",
        "radio",
        "checkbox",
        "slider",
        "application",
        "dialog",
        "progressbar",
        "group",
    }
    found = set()
    groups = set()
    for state in states(tab):
        for node in session.send("Accessibility.getFullAXTree")["nodes"]:
            role = node.get("role", {}).get("value")
            if role in controls and not node["ignored"]:
                found.add(role)
                assert node["name"]["value"].strip(), (state, node)
                if role == "group":
                    groups.add(node["name"]["value"])
    assert controls - {"progressbar"} <= found
    assert {"Ink", "Tool", "Zoom", "Start from"} <= groups


def test_what_is_touched_is_large_enough(tab: Tab) -> None:
    small = """[...document.querySelectorAll('button, a.button, select, input, label')]
      .filter(e => !e.closest('label') || e.matches('label, select, [type=search], [type=range]'))
      .filter(e => e.checkVisibility() && e.getBoundingClientRect().width > 1)
      .filter(e => Math.min(e.getBoundingClientRect().width, e.getBoundingClientRect().height) < 40)
      .map(e => e.textContent.trim() || e.id)"""
    for state in states(tab):
        assert tab.page.evaluate(small) == [], state


def luminance(colour: str) -> float:
    channels = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


TEXTS = """[...document.querySelectorAll('body *')]
  .filter(e => e.checkVisibility() && !e.closest('[aria-disabled=true], svg')
    && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
  .map(e => {
    const ground = (e) => getComputedStyle(e).backgroundColor;
    let behind = e;
    while (behind !== document.body && /, 0\\)$/.test(ground(behind))) behind = behind.parentElement;
    return [e.textContent.trim(), getComputedStyle(e).color, ground(behind)];
  })"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(browser: "Browser", server: Served, scheme: str) -> None:
    tab = Tab(browser, server, color_scheme=scheme).open(3)  # predicted wrong
    for state in states(tab):
        for text, colour, behind in tab.page.evaluate(TEXTS):
            light, dark = sorted((luminance(colour), luminance(behind)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (state, text, colour, behind)
    tab.close()


def test_the_focus_is_seen_on_every_control(wide: Tab) -> None:
    seen = []
    for _ in range(60):
        wide.page.keyboard.press("Tab")
        name, style = wide.page.evaluate(
            """(() => {
              const e = document.activeElement;
              if (e === document.body) return ["", ""];
              const shown = e.matches('.inks input, .tools input') ? e.nextElementSibling : e;
              return [e.id || e.value || e.textContent, getComputedStyle(shown).outlineStyle];
            })()"""
        )
        if name in seen or name == "":
            break
        assert style == "solid", name
        seen.append(name)
    assert {"to-photo", "help", "filter-status", "canvas", "zoom-in", "size", "undo", "next"} <= set(seen)
    assert {"positive", "brush"} <= set(seen)


def test_keys_do_what_their_list_says(wide: Tab) -> None:
    page = wide.page
    for key, tool in (("e", "eraser"), ("p", "polygon"), ("r", "box"), ("s", "superpixel"), ("b", "brush")):
        page.keyboard.press(key)
        assert page.locator("input[name=tool]:checked").get_attribute("value") == tool
    page.keyboard.press("2")
    assert page.locator("input[name=ink]:checked").get_attribute("value") == "negative"
    page.keyboard.press("1")
    assert page.locator("input[name=ink]:checked").get_attribute("value") == "positive"
    sizes = []
    for key in ("]", "["):
        page.keyboard.press(key)
        wide.wait_message("Brush")
        page.wait_for_timeout(100)
        sizes.append(page.locator("#size-shown").inner_text())
    assert sizes == ["9 px", "7 px"]
    zooms = []
    for key in ("0", "+", "-"):
        page.keyboard.press(key)
        page.wait_for_timeout(100)
        zooms.append(page.locator("#zoom").inner_text())
    assert zooms[0] == zooms[2] != zooms[1]


def test_letter_keys_work_on_keyboards_of_other_scripts(wide: Tab) -> None:
    def press(key: str, code: str, **held: bool) -> None:
        wide.page.dispatch_event("#canvas", "keydown", {"key": key, "code": code, "bubbles": True, **held})

    # Russian, Greek, Hebrew, Arabic (one key that writes two letters), Persian digits
    for key, code, tool in (
        ("у", "KeyE", "eraser"),
        ("π", "KeyP", "polygon"),
        ("ר", "KeyR", "box"),
        ("س", "KeyS", "superpixel"),
        ("لا", "KeyB", "brush"),
    ):
        press(key, code)
        assert wide.page.locator("input[name=tool]:checked").get_attribute("value") == tool
    for key, code, ink in (("۲", "Digit2", "negative"), ("۱", "Digit1", "positive")):
        press(key, code)
        assert wide.page.locator("input[name=ink]:checked").get_attribute("value") == ink
    for key, code, held, said in (
        ("ъ", "BracketRight", {}, "Brush 9"),
        ("я", "KeyZ", {"ctrlKey": True}, "Nothing to undo"),
        ("Я", "KeyZ", {"shiftKey": True}, "Nothing to redo"),
        ("х", "BracketLeft", {}, "Brush 7"),
    ):
        press(key, code, **held)
        wide.wait_message(said)
    press("é", "KeyE")  # a Latin letter is what it is
    assert wide.page.locator("input[name=tool]:checked").get_attribute("value") == "brush"


def test_the_list_of_keys_opens_and_closes(wide: Tab) -> None:
    page = wide.page
    page.keyboard.press("?")
    page.wait_for_selector("#keys[open]")
    page.keyboard.press("e")  # does nothing behind a dialog
    page.locator("#letters").uncheck()
    page.keyboard.press("Escape")
    page.wait_for_selector("#keys", state="hidden")
    page.keyboard.press("e")
    assert page.locator("input[name=tool]:checked").get_attribute("value") == "brush"
    page.locator("#help").click()
    page.locator("#letters").check()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("e")
    assert page.locator("input[name=tool]:checked").get_attribute("value") == "eraser"


def test_letters_typed_into_the_filter_are_no_keys(wide: Tab) -> None:
    wide.page.locator("#filter-label").focus()
    wide.page.keyboard.press("e")
    assert wide.page.locator("input[name=tool]:checked").get_attribute("value") == "brush"


def test_the_document_lists_the_same_keys(wide: Tab) -> None:
    section = DOCUMENT.read_text(encoding="utf-8").split("\n## Keys\n")[1].split("\n## ")[0]
    listed = re.findall(r"^\| `(.+?)` \| (.+?) \|$", section, flags=re.MULTILINE)
    wide.page.keyboard.press("?")
    rows = wide.page.locator("#key-tables tr")
    shown = [tuple(row.split("\t")) for row in rows.all_inner_texts()]
    assert [(key, what.replace("\n", " ")) for key, what in shown] == listed


def test_the_page_needs_nothing_but_itself() -> None:
    for file in PAGE.iterdir():
        text = file.read_text(encoding="utf-8")
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text), file.name
        assert len(text.splitlines()) <= 250, file.name
        assert "innerHTML" not in text, file.name
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    assert not re.findall(r"\sstyle=|<style|\son\w+=|<script(?! type=\"module\" src)", html)
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(ids) == len(set(ids))

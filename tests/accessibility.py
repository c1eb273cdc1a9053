"""Checks of accessibility that every page has to pass, and pictures of what was checked."""

import os
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_ONLY_COLOURS = {"runOnly": ["color-contrast"]}


def violations(page: "Page", *, only_colours: bool = False) -> list[str]:
    """Rule and the first element of each violation on the page as it is now.

    Args:
        page: of a context with `bypass_csp`: axe is injected, which the page's own policy rightly forbids
        only_colours: look at contrasts alone, where nothing else is new
    """
    from axe_playwright_python.sync_playwright import Axe

    # Of what passes, one element is told of each rule: all of them take as long as the check itself.
    options = {"resultTypes": ["violations"]} | (_ONLY_COLOURS if only_colours else {})
    return [
        f"{violation['impact']} {violation['id']}: {violation['nodes'][0]['html'][:200]}"
        for violation in Axe().run(page, options=options).response["violations"]
    ]


def keep_picture(page: "Page", view: str, scheme: str, *, whole: bool = False) -> None:
    """Write what is shown into $LOOKRIGHT_SCREENSHOTS, if it is set: somebody has to look at it.

    Args:
        page: as it is now
        view: what it shows
        scheme: light or dark
        whole: also what one has to scroll to
    """
    if folder := os.environ.get("LOOKRIGHT_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        width = page.viewport_size["width"] if page.viewport_size else 0
        name = re.sub(r"\W+", "-", f"{view} {width} {scheme}")
        page.screenshot(path=Path(folder, f"{name}.png"), full_page=whole)


def complaints(browser: "Browser", address: str, view: str, **options: object) -> list[str]:
    """Rule and the first element of each violation, on the light and the dark page.

    Args:
        browser: the browser
        address: of the page
        view: what it is called
        options: of the browser's context, such as its size
    """
    found = []
    for scheme in ("light", "dark"):
        context = browser.new_context(bypass_csp=True, color_scheme=scheme, **options)
        page = context.new_page()
        page.goto(address)
        page.wait_for_load_state("networkidle")
        keep_picture(page, view, scheme, whole=True)
        found += [f"{scheme}: {violation}" for violation in violations(page)]
        context.close()
    return found


def check_names_and_headings(page: "Page") -> None:
    """Every control has a name, every picture a text; headings begin with one h1 and leave out no level."""
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("input, select, button, a, [tabindex='0']")].filter(
            (e) => !(e.labels?.length || e.innerText?.trim() || e.getAttribute("aria-label")
                || e.getAttribute("aria-labelledby"))).map((e) => e.outerHTML)"""
    )
    assert unnamed == []
    assert page.locator("img:not([alt])").count() == 0
    levels = page.locator("h1, h2, h3").evaluate_all("headings => headings.map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))

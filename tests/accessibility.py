"""What axe finds on a page: an automatic check of accessibility."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def complaints(browser: "Browser", address: str, **options: object) -> list[str]:
    """Rule and the first element of each violation, on the light and the dark page.

    Args:
        browser: the browser
        address: of the page
        options: of the browser's context, such as its size
    """
    from axe_playwright_python.sync_playwright import Axe

    found = []
    for scheme in ("light", "dark"):
        # axe is injected as a script, which the page's own policy rightly forbids.
        context = browser.new_context(bypass_csp=True, color_scheme=scheme, **options)
        page = context.new_page()
        page.goto(address)
        page.wait_for_load_state("networkidle")
        for violation in Axe().run(page).response["violations"]:
            element = violation["nodes"][0]["html"][:200]
            found.append(f"{scheme}: {violation['impact']} {violation['id']}: {element}")
        context.close()
    return found

"""What every page is made with: templates, and the fingerprint that lets its own script run and no other."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"


def environment(*templates: Path) -> Environment:
    """Give a jinja environment that escapes everything and knows no undefined name.

    Args:
        templates: folders of further templates, beside those of the report
    """
    return Environment(
        loader=FileSystemLoader([*templates, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def style() -> Markup:
    """The style sheet of all pages."""
    return Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))


def script_hash(script: str) -> str:
    """The fingerprint of a script, as a Content-Security-Policy names it.

    Example:
        >>> script_hash("")
        'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='
    """
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"

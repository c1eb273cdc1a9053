"""JSON answers for names of files that are no valid text."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import JSONResponse


class Json(JSONResponse):
    """JSON in ASCII: a file may be called by bytes that are no UTF-8, and these can only be escaped.

    Example:
        >>> Json({"name": "\\udcff.png"}).body
        b'{"name":"\\\\udcff.png"}'
    """

    def render(self, content: Any) -> bytes:
        """Give the body."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")

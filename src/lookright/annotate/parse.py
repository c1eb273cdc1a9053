"""What requests say: numbers, versions, bodies; anything else is refused with a sentence."""

from __future__ import annotations

import json
import re
from typing import Any

from starlette.requests import Request

from lookright.annotate.refused import RefusedError
from lookright.annotate.store import NOTHING, OPEN, SKIPPED

_WHOLE = re.compile(r"[0-9]{1,9}")
_VERSION = re.compile(r'"?([0-9]{1,9})"?')
_SETTABLE = (NOTHING, SKIPPED, OPEN)
_MAX_JSON = 1000
_INDEX_BYTES = 10
"""Of one index in a list, with its comma."""


def index_of(request: Request, images: int) -> int:
    """The image of an address.

    Args:
        request: /api/images/INDEX...
        images: how many there are

    Raises:
        RefusedError: 404, there is none of this index.
    """
    text = request.path_params["index"]
    if not _WHOLE.fullmatch(text) or int(text) >= images:
        raise RefusedError(404, f"there is no such image; they are numbered from 0 to {images - 1}")
    return int(text)


def whole(request: Request, name: str, default: int, low: int, high: int) -> int:
    """A whole number of the query.

    Args:
        request: ?name=...
        name: of the number
        default: where it is not given
        low: least
        high: largest

    Raises:
        RefusedError: 400, it is none, or out of the range.
    """
    text = request.query_params.get(name, str(default))
    if text != str(default) and not (_WHOLE.fullmatch(text) and low <= int(text) <= high):
        raise RefusedError(400, f"{name}: give a whole number from {low} to {high}")
    return int(text)


def share(request: Request, name: str, default: float, low: float, high: float) -> float:
    """A share of the query; otherwise as `whole`."""
    try:
        value = float(request.query_params.get(name, default))
    except ValueError:
        value = -1.0
    if not low <= value <= high:  # also true of NaN
        raise RefusedError(400, f"{name}: give a share from {low} to {high}")
    return value


def version_of(request: Request) -> int:
    """The version that a write was made from.

    Raises:
        RefusedError: 400, If-Match does not say it.
    """
    found = _VERSION.fullmatch(request.headers.get("if-match", ""))
    if found is None:
        raise RefusedError(400, 'If-Match: give the version that this was made from, such as "3"')
    return int(found[1])


async def read_body(request: Request, limit: int) -> bytes:
    """The body of a request, never more than a limit of it in memory.

    Args:
        request: with a body
        limit: in bytes

    Raises:
        RefusedError: 413, it is longer.
    """
    too_long = RefusedError(413, f"the body is longer than {limit:,} bytes")
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or len(length) > 15 or int(length) > limit:
        raise too_long
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise too_long
    return bytes(body)


async def read_indices(request: Request, images: int) -> set[int]:
    """The indices of images that a body of JSON lists: a query has no room for ten thousand.

    Args:
        request: with a body such as [0, 12]
        images: how many there are

    Raises:
        RefusedError: 400 or 413, it is no such list.
    """
    content = _parsed(await read_body(request, _MAX_JSON + _INDEX_BYTES * images))
    if not isinstance(content, list) or not all(type(index) is int for index in content):
        raise RefusedError(400, "send a list of indices, such as [0, 12]")
    return set(content)


async def read_status(request: Request) -> str:
    """The status that a body of JSON asks for.

    Raises:
        RefusedError: 400 or 413, it asks for none.
    """
    content = _parsed(await read_body(request, _MAX_JSON))
    status = content.get("status") if isinstance(content, dict) else None
    if status not in _SETTABLE:
        raise RefusedError(400, f'status: send {{"status": ...}} with one of {", ".join(_SETTABLE)}')
    return str(status)


def _parsed(body: bytes) -> Any:
    """What JSON says; None where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None

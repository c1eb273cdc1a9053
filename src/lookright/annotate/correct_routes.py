"""What the page asks of a correction: start it, see how far it is, cancel it."""

from __future__ import annotations

from functools import partial

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lookright.annotate.correct import Corrections
from lookright.annotate.json_response import Json


def correction_routes(corrections: Corrections) -> list[Route]:
    """Make the routes of /api/correct.

    Args:
        corrections: what they ask
    """

    async def start(_: Request) -> Response:
        await to_thread.run_sync(corrections.start)  # it reads marks
        return Json(corrections.told(), 202)

    def told(_: Request) -> Response:
        return Json(corrections.told())

    async def cancel(_: Request) -> Response:
        await to_thread.run_sync(corrections.cancel)
        return Json(corrections.told())

    route = partial(Route, "/api/correct")
    return [route(told), route(start, methods=["POST"]), route(cancel, methods=["DELETE"])]

"""What the page asks where all marks to start with are accepted: start it, see how far it is, stop it."""

from __future__ import annotations

from functools import partial

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lookright.annotate.accept import AcceptAll
from lookright.annotate.correct import Corrections
from lookright.annotate.json_response import Json


def accept_routes(accepting: AcceptAll, corrections: Corrections) -> list[Route]:
    """Make the routes of /api/accept.

    Args:
        accepting: what they ask
        corrections: told that something is marked
    """

    async def start(_: Request) -> Response:
        await to_thread.run_sync(accepting.start)
        await to_thread.run_sync(corrections.prepare)
        return Json(accepting.told(), 202)

    def told(_: Request) -> Response:
        return Json(accepting.told())

    async def cancel(_: Request) -> Response:
        await to_thread.run_sync(accepting.cancel)
        return Json(accepting.told())

    route = partial(Route, "/api/accept")
    return [route(told), route(start, methods=["POST"]), route(cancel, methods=["DELETE"])]

"""The server's addresses: the page, its files, and the API; and how it says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from lookright.annotate.accept import AcceptAll
from lookright.annotate.accept_routes import accept_routes
from lookright.annotate.api import Api
from lookright.annotate.correct import Corrections
from lookright.annotate.correct_routes import correction_routes
from lookright.annotate.json_response import Json
from lookright.annotate.project import Project
from lookright.annotate.refused import RefusedError
from lookright.annotate.security import Access, Guard
from lookright.errors import LookrightError

if TYPE_CHECKING:  # with a model alone: its libraries take seconds to load
    from lookright.annotate.look import Looking

PAGE = Path(__file__).parent / "page"
"""Folder of the page's files."""

_INDEX = "index.html"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_META = re.compile(r'(<meta name="(token|project)" content=")[^"]*(")')
_NO_PAGE = "lookright annotate is running; its page is not installed."


def create_app(
    project: Project,
    access: Access,
    looking: Looking | None = None,
    *,
    corrections: Corrections | None = None,
    accepting: AcceptAll | None = None,
    follow_links: bool = True,
    page: Path = PAGE,
) -> Guard:
    """Make the application that serves one project.

    Args:
        project: what is annotated
        access: who may ask
        looking: a model beside the photos
        corrections: what the button Correct starts; whoever gives it closes it
        accepting: what accepts marks to start with; likewise
        follow_links: show photos that are links out of the data folder
        page: folder of the page's files; those that are there now are served, no other
    """
    corrections = Corrections(project, looking) if corrections is None else corrections
    api = Api(project, looking, corrections, follow_links=follow_links)
    files = {file.name: file for file in page.glob("*") if file.suffix in _TYPES and file.is_file()}

    told = {"token": access.write_token, "project": project.fingerprint}

    def index(_: Request) -> Response:
        if not (page / _INDEX).is_file():
            return PlainTextResponse(_NO_PAGE)
        html = (page / _INDEX).read_text(encoding="utf-8")
        filled = _META.sub(lambda found: found[1] + told[found[2]] + found[3], html)
        return Response(filled, media_type="text/html; charset=utf-8")

    def static(request: Request) -> Response:
        file = files.get(request.path_params["name"])
        if file is None:
            raise RefusedError(404, "there is no such file")
        return Response(file.read_bytes(), media_type=_TYPES[file.suffix])

    image = "/api/images/{index}"
    handlers: Mapping[Any, Any] = {
        RefusedError: _refused,
        LookrightError: _unreadable,
        OSError: _unreadable,
        HTTPException: _not_found,
        ClientDisconnect: _gone,
        Exception: _broken,
    }
    app = Starlette(
        routes=[
            Route("/", index),
            Route("/static/{name}", static),
            Route("/api/session", api.session),
            Route("/api/images", api.images),
            Route(image, api.image),
            Route(f"{image}/photo", api.photo),
            Route(f"{image}/thumbnail", api.thumbnail),
            Route(f"{image}/map", api.map),
            Route(f"{image}/region", api.region),
            Route(f"{image}/superpixels", api.superpixels),
            Route(f"{image}/marks", api.marks),
            Route(f"{image}/marks", api.put_marks, methods=["PUT"]),
            Route(f"{image}/status", api.put_status, methods=["PUT"]),
            Route("/api/next", api.next, methods=["POST"]),
            Route("/api/agreement", api.agreement),
            Route("/api/coco", api.coco),
            *accept_routes(AcceptAll(project) if accepting is None else accepting, corrections),
            *correction_routes(corrections),
        ],
        exception_handlers=handlers,
    )
    app.router.redirect_slashes = False
    return Guard(app, access)  # outermost: its headers are on every answer


def _refused(_: Request, error: RefusedError) -> Response:
    return Json({"error": error.sentence, **error.facts}, error.status)


def _unreadable(_: Request, error: Exception) -> Response:
    """A photo or a mask on the disk: the request was fine, and another one may be as well."""
    return Json({"error": str(error)}, 404)


def _not_found(_: Request, error: HTTPException) -> Response:
    return Json({"error": error.detail}, error.status_code, error.headers)


def _broken(_: Request, __: Exception) -> Response:
    return Json({"error": "lookright failed; the terminal tells more"}, 500)


def _gone(_: Request, __: ClientDisconnect) -> Response:
    return Response(status_code=400)  # nobody reads it

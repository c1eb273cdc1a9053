"""The API: what the page asks, and what it writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from lookright.annotate import superpixels
from lookright.annotate.coco import coco_parts
from lookright.annotate.compared import Compared
from lookright.annotate.correct import Corrections
from lookright.annotate.json_response import Json
from lookright.annotate.kept import Kept
from lookright.annotate.listed import asked_for, ways_told
from lookright.annotate.order import Prediction, teaching_order
from lookright.annotate.parse import index_of, read_body, read_indices, read_status, share, version_of, whole
from lookright.annotate.photos import Encoded, PhotoStore
from lookright.annotate.pixels import MAX_BYTES, decode_marks, encode_marks, has_marks
from lookright.annotate.project import Project
from lookright.annotate.refused import RefusedError
from lookright.annotate.store import NOTHING, OPEN, STATUSES, Written
from lookright.data.images import open_frame
from lookright.errors import DataError

if TYPE_CHECKING:  # with a model alone: its libraries take seconds to load
    from lookright.annotate.look import Looking

MOST_LISTED = 200

_PNG = "image/png"
_AT_ONCE = 2
"""Photos that are decoded at the same time: each may take hundreds of megabytes."""

_NO_PREDICTION = {"predicted": None, "probability": None, "right": None}
_SEGMENTS = 200
_MAPS = 200

T = TypeVar("T")


class Api:
    """Answers about one project. What takes long runs in threads, few at a time: writes get through.

    Args:
        project: what is annotated
        looking: a model beside it
        corrections: whose newest run has maps as well
        follow_links: show photos that are links out of the data folder
    """

    def __init__(
        self,
        project: Project,
        looking: Looking | None = None,
        corrections: Corrections | None = None,
        *,
        follow_links: bool = True,
    ) -> None:
        self.project = project
        self.looking = looking
        self.corrections = corrections
        self._compared = Compared(project)
        self._photos = PhotoStore(project.items, inside=None if follow_links else project.images.root)
        self._pictures = CapacityLimiter(_AT_ONCE)
        self._marks = CapacityLimiter(_AT_ONCE)
        self._slow = CapacityLimiter(1)
        self._segments = Kept[tuple[int, int]](_SEGMENTS)
        self._maps = Kept[tuple[str, int]](_MAPS)
        self._order: tuple[tuple[int, ...], list[int]] = ((), [])

    def session(self, _: Request) -> Response:
        """Whose marks these are, and how far they are."""
        project = self.project
        counts = Counter(project.layer.status(item.id) for item in project.items)
        return Json(
            {
                "annotator": project.annotator,
                "annotators": project.annotators(),
                "classes": project.images.classes,
                "images": len(project.items),
                "counts": {status: counts[status] for status in STATUSES},
                "has_model": self.looking is not None,
                # Before they are counted: once it is over, all are.
                "predicting": self.looking is not None and self.looking.is_predicting,
                "predicted": len(self._predictions),
                "ways": ways_told(self.looking),
                "data": project.images.root.resolve().name,
                "source": project.source,
                "to_accept": len(project.to_accept()),
            }
        )

    def images(self, request: Request) -> Response:
        """A part of the list of images."""
        offset = whole(request, "offset", 0, 0, 10**9 - 1)
        limit = whole(request, "limit", 100, 1, MOST_LISTED)
        holds = asked_for(request, self.project, self.looking, self.corrections)
        found = [index for index in range(len(self.project.items)) if holds(index)]
        rows = [self._row(index) for index in found[offset : offset + limit]]
        return Json({"total": len(found), "images": rows})

    async def image(self, request: Request) -> Response:
        """Everything about one image but its pixels."""
        index = self._index(request)
        return Json(await to_thread.run_sync(self._facts, index, limiter=self._marks))

    async def photo(self, request: Request) -> Response:
        """The photo."""
        return _picture(await self._draw(self._photos.photo, self._index(request)))

    async def thumbnail(self, request: Request) -> Response:
        """A small copy of it."""
        return _picture(await self._draw(self._photos.thumbnail, self._index(request)))

    async def map(self, request: Request) -> Response:
        """Where the model looks, as a layer to lie over the photo."""
        index = self._index(request)
        run, find = self._asked(request)
        make = partial(self._maps.get, (run, index), lambda: find().map(index, self._size(index)))
        return Response(await to_thread.run_sync(make, limiter=self._slow), media_type=_PNG)

    async def region(self, request: Request) -> Response:
        """Where it looks most, as a mask."""
        index, looking = self._index(request), self._model()
        part = share(request, "share", 0.15, 0.01, 0.5)
        content = await to_thread.run_sync(
            lambda: looking.region(index, self._size(index), part), limiter=self._slow
        )
        return Response(content, media_type=_PNG)

    async def superpixels(self, request: Request) -> Response:
        """Segments of the photo."""
        index = self._index(request)
        level = whole(request, "level", 3, 1, superpixels.LEVELS)
        path = self.project.items[index].path
        make = partial(self._segments.get, (index, level), partial(superpixels.draw, path, level))
        return Response(await to_thread.run_sync(make, limiter=self._slow), media_type=_PNG)

    async def marks(self, request: Request) -> Response:
        """The marks, and their version."""
        index = self._index(request)
        version, png = await to_thread.run_sync(self._read, index, limiter=self._marks)
        return Response(png, media_type=_PNG, headers={"ETag": f'"{version}"'})

    async def put_marks(self, request: Request) -> Response:
        """Save marks."""
        index, version = self._index(request), version_of(request)
        if request.headers.get("content-type", "").split(";")[0].strip().lower() != _PNG:
            raise RefusedError(415, "marks: send a PNG, with Content-Type: image/png")
        body = await read_body(request, MAX_BYTES)
        write = partial(self._write, index, body, version)
        return _written(await to_thread.run_sync(write, limiter=self._marks))

    async def put_status(self, request: Request) -> Response:
        """Save that there is nothing to mark, or that an image is skipped."""
        index, version = self._index(request), version_of(request)
        say = partial(self._say, index, await read_status(request), version)
        return _written(await to_thread.run_sync(say, limiter=self._marks))

    async def next(self, request: Request) -> Response:
        """The open image that teaches most, of those that the body does not leave out."""
        left_out = await read_indices(request, len(self.project.items))
        return Json({"index": await to_thread.run_sync(self._first_open, left_out)})

    def agreement(self, request: Request) -> Response:
        """How this person agrees with the others over all photos, as far as that is known by now."""
        if whole(request, "refresh", 0, 0, 1):
            self._compared.refresh()
        return Json(self._compared.told())

    def coco(self, _: Request) -> Response:
        """Everything that this person has marked, to be downloaded."""
        name = f"{self.project.annotator}.json"
        return StreamingResponse(
            coco_parts(self.project),
            media_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    @property
    def _predictions(self) -> Mapping[int, Prediction]:
        return self.looking.predictions if self.looking else {}

    def _asked(self, request: Request) -> tuple[str, Callable[[], Looking]]:
        """The model whose map is asked for: a name, and what finds it, which may take seconds."""
        which = request.query_params.get("of", "old")
        if which not in ("old", "new"):
            raise RefusedError(400, "of: give old or new")
        if which == "old":
            looking = self._model()
            return "", lambda: looking
        corrections = self.corrections
        run = corrections.run if corrections else None
        if corrections is None or run is None:
            raise RefusedError(404, "there is no corrected model yet")
        return run, partial(corrections.looking, run)

    def _model(self) -> Looking:
        if self.looking is None:
            raise RefusedError(404, "there is no model; start with --run RUN")
        return self.looking

    def _teaching_order(self) -> list[int]:
        # Copies: more comes in meanwhile.
        told = dict(self._predictions)
        unreasonable = dict(self.looking.unreasonable) if self.looking else {}
        ways = self.looking.ways if self.looking else {}
        known = len(told), len(unreasonable), len(ways)
        if self._order[0] != known:
            images = self.looking.images if self.looking else self.project.images
            self._order = known, teaching_order(images.items, told, len(images.classes), unreasonable, ways)
        return self._order[1]

    def _first_open(self, left_out: set[int]) -> int | None:
        order = self._teaching_order()
        return next((index for index in order if index not in left_out and self._is_open(index)), None)

    def _size(self, index: int) -> tuple[int, int]:
        return open_frame(self.project.items[index].path).size

    def _index(self, request: Request) -> int:
        index = index_of(request, len(self.project.items))
        self._photos.check(index)
        return index

    async def _draw(self, make: Callable[[int], T], index: int) -> T:
        return await to_thread.run_sync(make, index, limiter=self._pictures)

    def _is_open(self, index: int) -> bool:
        return self.project.layer.status(self.project.items[index].id) == OPEN

    def _row(self, index: int) -> dict[str, Any]:
        item = self.project.items[index]
        new = self.corrections.new if self.corrections else None
        return {
            "index": index,
            "id": item.id,
            "name": item.path.name,
            "label": self.project.label(index),
            "status": self.project.layer.status(item.id),
            "version": self.project.layer.version(item.id),
            "start": self.project.has_start(index),
            **(_prediction(self.looking, index) or _NO_PREDICTION),
            "new": _prediction(new, index),
        }

    def _facts(self, index: int) -> dict[str, Any]:
        item = self.project.items[index]
        width, height = self._size(index)
        more = {
            "split": item.split or None,
            "width": width,
            "height": height,
            "has_map": self.looking is not None,
            "others": self.project.others(index),
        }
        return self._row(index) | more

    def _read(self, index: int) -> tuple[int, bytes]:
        # The version first: if somebody writes in between, a write made from these marks is refused.
        version = self.project.layer.version(self.project.items[index].id)
        return version, encode_marks(self.project.marks(index))

    def _write(self, index: int, body: bytes, version: int) -> Written:
        item = self.project.items[index]
        marks = decode_marks(body, open_frame(item.path).size)
        written = _saving(partial(self.project.layer.put_marks, item.id, marks, version))
        if self.corrections is not None:
            self.corrections.prepare()
        return written

    def _say(self, index: int, status: str, version: int) -> Written:
        is_marked = status == NOTHING and has_marks(self.project.marks(index))
        item_id = self.project.items[index].id
        return _saving(partial(self.project.layer.put_status, item_id, status, version, is_marked=is_marked))


def _prediction(looking: Looking | None, index: int) -> dict[str, Any] | None:
    """What a model says of a photo; None where it has not seen it."""
    told = looking.predictions.get(index) if looking else None
    if looking is None or told is None:
        return None
    return {
        "predicted": looking.classes[told.predicted],
        "probability": round(told.probability, 4),
        "right": looking.is_right(index),
    }


def _saving(write: Callable[[], Written]) -> Written:
    try:
        return write()
    except DataError as error:
        raise RefusedError(507, str(error)) from error


def _written(written: Written) -> Response:
    return Json({"version": written.version, "status": written.status})


def _picture(picture: Encoded) -> Response:
    return Response(picture.content, media_type=picture.media_type)

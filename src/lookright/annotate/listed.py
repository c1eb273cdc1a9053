"""Which photos the list shows: filters by what is said of them, and by what the models make of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from lookright.annotate.correct import Corrections
from lookright.annotate.parse import whole
from lookright.annotate.project import Project
from lookright.annotate.refused import RefusedError
from lookright.annotate.store import STATUSES

if TYPE_CHECKING:  # with a model alone: its libraries take seconds to load
    from lookright.annotate.look import Looking

TO_ACCEPT = "to-accept"
"""Asked for as a status: open photos with marks to start with."""

WRONG = "wrong"
CHANGED = "changed"

_WAY = re.compile(r"([0-9]{1,6})\.([0-9]{1,6})")
_MOST_WAYS = 100
"""That are offered: a list to choose from."""

Holds = Callable[[int], bool]


def asked_for(
    request: Request, project: Project, looking: Looking | None, corrections: Corrections | None
) -> Holds:
    """What a photo of the list has to be.

    Args:
        request: ?status=, ?class= (its index), ?name= (a part of the file's), ?model= (wrong, changed, or
            CLASS.WAY of `ways_told`); one that is missing or empty counts for nothing
        project: of the photos
        looking: the model beside them
        corrections: whose newest run may have changed what is predicted

    Returns:
        whether the photo at a position is so

    Raises:
        RefusedError: 400, there is no such status, class or way.
    """
    label = whole(request, "class", -1, 0, max(len(project.images.classes) - 1, 0))
    # Not the class's name: an address has no way to say one that is no valid text.
    held = [
        _status(project, request.query_params.get("status", "")),
        None if label < 0 else lambda index: project.items[index].label == label,
        _name(project, request.query_params.get("name", "").strip().casefold()),
        _model(looking, corrections, request.query_params.get("model", "")),
    ]
    asked = [holds for holds in held if holds is not None]
    return lambda index: all(holds(index) for holds in asked)


def ways_told(looking: Looking | None) -> list[dict[str, Any]]:
    """The ways in which a model looks at the photos, named as an audit names its groups.

    Args:
        looking: the model

    Returns:
        of each way that several photos show, and of the largest if they are many: what `asked_for` takes, a
        name, and how many photos
    """
    if looking is None:
        return []
    found = Counter(
        (told.predicted, way)
        for index, way in looking.ways.items()
        if way >= 0 and (told := looking.predictions.get(index)) is not None
    )
    listed = sorted(pair for pair, _ in found.most_common(_MOST_WAYS))
    return [
        {
            "value": f"{predicted}.{way}",
            "name": f"{looking.classes[predicted]} #{way + 1}",
            "images": found[predicted, way],
        }
        for predicted, way in listed
    ]


def _status(project: Project, status: str) -> Holds | None:
    if not status:
        return None
    if status == TO_ACCEPT:
        return project.is_to_accept
    if status not in STATUSES:
        raise RefusedError(400, f"status: give one of {', '.join(STATUSES)}, {TO_ACCEPT}")
    return lambda index: project.layer.status(project.items[index].id) == status


def _name(project: Project, part: str) -> Holds | None:
    if not part:
        return None
    if "/" in part:
        return lambda index: part in project.items[index].id.casefold()
    return lambda index: part in project.items[index].path.name.casefold()


def _model(looking: Looking | None, corrections: Corrections | None, what: str) -> Holds | None:
    if not what:
        return None
    way = _WAY.fullmatch(what)
    if way is None and what not in (WRONG, CHANGED):
        raise RefusedError(400, f"model: give {WRONG}, {CHANGED}, or CLASS.WAY in numbers, such as 0.1")
    if looking is None:
        raise RefusedError(400, "model: there is none; start with --run RUN")
    if what == WRONG:
        return lambda index: looking.is_right(index) is False
    if way is None:
        changed = corrections.changed() if corrections is not None else set()
        return changed.__contains__
    predicted, number = int(way[1]), int(way[2])
    found = {index for index, shown in looking.ways.items() if shown == number}

    def shows(index: int) -> bool:
        told = looking.predictions.get(index)
        return index in found and told is not None and told.predicted == predicted

    return shows

"""Label Studio json exports: rectangles, polygons, ellipses, brushes, bitmasks and keypoints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookright.config import DataConfig
from lookright.data.annotations import Marks, Problem, Shapes
from lookright.data.annotators import Annotators, Combination
from lookright.data.layout import Photos
from lookright.data.readers.label_studio_photos import TaskPhotos
from lookright.data.readers.label_studio_regions import labels_of, read_regions
from lookright.data.readers.sources import Categories, annotation_files, missing_photos, read_json

_LISTS = ("annotations", "completions")
"""What a task calls its annotations; the second one in old exports"""


def read_label_studio(photos: Photos, config: DataConfig) -> tuple[dict[str, Marks], list[Problem]]:
    """Read exports of image tasks, JSON or JSON-MIN: `annotations/*.json` or `config.annotations`.

    The format: https://labelstud.io/guide/export

    Everybody who completed an annotation of a task is an annotator of its photo: where several people
    annotated, their marks are combined as `config.combine` says. Of several annotations by one person the
    latest counts. Cancelled annotations and predictions are passed over. An image is annotated if an
    annotation holds at least one region of a wanted label.

    Raises:
        DataError: there is no json file.
    """
    categories = Categories.of(config)
    top, files = annotation_files(config, photos, ".json", ("annotations", "annotations.json"))
    names = TaskPhotos(photos)
    drawn: dict[str, dict[str, Shapes]] = defaultdict(dict)
    owners: dict[str, tuple[Path, str]] = {}
    problems: list[Problem] = []
    present: set[str] = set()
    for file in files:
        content, problem = read_json(file)
        tasks = None if problem else _tasks(content)
        if tasks is None:
            what = "not a Label Studio export: it needs a list of tasks with 'data' and 'annotations'"
            problems.append(problem or Problem(file, what, "export it as 'JSON'", fatal=True))
            continue
        absent: list[str] = []
        for task in tasks:
            photo = names.find(task.data, file, f"task {task.number}: ")
            if isinstance(photo, str):
                absent.append(photo)
                continue
            if isinstance(photo, Problem):
                problems.append(photo)
                continue
            if owners.setdefault(photo.id, (file, task.number)) != (file, task.number):
                what = f"task {task.number}: {photo.id} has another task already"
                problems.append(Problem(file, what, "keep one of the two", fatal=True))
            for person, results in task.annotations.items():
                present |= labels_of(results)
                source = f"{file}, task {task.number}"
                shapes, more = read_regions(results, categories, file, source)
                problems += more
                if shapes is not None:
                    drawn[photo.id][person] = shapes
        problems += missing_photos(file, absent, len(tasks), photos, "the image of each task")
    return _combined(drawn, Combination(config.combine)), categories.problems(present, top) + problems


def _combined(drawn: dict[str, dict[str, Shapes]], combination: Combination) -> dict[str, Marks]:
    """Marks of the one person who annotated, or of several who are told apart."""
    if len({person for by_person in drawn.values() for person in by_person}) < 2:
        return {photo_id: shapes for photo_id, by_person in drawn.items() for shapes in by_person.values()}
    return {
        photo_id: Annotators(tuple(by_person.values()), combination, tuple(by_person))
        for photo_id, by_person in drawn.items()
    }


@dataclass(frozen=True)
class _Task:
    """An image, and the regions that each person drew on it."""

    number: str
    data: dict[str, Any]
    """what was imported: among it the image"""
    annotations: dict[str, list[Any]]
    """person -> results"""


def _tasks(content: object) -> list[_Task] | None:
    """The annotated tasks of an export; None if it is none."""
    given = content if isinstance(content, list) else [content]
    rows: list[dict[str, Any]] = [row for row in given if isinstance(row, dict)]
    if len(rows) < len(given):
        return None
    if all(isinstance(row.get("data"), dict) and _list_of(row) is not None for row in rows):
        tasks = [
            _Task(str(row.get("id", at)), row["data"], _by_person(row)) for at, row in enumerate(rows, 1)
        ]
    elif all("annotation_id" in row or "lead_time" in row or _flat_results(row) for row in rows):
        tasks = _flat_tasks(rows)
    else:
        return None
    return [task for task in tasks if task.annotations]


def _list_of(row: dict[str, Any]) -> list[Any] | None:
    return next((row[name] for name in _LISTS if isinstance(row.get(name), list)), None)


def _by_person(row: dict[str, Any]) -> dict[str, list[Any]]:
    """The latest annotation of each person that was not cancelled."""
    done = [
        annotation
        for annotation in _list_of(row) or ()
        if isinstance(annotation, dict)
        and isinstance(annotation.get("result"), list)
        and not annotation.get("was_cancelled")
    ]
    done.sort(key=lambda annotation: str(annotation.get("updated_at") or annotation.get("created_at") or ""))
    return {
        _person(annotation.get("completed_by"), at): annotation["result"]
        for at, annotation in enumerate(done, start=1)
    }


def _person(value: object, position: int) -> str:
    """The name of an annotator, who is a number, or written out with an e-mail address.

    Args:
        value: what the export says
        position: of the annotation in its task, for one of which it says nothing
    """
    if isinstance(value, dict):
        value = value.get("email") or value.get("id")
    return f"annotator {position}" if value is None else str(value)


def _flat_tasks(rows: Iterable[dict[str, Any]]) -> list[_Task]:
    """Tasks of JSON-MIN, which has a row for every annotation."""
    tasks: dict[str, _Task] = {}
    for at, row in enumerate(rows, start=1):
        number = str(row.get("id", at))
        task = tasks.setdefault(number, _Task(number, row, {}))
        person = _person(row.get("annotator"), len(task.annotations) + 1)
        if results := _flat_results(row):
            task.annotations[person] = results
    return list(tasks.values())


def _flat_results(row: dict[str, Any]) -> list[Any]:
    """Regions of a row of JSON-MIN, as results of JSON: those that have labels."""
    return [
        {**region, "type": kind, "value": region}
        for regions in row.values()
        if isinstance(regions, list)
        for region in regions
        if isinstance(region, dict)
        and (kind := next((key for key in region if key.endswith("labels")), None))
    ]

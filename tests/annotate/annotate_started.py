"""Starts `lookright annotate` on a folder and asks what its page asks first.

Prints what was loaded when the address was told, and which photos were opened.
"""

import json
import sys
from typing import Any

from lookright.annotate import serve
from lookright.annotate.app import create_app
from lookright.annotate.project import Project
from lookright.cli import annotate, main

HEAVY = {"torch", "torchvision", "timm", "sklearn", "scipy", "skimage", "pandas", "matplotlib"}

opened: list[str] = []
told: dict[str, Any] = {"opened": opened}
projects: list[Project] = []


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and str(arguments[0]).endswith(".jpg"):
        opened.append(str(arguments[0]))


def say(line: str) -> None:
    if line.startswith("Open "):
        told["loaded"] = sorted(HEAVY & set(sys.modules))


def make(project: Project, *arguments: Any, **options: Any) -> Any:
    projects.append(project)
    return create_app(project, *arguments, **options)


def ask(*_: object, **__: object) -> None:
    from annotate_made import Page

    page = Page(projects[0])
    told["images"] = page.get("session")["images"]
    assert page.get("images", limit=200, offset=told["images"] - 100)["total"] == told["images"]
    assert page.next() is not None


if __name__ == "__main__":
    sys.addaudithook(watch)
    annotate.say = say
    serve.create_app = make
    serve.uvicorn.Server.run = ask
    main(["annotate", sys.argv[1], "--no-browser", "--port", "0", "--annotator", "anna"])
    sys.stdout.write(json.dumps(told))

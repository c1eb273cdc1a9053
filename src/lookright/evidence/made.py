"""Data sets that a grid makes before its runs: those of `lookright data prepare`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from lookright.config import option_name, path_options
from lookright.data.prepare import DATA_SETS
from lookright.errors import ConfigError
from lookright.evidence.reading import Options, expand, mapping_of, no_such, refuse_unknown
from lookright.files import replacing
from lookright.prepare_config import PrepareConfig


def check_recipe(name: str, content: object) -> Options:
    """Check what a grid says of a data set that is to be made.

    Args:
        name: of the set
        content: `set`, which is a NAME of `lookright data prepare`, and its options

    Raises:
        ConfigError: a name that there is not.

    Example:
        >>> check_recipe("digits", {"set": "digits", "per_class_train": 10})
        {'set': 'digits', 'per_class_train': 10}
    """
    where = f"prepare: {name}"
    given = mapping_of(where, content)
    kind = str(given.get("set"))
    if kind not in DATA_SETS:
        raise ConfigError(f"{where}: set: {no_such('data set', kind, DATA_SETS)}")
    refuse_unknown(where, "option", given, ("set", *_options_of(DATA_SETS[kind].config)))
    return given


def make_sets(recipes: Mapping[str, Options], folder: Path) -> None:
    """Make the data sets that are not there, or were made by another recipe.

    Args:
        recipes: name -> what `check_recipe` gave, one made of another after it
        folder: each becomes a folder in it

    Raises:
        ConfigError, DataError: see their messages.
    """
    for name, recipe in recipes.items():
        note = folder / f"{name}.json"
        told = json.dumps(ingredients(name, recipes), sort_keys=True, default=str)
        if (folder / name).is_dir() and note.is_file() and note.read_text(encoding="utf-8") == told:
            continue
        note.unlink(missing_ok=True)
        try:
            _make(recipe, folder / name, recipes)
        except (ConfigError, TypeError) as error:
            raise ConfigError(f"prepare: {name}: {error}") from error
        with replacing(note) as temporary:  # last: it says that the set is whole
            temporary.write_text(told, encoding="utf-8")


def ingredients(name: str, recipes: Mapping[str, Options]) -> list[Options]:
    """The recipe of a set, and those of the sets that it is made of; none where it is not made here.

    Example:
        >>> recipes = {"a": {"set": "digits"}, "b": {"set": "decoy", "from": "a"}}
        >>> ingredients("b", recipes), ingredients("photos", recipes)
        ([{'set': 'decoy', 'from': 'a'}, {'set': 'digits'}], [])
    """
    if name not in recipes:
        return []
    others = {key: recipe for key, recipe in recipes.items() if key != name}
    used = [each for value in recipes[name].values() for each in ingredients(str(value), others)]
    return [recipes[name], *used]


def sources(recipes: Mapping[str, Options]) -> set[str]:
    """Files and folders that sets are made of, as recipes name them, but those that are made here.

    Example:
        >>> sources({"a": {"set": "decoy", "from": "photos"}, "b": {"set": "decoy", "from": "a"}})
        {'photos'}
    """
    named = {
        str(recipe[key])
        for recipe in recipes.values()
        for key in map(option_name, path_options(DATA_SETS[recipe["set"]].config))
        if recipe.get(key) is not None
    }
    return named - set(recipes)


def _make(recipe: Options, out: Path, recipes: Mapping[str, Options]) -> None:
    options = {key: value for key, value in recipe.items() if key != "set"}
    config, make = DATA_SETS[recipe["set"]]
    paths = path_options(config)
    values: dict[str, Any] = {}
    for f in fields(config):
        if (key := option_name(f.name)) in options:
            value = options[key]
            if value is not None and f.name in paths:
                made = str(value) in recipes
                value = out.parent / str(value) if made else Path(expand(key, str(value)))
            values[f.name] = value
    make(config(**values | {"out": out, "overwrite": True}))


def _options_of(config: type[PrepareConfig]) -> list[str]:
    unknown = ("out", "overwrite", *config.lacks)
    return [option_name(f.name) for f in fields(config) if f.name not in unknown]

"""Imports what users name by a dotted path, and makes things from names and options, with clear errors."""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from lookright.errors import ConfigError, LookrightError


class MissingModuleError(ConfigError):
    """A path names a module that there is not, so it may have been meant as something else."""

    reason: str = ""
    """the message without argument and path"""


def is_dotted(name: str) -> bool:
    """Whether a name is a path to something of the user's (module.Name, module:Name), none of ours.

    Example:
        >>> is_dotted("my_module.MyLoss"), is_dotted("my_module:MyLoss"), is_dotted("res-g")
        (True, True, False)
    """
    return "." in name or ":" in name


def unknown_name(argument: str, name: str, known: Iterable[str], own: str) -> ConfigError:
    """Say that there is no such name: what is close, and what there is.

    Args:
        argument: name of the option, for the message
        name: what the user wrote
        known: the names there are
        own: what else can be given

    Example:
        >>> print(unknown_name("method", "resg", ["res-g", "rrr"], "a loss of your own as module.Class"))
        method: got 'resg' (close: res-g), choose one of res-g, rrr, or a loss of your own as module.Class
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=3)
    hint = f" (close: {', '.join(near)})" if near else ""
    return ConfigError(f"{argument}: got '{name}'{hint}, choose one of {', '.join(known)}, or {own}")


def load(argument: str, path: str) -> object:
    """Import the thing that a path names.

    Modules in the current folder are found too. It is searched last, and only during the import: an
    installed module (or one of Python's own) wins over a file of the same name here.

    Args:
        argument: name of the option that the path was given for, for the message
        path: 'module.sub:Name' or 'module.sub.Name'

    Raises:
        MissingModuleError: there is no such module; a ConfigError.
        ConfigError: the path is none, importing the module failed, or the module has no such name.

    Example:
        >>> load("method", "fractions:Fraction")
        <class 'fractions.Fraction'>
    """
    module_name, _, name = path.rpartition(":" if ":" in path else ".")
    if not name or not all(module_name.split(".")):
        raise ConfigError(f"{argument}: got '{path}', expected module.Name or module:Name")
    try:
        with _current_folder():
            module = importlib.import_module(module_name)
            if hasattr(module, name):
                return getattr(module, name)
    except (Exception, SystemExit) as error:  # SystemExit: a script that parses its own arguments
        missing = _missing(error, module_name)
        if missing is not None:
            raise _no_module(argument, path, missing) from error
        raise ConfigError(f"{argument}: importing '{module_name}' failed: {told(error)}") from error
    near = difflib.get_close_matches(name, dir(module), n=3)
    hint = f"; close: {', '.join(near)}" if near else ""
    raise ConfigError(f"{argument}: module '{module_name}' has no '{name}'{hint}{_hidden(module)}")


def check_kind(argument: str, path: str, thing: object, base: type) -> None:
    """Check that what a path named is a class of the kind that is needed.

    Args:
        argument: name of the option that the path was given for, for the message
        path: where the thing is from
        thing: as `load` gave it
        base: the class that it must derive from

    Raises:
        ConfigError: it is something else.

    Example:
        >>> check_kind("method", "json.dumps", load("method", "json.dumps"), Exception)
        Traceback (most recent call last):
        ...
        lookright.errors.ConfigError: method: json.dumps is a function; give a class derived from Exception
    """
    if isinstance(thing, type) and issubclass(thing, base):
        return
    raise ConfigError(f"{argument}: {path} is {_described(thing)}; give a class derived from {_public(base)}")


def make(
    argument: str,
    thing: object,
    options: Mapping[str, object],
    *,
    name: str | None = None,
    given: Mapping[str, object] | None = None,
) -> object:
    """Call a class or a function with the options that a user chose.

    Args:
        argument: name of the option that the thing was named by, for the messages
        thing: class or function
        options: the user's, by name
        name: of the thing as the user wrote it; by default its own
        given: arguments that it gets from us: never the user's to choose, so not among its options

    Raises:
        ConfigError: it cannot be called, it has no such option, it does not take what it is given, or the
            call raised an error that is none of ours.

    Example:
        >>> make("method", dict, {"power": 2})
        {'power': 2}
        >>> def cyborg(alpha=0.5, beta=1.0): ...
        >>> make("method", cyborg, {"alfa": 0.3})
        Traceback (most recent call last):
        ...
        lookright.errors.ConfigError: method: cyborg has no option 'alfa'; it has alpha, beta
    """
    name = name or getattr(thing, "__name__", type(thing).__name__)
    given = given or {}
    if not callable(thing):
        raise ConfigError(f"{argument}: {name} is {_described(thing)}; give a class or a function")
    taken = _keywords(thing)
    for option in options:
        if option in given or (taken is not None and option not in taken):
            known = [keyword for keyword in taken or () if keyword not in given]
            those = (
                f"; it has {', '.join(known)}" if known else ", nor any other" if taken is not None else ""
            )
            raise ConfigError(f"{argument}: {name} has no option '{option}'{those}")
    _check_kinds(argument, str(name), thing, options)
    refused = [keyword for keyword in given if taken is not None and keyword not in taken]
    if refused:
        raise ConfigError(
            f"{argument}: {name} must take the argument {', '.join(refused)}, which it is given"
        )
    try:
        return thing(**given, **options)
    except LookrightError:
        raise
    except Exception as error:
        call = ", ".join(f"{key}={_short(value)}" for key, value in {**given, **options}.items())
        raise ConfigError(f"{argument}: {name}({call}) failed: {told(error)}") from error


def told(error: BaseException) -> str:
    r"""Give an error in one line, with the line of the user's file that it comes from if that is known.

    Example:
        >>> told(ValueError("one\nand another"))
        'ValueError: one and another'
    """
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    here = Path.cwd()
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if file.is_relative_to(here) and "site-packages" not in file.parts and frame.filename != __file__:
            return f"{text} ({file.relative_to(here)}, line {frame.lineno})"
    return text


@contextmanager
def _current_folder() -> Iterator[None]:
    """Find modules in the current folder too, after all others, for as long as this lasts."""
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.append(here)
    try:
        yield
    finally:
        if added and here in sys.path:
            sys.path.remove(here)


def _missing(error: BaseException, module_name: str) -> str | None:
    """Name the part of a module's name that there is not; None if the import failed for another reason."""
    if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
        return error.name
    return None


def _no_module(argument: str, path: str, missing: str) -> MissingModuleError:
    parent, _, last = missing.rpartition(".")
    folders = getattr(sys.modules.get(parent), "__path__", []) if parent else [str(Path.cwd())]
    near = difflib.get_close_matches(last, [module.name for module in pkgutil.iter_modules(folders)], n=3)
    hint = f" (close: {', '.join(near)})" if near else ""
    reason = f"there is no module '{missing}' to import it from{hint}"
    where = f"; type the command in the folder of {missing}.py, or install it"
    remedy = "" if near or parent else where
    error = MissingModuleError(f"{argument}: '{path}': {reason}{remedy}")
    error.reason = reason
    return error


def _hidden(module: ModuleType) -> str:
    """A hint, if the module is not the file of that name in the current folder."""
    top = module.__name__.partition(".")[0]
    file = getattr(sys.modules.get(top), "__file__", None) or ""
    here = [path for path in (Path.cwd() / f"{top}.py", Path.cwd() / top / "__init__.py") if path.exists()]
    if not here or (file and Path(file).resolve() in [path.resolve() for path in here]):
        return ""
    return f"; it is {file or 'built in'} and hides {here[0]}: rename yours"


def _keywords(thing: object) -> list[str] | None:
    """Arguments that can be given by name; None if any can, or if that cannot be known."""
    try:
        parameters = inspect.signature(thing).parameters.values()  # type: ignore[arg-type]  # anything: see except
    except (TypeError, ValueError):  # built-in
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [parameter.name for parameter in parameters if parameter.kind in named]


def _check_kinds(argument: str, name: str, thing: object, options: Mapping[str, object]) -> None:
    """Refuse a word for a number, and anything but true or false for a switch."""
    try:
        parameters = inspect.signature(thing).parameters  # type: ignore[arg-type]  # anything: see except
    except (TypeError, ValueError):  # built-in
        return
    for option, value in options.items():
        default = parameters[option].default if option in parameters else None
        if isinstance(default, bool):
            need = "" if isinstance(value, bool) else "true or false"
        else:
            need = "a number" if isinstance(default, int | float) and isinstance(value, bool | str) else ""
        if need:
            raise ConfigError(f"{argument}: {name}({option}={value!r}): need {need}")


def _described(thing: object) -> str:
    if isinstance(thing, type):
        return "a class of another kind"
    if inspect.isroutine(thing):
        return "a function"
    if inspect.ismodule(thing):
        return "a module"
    return f"an object of type {type(thing).__name__}"


def _public(kind: type) -> str:
    """Where a class is imported from: the shortest package that has it, ours being `lookright.PART`."""
    parts = kind.__module__.split(".")
    for length in range(min(2, len(parts)), len(parts) + 1):
        module = ".".join(parts[:length])
        if getattr(sys.modules.get(module), kind.__name__, None) is kind:
            return kind.__name__ if module == "builtins" else f"{module}.{kind.__name__}"
    return f"{kind.__module__}.{kind.__qualname__}"


def _short(value: object) -> str:
    is_plain = value is None or isinstance(value, bool | int | float | str | list | tuple)
    return repr(value) if is_plain else "..."

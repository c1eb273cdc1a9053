import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from lookright.errors import ConfigError, DataError
from lookright.explainers import Explainer
from lookright.plugins import MissingModuleError, check_kind, is_dotted, load, make

FILES = {
    "lr_good.py": """
        class MyLoss:
            def __init__(self, power=2, *, kind="match"):
                if power == 0:
                    raise ValueError("power:\\n  must not be 0")
                self.power = power

        def function(alpha, beta=1.0): ...

        nothing = None
        """,
    "lr_name.py": "import math\nx = undefined_name\n",
    "lr_syntax.py": "def f(:\n",
    "lr_needs.py": "import lr_library_that_is_not_there\n",
    "lr_exits.py": "import sys\nsys.exit(3)\n",
    "lr_helper.py": "value = 5\n",
    "lr_imports_helper.py": "from lr_helper import value\n",
    "lr_pack/__init__.py": "",
    "lr_pack/losses.py": "class Deep: ...\n",
    "fractions.py": "class Fraction:\n    mine = True\n\nclass MyFraction: ...\n",
    "my-net.py": "def build(): ...\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a user's modules."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    for module in [name for name in sys.modules if name.startswith(("lr_", "my-net"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "dotted"),
    [("res-g", False), ("grad_cam", False), ("a.B", True), ("a:B", True), ("a.b:C", True)],
)
def test_what_is_a_path(name: str, dotted: bool) -> None:
    assert is_dotted(name) is dotted


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("lr_good.MyLoss", "MyLoss"),
        ("lr_good:MyLoss", "MyLoss"),
        ("lr_pack.losses.Deep", "Deep"),
        ("lr_pack.losses:Deep", "Deep"),
        ("my-net:build", "build"),
    ],
)
def test_things_in_the_current_folder(folder: Path, path: str, name: str) -> None:
    before = list(sys.path)
    thing = load("method", path)
    assert thing.__name__ == name
    assert sys.path == before
    assert load("method", path) is thing


def test_a_module_that_imports_its_neighbour(folder: Path) -> None:
    assert load("method", "lr_imports_helper.value") == 5


def test_the_installed_module_wins(folder: Path) -> None:
    assert not hasattr(load("method", "fractions.Fraction"), "mine")
    with pytest.raises(ConfigError, match=r"'fractions' has no 'MyFraction'; .*fractions.py: rename yours"):
        load("method", "fractions.MyFraction")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("lr_good.MyLos", r"method: module 'lr_good' has no 'MyLos'; close: MyLoss$"),
        ("lr_good.Zzz", r"method: module 'lr_good' has no 'Zzz'$"),
        ("lr_godo.MyLoss", r"'lr_godo.MyLoss': there is no module 'lr_godo' to import it .*close: lr_good"),
        ("lr_pack.loses.Deep", r"there is no module 'lr_pack.loses' to import it from \(close: losses\)$"),
        ("lr_good.MyLoss.power", r"there is no module 'lr_good.MyLoss' to import it from$"),
        ("zz_top.sub.Name", r"no module 'zz_top' .* from; type the command in the folder of zz_top.py"),
        ("lr_name.MyLoss",
         r"^method: importing 'lr_name' failed: NameError: name 'undefined_name' .* \(lr_name.py, line 2\)$"),
        ("lr_syntax.MyLoss", r"importing 'lr_syntax' failed: SyntaxError: .*\(lr_syntax.py, line 1\)$"),
        ("lr_needs.MyLoss",
         r"'lr_needs' failed: ModuleNotFoundError: .*'lr_library_that_is_not_there' \(lr_needs.py, line 1"),
        ("lr_exits.MyLoss", r"importing 'lr_exits' failed: SystemExit: 3 \(lr_exits.py, line 2\)$"),
        *((path, f"method: got '{path}', expected module.Name or module:Name$")
          for path in (":build", "lr_good.", "lr_good:", ".MyLoss", "lr_pack..Deep", ".lr_good:MyLoss")),
    ],
)  # fmt: skip
def test_paths_that_do_not_import(folder: Path, path: str, message: str) -> None:
    before = list(sys.path)
    with pytest.raises(ConfigError, match=message) as caught:
        load("method", path)
    assert "\n" not in str(caught.value)
    assert sys.path == before


def test_a_missing_module_says_why_also_across_processes(folder: Path) -> None:
    with pytest.raises(MissingModuleError) as caught:
        load("method", "zz_top.Name")
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert error.reason == "there is no module 'zz_top' to import it from"
        assert str(error).startswith(f"method: 'zz_top.Name': {error.reason}; type the command")


class OwnExplainer(Explainer): ...


def test_the_right_kind() -> None:
    check_kind("explainer", "here.OwnExplainer", OwnExplainer, Explainer)
    check_kind("explainer", "lookright.explainers.Explainer", Explainer, Explainer)


@pytest.mark.parametrize(
    ("thing", "what"),
    [
        (test_what_is_a_path, "a function"),
        (len, "a function"),
        (sys, "a module"),
        (int, "a class of another kind"),
        (3, "an object of type int"),
    ],
)
def test_the_wrong_kind(thing: object, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_kind("explainer", "my_module.MyCAM", thing, Explainer)
    assert str(caught.value) == (
        f"explainer: my_module.MyCAM is {what}; give a class derived from lookright.explainers.Explainer"
    )


def takes(alpha: float = 0.5, *, beta: object = 1.0) -> tuple[float, object]:
    return alpha, beta


def takes_nothing() -> int:
    return 7


def takes_anything(first: int = 0, **others: object) -> dict[str, object]:
    return {"first": first, **others}


def takes_by_place(x: int = 0, /, y: int = 1, *rest: int) -> tuple[int, int]:
    return x, y


def takes_image_size(image_size: int, alpha: float = 0.5) -> tuple[int, float]:
    return image_size, alpha


@pytest.mark.parametrize(
    ("thing", "options", "given", "made"),
    [
        (takes, {}, {}, (0.5, 1.0)),
        (takes, {"beta": [2], "alpha": 0.3}, {}, (0.3, [2])),
        (takes_nothing, {}, {}, 7),
        (takes_anything, {"gamma": 1}, {"first": 2}, {"first": 2, "gamma": 1}),
        (takes_by_place, {"y": 3}, {}, (0, 3)),
        (takes_image_size, {"alpha": 0.1}, {"image_size": 32}, (32, 0.1)),
        (dict, {"a": 1}, {}, {"a": 1}),  # a built-in without a signature
    ],
)
def test_made_with_options(
    thing: object, options: dict[str, object], given: dict[str, object], made: object
) -> None:
    assert make("method", thing, options, given=given) == made


@pytest.mark.parametrize(
    ("thing", "options", "given", "message"),
    [
        (takes, {"alfa": 0.3}, {}, "method: takes has no option 'alfa'; it has alpha, beta"),
        (takes_nothing, {"a": 1}, {}, "method: takes_nothing has no option 'a', nor any other"),
        (takes_by_place, {"x": 1}, {}, "method: takes_by_place has no option 'x'; it has y"),
        (takes_image_size, {"image_size": 9}, {"image_size": 32},
         "method: takes_image_size has no option 'image_size'; it has alpha"),
        (takes_anything, {"first": 9}, {"first": 2}, "method: takes_anything has no option 'first'"),
        (takes, {}, {"image_size": 32}, "method: takes must take the argument image_size, which it is given"),
        (sys, {}, {}, "method: sys is a module; give a class or a function"),
        (3, {}, {}, "method: int is an object of type int; give a class or a function"),
    ],
)  # fmt: skip
def test_options_that_there_are_not(
    thing: object, options: dict[str, object], given: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make("method", thing, options, given=given)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("options", "need"),
    [
        ({"power": "much"}, "power='much'): need a number"),
        ({"power": True}, "power=True): need a number"),
        ({"sharp": 1}, "sharp=1): need true or false"),
        ({"sharp": "yes"}, "sharp='yes'): need true or false"),
    ],
)
def test_options_of_another_kind_than_their_defaults(options: dict[str, object], need: str) -> None:
    def loss(power: float = 1.0, *, sharp: bool = False, name: str | None = None) -> None: ...

    with pytest.raises(ConfigError) as caught:
        make("method", loss, options, name="mine")
    assert str(caught.value) == f"method: mine({need}"
    make("method", loss, {"power": 2, "sharp": True, "name": "x"})  # a whole number is one


def test_a_name_is_told_as_the_user_wrote_it() -> None:
    with pytest.raises(ConfigError, match=r"method: res-g has no option 'alfa'"):
        make("method", takes, {"alfa": 0.3}, name="res-g")


def test_a_constructor_that_fails(folder: Path) -> None:
    kind = load("method", "lr_good.MyLoss")
    with pytest.raises(ConfigError) as caught:
        make("method", kind, {"power": 0}, name="lr_good.MyLoss", given={"kind": object()})
    assert str(caught.value) == (
        "method: lr_good.MyLoss(kind=..., power=0) failed: "
        "ValueError: power: must not be 0 (lr_good.py, line 5)"
    )
    with pytest.raises(ConfigError, match=r"function\(\) failed: TypeError: .* argument: 'alpha'$"):
        make("method", load("method", "lr_good.function"), {})
    with pytest.raises(
        ConfigError, match=r"a.B\(network=...\) failed: TypeError: Can't instantiate abstract"
    ):
        make("explainer", OwnExplainer, {}, name="a.B", given={"network": object()})


@pytest.mark.parametrize("kind", [ConfigError, DataError])
def test_our_own_errors_stay_as_they_are(kind: Callable[[str], Exception]) -> None:
    error = kind("alpha: got 3, expected at most 1")

    def refuses() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        make("method", refuses, {})
    assert caught.value is error


def test_reading_and_importing_do_not_wait_for_torch() -> None:
    code = """
import sys
from lookright.plugins import load
from lookright.specification import parse_sum
load("method", parse_sum("method", "2*json:dumps(indent=1)")[0].name)
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

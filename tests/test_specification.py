import ast
import random
from collections.abc import Callable

import pytest

from lookright.errors import ConfigError
from lookright.specification import Part, parse_one, parse_sum


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("res-g", [("res-g", 1.0, {})]),
        ("  res-g  ", [("res-g", 1.0, {})]),
        ("res-g()", [("res-g", 1.0, {})]),
        ("res-g + 0.3*energy", [("res-g", 1.0, {}), ("energy", 0.3, {})]),
        ("res-g+.3 * energy", [("res-g", 1.0, {}), ("energy", 0.3, {})]),
        ("1e+2*a+1e-3*b+0*c", [("a", 100.0, {}), ("b", 0.001, {}), ("c", 0.0, {})]),
        ("energy + energy", [("energy", 1.0, {}), ("energy", 1.0, {})]),
        ("cyborg(alpha=0.3)", [("cyborg", 1.0, {"alpha": 0.3})]),
        ("my_module.MyLoss(power=2)", [("my_module.MyLoss", 1.0, {"power": 2})]),
        ("2*my_pkg.sub:MyLoss", [("my_pkg.sub:MyLoss", 2.0, {})]),
        ("gals(kind=match)+rrr", [("gals", 1.0, {"kind": "match"}), ("rrr", 1.0, {})]),
        ("a(b=runner-up, c=layer4.0.conv2)", [("a", 1.0, {"b": "runner-up", "c": "layer4.0.conv2"})]),
        ("a(x='+ 2*b(', y=\")\")", [("a", 1.0, {"x": "+ 2*b(", "y": ")"})]),
        ("a(e='smooth-grad(samples=8)')", [("a", 1.0, {"e": "smooth-grad(samples=8)"})]),
        ("a(per-image=true, b=False, c=none,)", [("a", 1.0, {"per_image": True, "b": False, "c": None})]),
        ("a(x=-1, y=+2., z=-1e3, w=007)", [("a", 1.0, {"x": -1, "y": 2.0, "z": -1000.0, "w": 7})]),
        ("a(x=[1, 2,], y=(1, b), z=(3), e=[], t=(), u=(1,))",
         [("a", 1.0, {"x": [1, 2], "y": (1, "b"), "z": 3, "e": [], "t": (), "u": (1,)})]),
        ("a(x=[(0, 1), [None, ['s']]])", [("a", 1.0, {"x": [(0, 1), [None, ["s"]]]})]),
        ("a(\n  x=1,\n  y=2\n)\n+ b", [("a", 1.0, {"x": 1, "y": 2}), ("b", 1.0, {})]),
        ("méthode(größe=1)", [("méthode", 1.0, {"größe": 1})]),
    ],
)  # fmt: skip
def test_what_is_read(text: str, parts: list[tuple[str, float, dict[str, object]]]) -> None:
    found = parse_sum("method", text)
    assert [(part.name, part.weight, part.options) for part in found] == parts
    for part, (_, _, options) in zip(found, parts, strict=True):  # 1 == 1.0 == True
        assert repr(part.options) == repr(options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got '': expected a name at its end; for example 'res-g + 0.3*cyborg(alpha=0.3)'"),
        ("  ", "expected a name at its end"),
        ("res-g +", "got 'res-g +': expected a name at its end"),
        ("+ res-g", "expected a name at '+ res-g'"),
        ("res-g + * 0.3", "expected a name at '* 0.3'"),
        ("res-g, energy", "expected '+' or the end at ', energy'"),
        ("res-g energy", "expected '+' or the end at 'energy'"),
        ("res-g - energy", "expected '+' or the end at '- energy'"),
        ("energy*0.3", "expected '+' or the end (a weight stands before its name) at '*0.3'"),
        ("inf*energy", "(a weight stands before its name) at '*energy'"),
        ("0.3energy", "expected '*' between weight and name at 'energy'"),
        ("0.3", "expected '*' between weight and name at its end"),
        ("-1*energy", "expected a weight that is finite and not negative at '-1*energy'"),
        ("1e999*energy", "expected a weight that is finite and not negative at '1e999*energy'"),
        ("2*3*energy", "expected a name at '3*energy'"),
        ("2*(a + b)", "expected a name at '(a + b)'"),
        ("a(0.3)", "expected an option as name=value at '0.3)'"),
        ("a(alpha)", "expected an option as name=value at 'alpha)'"),
        ("a(,)", "expected an option as name=value at ',)'"),
        ("a(x=1", "expected ',' or ')' at its end"),
        ("a(x=1 y=2)", "expected ',' or ')' at 'y=2)'"),
        ("a(x=1))", "expected '+' or the end at ')'"),
        ("a(x=)", "expected a value (a number, a word, a quoted string, True, False, None, a list) at ')'"),
        ("a(x={1: 2})", "a quoted string, True, False, None, a list) at '{1: 2})'"),
        ("a(x=1+1)", "expected ',' or ')' at '+1)'"),
        ("a(x=1.2.3)", "expected ',' or ')' at '.3)'"),
        ("a(x=1e999)", "expected a finite number at '1e999)'"),
        ("a(x=nan)", "expected a finite number, or the word in quotes, at 'nan)'"),
        ("a(x=1, x=2)", "option 'x' is there twice, the second time at 'x=2)'"),
        ("a(x-y=1, x_y=2)", "option 'x_y' is there twice"),
        ("a(x=[1, 2)", "expected ',' or ']' at ')'"),
        ("a(x='b)", "expected a closing quote at \"'b)\""),
        ("a(x='\\N{no such}')", "expected a string as in Python"),
        ("a(x='\0')", "expected a string as in Python"),
        ("a(x=b(1))", "expected ',' or ')' (a value with parentheses is put in quotes) at '(1))'"),
        ("a(x=__import__('os').getcwd())", "expected ',' or ')' (a value with parentheses"),
        ("b " + 40 * "!", "at '" + 27 * "!" + "...'"),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_sum("method", text)
    told = str(caught.value)
    assert told.startswith("method: got ")
    assert message in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a + b", "explainer: got 'a + b': expected the end (one name, no sum) at '+ b'; for example 'sm"),
        ("2*a", "explainer: got '2*a': expected a name at '2*a'"),
    ],
)  # fmt: skip
def test_one_is_no_sum(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_one("explainer", text)
    assert message in str(caught.value)


@pytest.mark.parametrize("parse", [parse_one, parse_sum])
def test_the_examples_that_errors_give_are_read(parse: Callable[[str, str], object]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse("method", "?")
    example = str(caught.value).split("for example ")[1]
    parse("method", ast.literal_eval(example))


def random_value(draw: random.Random, depth: int = 0) -> object:
    """Any value that an option can have."""
    kinds: list[Callable[[], object]] = [
        lambda: draw.randrange(-(10**20), 10**20),
        lambda: draw.choice([-1, 1]) * 10 ** draw.uniform(-300, 300),
        lambda: draw.choice([0.0, -0.0, 1e22, 5e-324, 0.1]),
        lambda: draw.choice([True, False, None, "True", "none", "inf", "1", ""]),
        lambda: "".join(draw.choices("aé -_.:'\"\\()[],=+*#\n\t\0\ud800😀1", k=draw.randrange(8))),
    ]
    if depth < 3:
        kinds += [
            lambda: [random_value(draw, depth + 1) for _ in range(draw.randrange(4))],
            lambda: tuple(random_value(draw, depth + 1) for _ in range(draw.randrange(4))),
        ]
    return draw.choice(kinds)()


def random_name(draw: random.Random) -> str:
    return draw.choice("aZ_é") + "".join(draw.choices("aZ_é09-.:", k=draw.randrange(8)))


def random_part(draw: random.Random, weight: float) -> Part:
    names = {random_name(draw).translate(str.maketrans("-.:", "___")) for _ in range(draw.randrange(4))}
    return Part(random_name(draw), weight, {name: random_value(draw) for name in sorted(names)})


@pytest.mark.parametrize("seed", range(10))
def test_what_is_written_reads_back(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(50):
        weights = (1.0, 0.0, 1, 2, 0.3, 10 ** draw.uniform(-300, 300))
        parts = tuple(random_part(draw, draw.choice(weights)) for _ in range(draw.randrange(1, 4)))
        text = " + ".join(map(str, parts))
        back = parse_sum("method", text)
        assert back == parts, text
        assert repr([part.options for part in back]) == repr([part.options for part in parts])
        assert " + ".join(map(str, back)) == text
        assert parse_one("explainer", str(Part("x", 1.0, parts[0].options))).options == parts[0].options


@pytest.mark.parametrize("seed", range(10))
def test_any_text_is_read_or_refused_in_one_line(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(50):
        text = list(" + ".join(str(random_part(draw, 0.5)) for _ in range(2)))
        for _ in range(draw.randrange(1, 6)):  # a few slips of the keyboard
            text[draw.randrange(len(text))] = draw.choice(["", *"a-_.:'\"\\()[],=+*#\n\t\0\ud800 1e"])
        try:
            back = parse_sum("method", "".join(text))
        except ConfigError as error:
            refused = str(error)
        else:
            assert parse_sum("method", " + ".join(map(str, back))) == back
            continue
        assert refused.startswith("method: got "), text
        assert "\n" not in refused, text


def test_a_part_is_a_key() -> None:
    assert len({parse_one("explainer", "a(x=[1])"), parse_one("explainer", "a( x = [1] )")}) == 1

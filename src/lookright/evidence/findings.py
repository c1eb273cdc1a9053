"""What an experiment says, in words that its tests give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lookright.evidence.compare import LEVEL, Comparison, Verdict, opponents, out_of_reach
from lookright.evidence.report_tables import escaped, markdown_table, measure_name, p_text, signed
from lookright.evidence.results import Results
from lookright.evidence.statistics import smallest_p

_SHOWN = 2
"""groups that are told one by one"""


def findings(results: Results, comparisons: Sequence[Comparison]) -> list[str]:
    """Say which entries are better, worse or not clearly different, measure by measure, as Markdown.

    Where so few seeds can make nothing clear, that is said, and what their differences hint at.
    """
    if not opponents(results):
        return ["The grid names neither a baseline nor a reference, so that nothing is tested."]
    if not comparisons:
        return ["Nothing is tested: no two entries have a run of the same seed yet."]
    reach = out_of_reach(comparisons)
    if reach is None:
        return [
            f"{_number(len(comparisons))} corrected together (Holm); clear is a corrected p below {LEVEL}.",
            "",
            *_by_measure(results, comparisons, hints=False),
        ]
    seeds, smallest = reach
    if seeds == 1:
        return ["There is one seed: no interval, and no test. The figures are those of single runs."]
    many = _number(len(comparisons))
    return [
        f"**No difference can be called clear here, whatever its size.** {seeds} seeds reach "
        f"p = {smallest_p(seeds):.2g} at best, and {p_text(smallest)} once corrected for {many}; it would "
        f"take {_needed(len(comparisons))} seeds. What follows are hints: the difference has one sign in "
        "every seed, and its 95 % interval, which is not corrected, leaves out 0. Of many, some look so by "
        "chance.",
        "",
        *_by_measure(results, comparisons, hints=True),
    ]


def _by_measure(results: Results, comparisons: Sequence[Comparison], *, hints: bool) -> list[str]:
    """What the tests say, by measure and what is compared with; of many groups, in how many."""
    parts = {
        f"{measure_name(measure)}, against {escaped(against)}": those
        for against in opponents(results)
        for measure in results.grid.tests
        if (those := [c for c in comparisons if c.against == against and c.measure == measure])
    }
    if len(results.groups) <= _SHOWN:
        return [f"- **{title}:** {_sentence(those, hints)}." for title, those in parts.items()]
    rows = [["In how many groups?", *parts]]
    for entry in dict.fromkeys(c.entry for c in comparisons):
        of_entry = ([c for c in those if c.entry == entry] for those in parts.values())
        rows.append([escaped(entry), *(_counts(those, hints) for those in of_entry)])
    return markdown_table(rows)


def _counts(comparisons: Sequence[Comparison], hints: bool) -> str:
    if not comparisons:
        return "–"
    verdicts = Counter(_verdict(c, hints) for c in comparisons)
    told = [f"{verdicts[v]} {v.value}" for v in (Verdict.BETTER, Verdict.WORSE) if verdicts[v]]
    return f"{', '.join(told) or 'none'} of {len(comparisons)}"


def _sentence(comparisons: Sequence[Comparison], hints: bool) -> str:
    by_entry: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        by_entry.setdefault(comparison.entry, []).append(comparison)
    parts = []
    for verdict in (Verdict.BETTER, Verdict.WORSE):
        told = [
            f"{escaped(entry)} ({_how_much(such, len(all_of), hints)})"
            for entry, all_of in by_entry.items()
            if (such := [c for c in all_of if _verdict(c, hints) is verdict])
        ]
        if told:
            parts.append(f"{verdict.value}: {', '.join(told)}")
    unclear = [
        escaped(entry)
        for entry, all_of in by_entry.items()
        if all(_verdict(c, hints) is Verdict.UNCLEAR for c in all_of)
    ]
    if unclear:
        parts.append(f"{'no hint' if hints else Verdict.UNCLEAR.value}: {', '.join(unclear)}")
    return "; ".join(parts)


def _verdict(comparison: Comparison, hints: bool) -> Verdict:
    return comparison.hint if hints else comparison.verdict


def _how_much(such: Sequence[Comparison], of: int, hints: bool) -> str:
    return "; ".join(
        f"{escaped(c.group.title) + ' ' if of > 1 else ''}{signed(c.difference.mean, c.measure)}"
        + ("" if hints else f", p {p_text(c.corrected)}")
        for c in such
    )


def _number(comparisons: int) -> str:
    return f"{comparisons} comparison{'s' * (comparisons > 1)}"


def _needed(comparisons: int) -> int:
    """Seeds with which a difference can be clear.

    Example:
        >>> _needed(1), _needed(28)
        (6, 11)
    """
    seeds = 1
    while comparisons * smallest_p(seeds) >= LEVEL:
        seeds += 1
    return seeds

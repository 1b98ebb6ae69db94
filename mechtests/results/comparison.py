"""What changed between two sides, and what of it is a regression."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mechtests.results.baseline import is_worse
from mechtests.results.side import ComparisonError, Judged, Side

ROUNDING = 1e-6
"""Exact estimates that differ by less than this share of their size differ by rounding alone."""

__all__ = ["Change", "Comparison", "ComparisonError", "compare"]


@dataclass(frozen=True)
class Change:
    """One finding on one checkpoint, before and after.

    Attributes:
        before, after: its verdicts; ``None`` where that side has none. A claim that could not be tested has its reason.
        missing_counts: whether a claim that held before and has no verdict now is a regression.
    """

    finding: str
    checkpoint: str
    before: Judged | None
    after: Judged | None
    missing_counts: bool = True

    @property
    def new(self) -> bool:
        """Whether it has a verdict for the first time."""
        return _told(self.before) is None and _told(self.after) is not None

    @property
    def missing(self) -> bool:
        """Whether it had a verdict and has none now."""
        return _told(self.before) is not None and _told(self.after) is None

    @property
    def worse(self) -> bool:
        before, after = _told(self.before), _told(self.after)
        return bool(before and after and is_worse(after, before))

    @property
    def better(self) -> bool:
        before, after = _told(self.before), _told(self.after)
        return bool(before and after and is_worse(before, after))

    @property
    def regression(self) -> bool:
        """Whether it was supported and is not now."""
        return _told(self.before) == "supported" and (self.worse or (self.missing and self.missing_counts))

    @property
    def moved(self) -> bool:
        """Whether the estimates differ by more than their intervals allow: these do not touch."""
        ends = [_ends(one) for one in (self.before, self.after) if one is not None]
        known = [pair for pair in ends if pair is not None]
        if len(known) < 2:
            return False
        (low, high), (low_after, high_after) = known
        allowed = ROUNDING * max(map(abs, (low, high, low_after, high_after)))
        return low_after > high + allowed or high_after < low - allowed

    @property
    def note(self) -> str:
        """What a reader should know of it: why there is no verdict, or that the claim itself has changed."""
        if self.missing:
            reason = self.after.reason if self.after else None
            return f"not tested: {reason}" if reason else "not judged any more"
        before, after = (one.region if one else None for one in (self.before, self.after))
        return f"the region was {before} and is {after}" if before and after and before != after else ""


@dataclass(frozen=True)
class Comparison:
    """All that two sides say of the same findings.

    Attributes:
        before, after: the sides' names.
        changes: a finding on a checkpoint each, in the order of their names.
        unmatched: the later side's checkpoints that have no counterpart on the earlier one.
        left_out: the earlier side's checkpoints that have no counterpart on the later one.
        renamed: checkpoints whose counterpart has another name, and that name.
    """

    before: str
    after: str
    changes: tuple[Change, ...]
    unmatched: tuple[str, ...]
    left_out: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]

    @property
    def regressions(self) -> list[Change]:
        return [change for change in self.changes if change.regression]

    @property
    def verdicts(self) -> list[Change]:
        """The changes of verdict: regressions first, then what else got worse, then what got better."""
        found = [change for change in self.changes if change.regression or change.worse or change.better]
        return sorted(found, key=lambda change: (not change.regression, not change.worse))

    @property
    def estimates(self) -> list[Change]:
        """The findings whose estimates moved by more than their intervals allow."""
        return [change for change in self.changes if change.moved]

    @property
    def missing(self) -> list[Change]:
        return [change for change in self.changes if change.missing]

    @property
    def new(self) -> list[Change]:
        return [change for change in self.changes if change.new]

    @property
    def same(self) -> int:
        """How many have the verdict that they had."""
        return sum(
            _told(change.before) is not None and _told(change.before) == _told(change.after) for change in self.changes
        )


def compare(before: Side, after: Side, *, missing_counts: bool = True) -> Comparison:
    """Pair the verdicts of two sides.

    A checkpoint's counterpart has the same weights, or else the same name; where the earlier side has one checkpoint of
    the system alone, it is the counterpart of all. Checkpoints judged together have a counterpart in the same weights
    or the same names.

    Args:
        before: the earlier side.
        after: the later one.
        missing_counts: whether a claim that was supported and has no verdict now is a regression.

    Raises:
        ComparisonError: the sides have nothing in common.
    """
    befores, afters = _places(before), _places(after)
    untested = {one.finding: one for one in after.verdicts if one.verdict == "untested"}
    counterparts = {place: _counterpart(place, befores) for place in afters}
    changes = [
        Change(finding, now.checkpoint or "–", befores[was].get(finding), afters[now].get(finding), missing_counts)
        for now, was in counterparts.items()
        if was is not None
        for finding in sorted(befores[was].keys() | afters[now].keys())
    ]
    if not changes:
        raise ComparisonError(
            f"nothing to compare: no checkpoint of {after.name} ({listed(_names(afters))}) has the weights or the name "
            f"of one of {before.name} ({listed(_names(befores))}), and no system has a single checkpoint there."
        )
    changes = [
        Change(one.finding, one.checkpoint, one.before, one.after or untested.get(one.finding), one.missing_counts)
        for one in changes
    ]
    return Comparison(
        before.name,
        after.name,
        tuple(sorted(changes, key=lambda change: (change.finding, change.checkpoint))),
        _names(now for now, was in counterparts.items() if was is None),
        _names(was for was in befores if was not in counterparts.values()),
        tuple(
            (now.checkpoint, was.checkpoint)
            for now, was in counterparts.items()
            if was and was.checkpoint and now.checkpoint and was.checkpoint != now.checkpoint
        ),
    )


@dataclass(frozen=True)
class _Place:
    """What verdicts are about: a checkpoint of a system, several together, or none."""

    system: str
    checkpoint: str | None
    weights: str | None
    several: bool
    members: tuple[str, ...]


def _places(side: Side) -> dict[_Place, dict[str, Judged]]:
    """The verdicts of a side by what they are about and by finding, but for claims that had nothing to be tested on."""
    found: dict[_Place, dict[str, Judged]] = {}
    for one in side.verdicts:
        if one.checkpoint is None and one.verdict == "untested":
            continue
        place = _Place(one.system, one.checkpoint, one.weights, one.several, one.members)
        found.setdefault(place, {})[one.finding] = one
    return found


def _counterpart(place: _Place, among: Iterable[_Place]) -> _Place | None:
    alike = [one for one in among if one.system == place.system and one.several == place.several]
    for same in ("weights", "checkpoint"):
        found = [one for one in alike if getattr(one, same) == getattr(place, same)]
        if place.several and same == "checkpoint":
            found = [one for one in found if not one.members or not place.members or one.members == place.members]
        exact = [one for one in found if one.checkpoint == place.checkpoint]
        if found:
            return (exact or found)[0]
    single = [one for one in alike if one.checkpoint is not None]
    return single[0] if len(single) == 1 and not place.several and place.checkpoint is not None else None


def _names(places: Iterable[_Place]) -> tuple[str, ...]:
    return tuple(sorted({one.checkpoint or "no checkpoint" for one in places}))


def listed(names: Sequence[str]) -> str:
    """The first few of ``names``, and how many more there are."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "") if names else "none"


def _told(one: Judged | None) -> str | None:
    return one.verdict if one is not None and one.verdict != "untested" else None


def _ends(one: Judged) -> tuple[float, float] | None:
    return one.interval or (None if one.estimate is None else (one.estimate, one.estimate))

"""What changed between two sides, and what of it is a regression."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mechtests.judging.verdict import Verdict
from mechtests.results.side import ComparisonError, Judged, Side

ROUNDING = 1e-6
"""Exact estimates that differ by less than this share of their size differ by rounding alone."""

__all__ = ["Change", "Comparison", "ComparisonError", "compare"]


@dataclass(frozen=True)
class Change:
    """One finding on one checkpoint, before and after.

    Attributes:
        before, after: its verdicts; ``None`` where that side has none. A claim that could not be tested has its reason.
        missing_counts: whether a claim that was supported before and has no verdict now is a regression.
    """

    finding: str
    checkpoint: str
    before: Judged | None
    after: Judged | None
    missing_counts: bool = True

    @property
    def new(self) -> bool:
        """Whether it has a verdict for the first time."""
        return _verdict(self.before) is None and _verdict(self.after) is not None

    @property
    def missing(self) -> bool:
        """Whether it had a verdict and has none now."""
        return _verdict(self.before) is not None and _verdict(self.after) is None

    @property
    def worse(self) -> bool:
        before, after = _verdict(self.before), _verdict(self.after)
        return bool(before and after and after.is_worse_than(before))

    @property
    def better(self) -> bool:
        before, after = _verdict(self.before), _verdict(self.after)
        return bool(before and after and before.is_worse_than(after))

    @property
    def regression(self) -> bool:
        """Whether it was supported and is not now."""
        was_supported = _verdict(self.before) is Verdict.SUPPORTED
        return was_supported and (self.worse or (self.missing and self.missing_counts))

    @property
    def moved(self) -> bool:
        """Whether the estimates differ by more than their intervals allow: the intervals do not touch."""
        ends = [_ends(judged) for judged in (self.before, self.after) if judged is not None]
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
        before, after = (judged.region if judged else None for judged in (self.before, self.after))
        return f"the region was {before} and is {after}" if before and after and before != after else ""


@dataclass(frozen=True)
class Comparison:
    """All that two sides say of the same findings.

    Attributes:
        before, after: the sides' names.
        changes: one per finding and checkpoint, in the order of their names.
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
        changed = [change for change in self.changes if change.regression or change.worse or change.better]
        return sorted(changed, key=lambda change: (not change.regression, not change.worse))

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
        verdicts = [(_verdict(change.before), _verdict(change.after)) for change in self.changes]
        return sum(before is not None and before is after for before, after in verdicts)


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
    earlier, later = _by_subject(before), _by_subject(after)
    untested = {judged.finding: judged for judged in after.verdicts if judged.verdict == "untested"}
    counterparts = {subject: _counterpart(subject, earlier) for subject in later}
    changes = [
        Change(finding, now.checkpoint or "–", earlier[was].get(finding), later[now].get(finding), missing_counts)
        for now, was in counterparts.items()
        if was is not None
        for finding in sorted(earlier[was].keys() | later[now].keys())
    ]
    if not changes:
        raise ComparisonError(
            f"nothing to compare: no checkpoint of {after.name} ({listed(_names(later))}) has the weights or the name "
            f"of one of {before.name} ({listed(_names(earlier))}), and no system has a single checkpoint there."
        )
    changes = [replace(change, after=change.after or untested.get(change.finding)) for change in changes]
    return Comparison(
        before.name,
        after.name,
        tuple(sorted(changes, key=lambda change: (change.finding, change.checkpoint))),
        _names(now for now, was in counterparts.items() if was is None),
        _names(was for was in earlier if was not in counterparts.values()),
        tuple(
            (now.checkpoint, was.checkpoint)
            for now, was in counterparts.items()
            if was and was.checkpoint and now.checkpoint and was.checkpoint != now.checkpoint
        ),
    )


@dataclass(frozen=True)
class _Subject:
    """What verdicts are about: a checkpoint of a system, several together, or none."""

    system: str
    checkpoint: str | None
    weights: str | None
    several: bool
    members: tuple[str, ...]


def _by_subject(side: Side) -> dict[_Subject, dict[str, Judged]]:
    """The verdicts of a side by subject and by finding, but for claims that had nothing to be tested on."""
    verdicts: dict[_Subject, dict[str, Judged]] = {}
    for judged in side.verdicts:
        if judged.checkpoint is None and judged.verdict == "untested":
            continue
        subject = _Subject(judged.system, judged.checkpoint, judged.weights, judged.several, judged.members)
        verdicts.setdefault(subject, {})[judged.finding] = judged
    return verdicts


def _counterpart(subject: _Subject, candidates: Iterable[_Subject]) -> _Subject | None:
    alike = [one for one in candidates if one.system == subject.system and one.several == subject.several]
    for attribute in ("weights", "checkpoint"):
        matches = [one for one in alike if getattr(one, attribute) == getattr(subject, attribute)]
        if subject.several and attribute == "checkpoint":
            matches = [
                one for one in matches if not one.members or not subject.members or one.members == subject.members
            ]
        if matches:
            of_this_name = [one for one in matches if one.checkpoint == subject.checkpoint]
            return (of_this_name or matches)[0]
    single = [one for one in alike if one.checkpoint is not None]
    return single[0] if len(single) == 1 and not subject.several and subject.checkpoint is not None else None


def _names(subjects: Iterable[_Subject]) -> tuple[str, ...]:
    return tuple(sorted({subject.checkpoint or "no checkpoint" for subject in subjects}))


def listed(names: Sequence[str]) -> str:
    """The first few of ``names``, and how many more there are."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "") if names else "none"


def _verdict(judged: Judged | None) -> Verdict | None:
    """The verdict that a side has reached; ``None`` where it has none, or could not test the claim."""
    return Verdict(judged.verdict) if judged is not None and judged.verdict != "untested" else None


def _ends(judged: Judged) -> tuple[float, float] | None:
    return judged.interval or (None if judged.estimate is None else (judged.estimate, judged.estimate))

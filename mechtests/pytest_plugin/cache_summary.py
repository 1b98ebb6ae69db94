"""What a run computed and what it found in its cache, over all workers; told at the end of the run."""

import os
from collections import Counter
from typing import Any

import pytest

from mechtests.cache import Cache
from mechtests.judging.judgement_cache import JudgementCache

_SHOWN = 5
"""So many warnings are shown; the others are counted."""


class CacheSummary:
    """A pytest plugin that sums the counts and collects the warnings of the run's cache.

    They are no Python warnings: where those are errors they would fail the claim during which they come up, and a
    damaged file of the cache says nothing about a claim.
    """

    def __init__(self, cache: Cache, kept: JudgementCache | None, warnings: list[str]) -> None:
        """A tally of ``cache``, which tells its warnings by adding to ``warnings``, and of what was kept."""
        self._cache, self._kept, self._warnings = cache, kept, warnings
        self._workers: Counter[str] = Counter()

    @property
    def counts(self) -> Counter[str]:
        """Forward passes made, and tensors found in memory and on disk: here and by the workers so far."""
        cache = self._cache
        recalled = self._kept.recalled if self._kept else 0
        here = Counter(passes=cache.passes, memory=cache.from_memory, disk=cache.from_disk, recalled=recalled)
        return here + self._workers

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["mechtests_cache"] = {"counts": dict(self.counts), "warnings": self._warnings}

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        output = getattr(node, "workeroutput", {}).get("mechtests_cache")
        if output:  # a worker that crashed leaves none
            self._workers.update(output["counts"])
            self._warnings.extend(output["warnings"])

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        counts = self.counts
        if counts.total():
            found = "the cache is off"
            if self._cache.disk is not None:
                where = os.path.relpath(self._cache.disk.folder, config.invocation_params.dir)
                found = f"found in the cache: {counts['memory']:,} in memory, {counts['disk']:,} on disk ({where})"
                found += f"; judgements recalled: {counts['recalled']:,}" if counts["recalled"] else ""
            terminalreporter.write_line(f"forward passes: {counts['passes']:,}; {found}")
        warnings = sorted(set(self._warnings))
        for warning in warnings[:_SHOWN]:
            terminalreporter.write_line(f"cache warning: {warning}", yellow=True)
        if len(warnings) > _SHOWN:
            terminalreporter.write_line(f"cache warning: and {len(warnings) - _SHOWN} more", yellow=True)

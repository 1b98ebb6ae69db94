"""What a run computed and what it took from its cache, over all workers; shown at the end of the run."""

import os
from collections import Counter
from typing import Any

import pytest

from mechtests.pytest_plugin.session import ClaimSession

_SHOWN = 5
"""At most so many warnings are shown; the others are counted."""


class CacheSummary:
    """A pytest plugin that sums the counts and collects the warnings of the run's cache.

    They are no Python warnings: where those are errors they would fail the claim during which they come up, and a
    damaged file of the cache says nothing about a claim.
    """

    def __init__(self, session: ClaimSession) -> None:
        self._session = session
        self._workers: Counter[str] = Counter()

    @property
    def counts(self) -> Counter[str]:
        """Forward passes made, and tensors read from memory and from disk: here and by the workers so far."""
        cache, judgements = self._session.cache, self._session.judgement_cache
        recalled = judgements.recalled if judgements else 0
        here = Counter(passes=cache.passes, memory=cache.from_memory, disk=cache.from_disk, recalled=recalled)
        return here + self._workers

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["mechtests_cache"] = {"counts": dict(self.counts), "warnings": self._session.cache_warnings}

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        output = getattr(node, "workeroutput", {}).get("mechtests_cache")
        if output:  # a worker that crashed leaves none
            self._workers.update(output["counts"])
            self._session.cache_warnings.extend(output["warnings"])

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        counts, disk = self.counts, self._session.cache.disk
        if counts.total():
            cached = "the cache is off"
            if disk is not None:
                folder = os.path.relpath(disk.folder, config.invocation_params.dir)
                cached = f"found in the cache: {counts['memory']:,} in memory, {counts['disk']:,} on disk ({folder})"
                cached += f"; judgements recalled: {counts['recalled']:,}" if counts["recalled"] else ""
            terminalreporter.write_line(f"forward passes: {counts['passes']:,}; {cached}")
        warnings = sorted(set(self._session.cache_warnings))
        for warning in warnings[:_SHOWN]:
            terminalreporter.write_line(f"cache warning: {warning}", yellow=True)
        if len(warnings) > _SHOWN:
            terminalreporter.write_line(f"cache warning: and {len(warnings) - _SHOWN} more", yellow=True)

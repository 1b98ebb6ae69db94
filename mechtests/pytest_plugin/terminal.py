"""What a run writes to the terminal: at its start, while it judges, and at its end."""

import os
import shlex
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from mechtests.judging.verdict import Verdict
from mechtests.pytest_plugin.options import FRESH_SEED
from mechtests.pytest_plugin.session import ClaimSession
from mechtests.report.terminal import print_claims


def header(config: pytest.Config, session: ClaimSession) -> list[str]:
    """What is worth knowing before the run: the seed that was drawn for it, and how long it may take."""
    return [*_fresh_seed(config), *_expected_time(config, session)]


def _fresh_seed(config: pytest.Config) -> list[str]:
    seed = config.option.claims_seed
    return (
        [f"claims seed: {seed}, drawn for this run; again with --claims-seed {seed}"]
        if FRESH_SEED in config.stash
        else []
    )


def _expected_time(config: pytest.Config, session: ClaimSession) -> list[str]:
    """How long the run may take, so that nobody waits in doubt; nothing where nothing is on record."""
    seconds = session.baseline.seconds
    if not seconds or config.option.collectonly:
        return []
    workers = getattr(config.option, "numprocesses", None) or 1
    minutes = max(1, round(sum(seconds.values()) / workers / 60))
    return [
        f"claims: judging all that are on record, with nothing kept, took {minutes} min"
        f"{f' for each of {workers} workers' if workers > 1 else ''}; what is kept takes none"
    ]


def summarize(reporter: pytest.TerminalReporter, config: pytest.Config, session: ClaimSession) -> None:
    """The claims in a table, where the files are, and what went wrong."""
    if session.document is not None:
        _print_claims(reporter, config, session)
    for error in session.errors:
        reporter.write_line(f"error: {error}", red=True)


def _print_claims(reporter: pytest.TerminalReporter, config: pytest.Config, session: ClaimSession) -> None:
    assert session.document is not None

    def from_here(path: Path) -> str:
        return os.path.relpath(path, config.invocation_params.dir)

    records, suite = session.document["claims"], session.document["suite"]
    reporter.section("claims")
    writer = reporter._tw
    # A log has no width of its own; the table needs more than the 80 columns that pytest assumes for one.
    width = writer.fullwidth if writer._file.isatty() else max(writer.fullwidth, 120)
    print_claims(records, writer._file, width, writer.hasmarkup, config.get_verbosity() > 0)
    if suite["sampled"]:
        survive = f"{suite['surviving']} of {suite['sampled']} verdicts that chance has a part in"
        reporter.write_line(f"{survive} survive at a false discovery rate of {suite['fdr']:g} (closed e-BH)")
    if suite["vacuity"] is not None:
        alpha = session.document["run"]["alpha"]
        reporter.write_line(
            f"errors: at most {alpha:g} about a claim's region, where it states no other, and at most "
            f"{suite['vacuity']:.2g} about a sampled control"
        )
    for line in _fresh_seed(config):
        reporter.write_line(line)
    for name in ("results", "report"):
        if name in session.written:
            reporter.write_line(f"{name}: {from_here(session.written[name])}")
    if session.not_in_ledger and "results" in session.written:
        add = f"mechtests history --add {shlex.quote(from_here(session.written['results']))}"
        reporter.write_line(
            f"warning: the run is not in the ledger: {session.not_in_ledger} "
            f"The results file has all of it: `{add}` adds it later.",
            yellow=True,
        )
    if config.option.update_claims_baseline:
        if "baseline" in session.written:
            reporter.write_line(f"recorded in {from_here(session.written['baseline'])}")
        return
    baseline = session.baseline
    recorded = ((record, baseline.recorded(record)) for record in records if record["verdict"] != "untested")
    better = sum(old is not None and Verdict(old).is_worse_than(Verdict(record["verdict"])) for record, old in recorded)
    if better:
        reporter.write_line(f"{better} verdicts are better than recorded: run again with --update-claims-baseline")


def progress_line(config: pytest.Config) -> Callable[[str], None] | None:
    """Shows what is being sampled behind pytest's own line, a few times a second; nothing where nobody watches."""
    if hasattr(config, "workerinput"):
        return None
    last = 0.0

    def show(text: str) -> None:
        nonlocal last
        if text and time.monotonic() - last < 0.2:
            return
        last = time.monotonic()
        writer = config.get_terminal_writer()
        capture = config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            if writer._file.isatty():
                room = max(writer.fullwidth - writer.width_of_current_line - 2, 0)
                # Save the cursor, write, clear the rest of the line, go back: pytest writes on where it was.
                writer._file.write(f"\0337 {text[:room]}\033[K\0338")
                writer._file.flush()

    return show

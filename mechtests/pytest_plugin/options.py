"""The command-line and ini options, and the checks on their values."""

import argparse
import secrets
import shlex

import pytest

from mechtests.judging.judge import Settings
from mechtests.pytest_plugin.paths import CACHE, HISTORY, HTML, RESULTS

FRESH = "fresh"
"""The value of ``--claims-seed`` that asks for a seed of this run alone."""
FRESH_SEED = pytest.StashKey[bool]()
"""Whether the run's seed was drawn for it."""
WORKERS_SEED = "mechtests_seed"
"""The name under which pytest-xdist's workers are given the seed of the run."""


def add_options(parser: pytest.Parser) -> None:
    """Add the options to ``pytest --help``."""
    group = parser.getgroup("mechtests", "mechanistic claims")
    group.addoption(
        "--checkpoint",
        action="append",
        default=[],
        metavar="SYSTEM=PATH",
        help="judge these weights; repeatable, globs allowed",
    )
    group.addoption(
        "--claims-of",
        action="append",
        default=[],
        metavar="SYSTEM",
        help="judge the claims of this system alone; repeatable",
    )
    group.addoption("--device", default="auto", help="where models run: auto (the default), cpu, cuda, cuda:1")
    group.addoption(
        "--claims-alpha", type=float, default=Settings.alpha, help="error rate of a claim (default %(default)s)"
    )
    group.addoption(
        "--claims-budget",
        type=int,
        default=Settings.budget,
        help="most units sampled for a claim (default %(default)s)",
    )
    group.addoption(
        "--claims-seed",
        type=_seed,
        default=Settings.seed,
        metavar="SEED",
        help=f"decides every random draw (default %(default)s); {FRESH}: another one in every run",
    )
    group.addoption(
        "--claims-nulls",
        type=int,
        default=0,
        metavar="N",
        help="judge N never-trained models of each kind in the place of its checkpoints",
    )
    group.addoption("--strict-claims", action="store_true", help="an inconclusive claim fails")
    group.addoption("--claims-baseline", metavar="FILE", help="recorded verdicts to compare with")
    group.addoption("--update-claims-baseline", action="store_true", help="record this run's verdicts in the baseline")
    group.addoption(
        "--claims-results",
        metavar="FILE",
        help=f"where results go (default {RESULTS} in the root)",
    )
    group.addoption(
        "--claims-cache-dir", metavar="DIR", help=f"where activations are cached (default {CACHE} in the root)"
    )
    group.addoption("--no-claims-cache", action="store_true", help="compute every activation anew, and cache none")
    group.addoption(
        "--claims-html",
        metavar="FILE",
        help=f"where the report to read goes (default {HTML} in the root)",
    )
    group.addoption(
        "--claims-history",
        metavar="URL",
        help=f"the ledger that the run is added to: a file, or a database's URL (default {HISTORY} in the root)",
    )
    group.addoption("--no-claims-history", action="store_true", help="add the run to no ledger")
    parser.addini("claims_cache_dir", "where activations are cached, where --claims-cache-dir is not given")
    parser.addini("claims_baseline", "recorded verdicts to compare with, where --claims-baseline is not given")


def settings_of(config: pytest.Config) -> Settings:
    """What the run judges by; a fresh seed is drawn, and from now on the option is that number.

    Raises:
        pytest.UsageError: a value is outside its range.
    """
    option = config.option
    if option.claims_seed == FRESH:
        of_the_controller: dict[str, int] = getattr(config, "workerinput", {})
        option.claims_seed = of_the_controller.get(WORKERS_SEED, secrets.randbelow(2**31))
        config.stash[FRESH_SEED] = True
    settings = Settings(option.claims_alpha, option.claims_budget, option.claims_seed)
    if not 0 < settings.alpha < 1:
        raise pytest.UsageError(
            f"--claims-alpha {settings.alpha:g}: expected an error rate between 0 and 1, such as 0.001."
        )
    if config.option.claims_nulls < 0:
        raise pytest.UsageError(f"--claims-nulls {config.option.claims_nulls}: expected 0 models or more.")
    if settings.budget < 1:
        raise pytest.UsageError(f"--claims-budget {settings.budget}: expected at least 1 unit.")
    return settings


def _seed(text: str) -> int | str:
    """The value of ``--claims-seed``."""
    if text == FRESH:
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, or {FRESH}.") from None


def rerun_command(item: pytest.Item) -> str:
    """The command that judges the claim of ``item`` again, as this run does."""
    option = item.config.option
    words = ["pytest", shlex.quote(item.nodeid)]
    words += [f"--checkpoint {shlex.quote(named)}" for named in option.checkpoint]
    words += [f"--claims-nulls {option.claims_nulls}"] if option.claims_nulls else []
    for name, default in vars(Settings()).items():
        value = getattr(option, f"claims_{name}")
        words += [f"--claims-{name} {value}"] if value != default else []
    return " ".join(words)

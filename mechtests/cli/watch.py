"""``mechtests watch``: judge checkpoints as they appear in a folder."""

import argparse
import time
from pathlib import Path

from mechtests.cli.error import CommandError
from mechtests.cli.pytest_config import Commands
from mechtests.cli.verify import WRONG, add_run, baseline_of, run_of
from mechtests.monitor.verify import PAGE, Verified
from mechtests.monitor.watch import Watch, WatchError
from mechtests.report.comparison import summary
from mechtests.report.text import printable

FOLDER = Path("reports/watch")
EVERY = 10.0


def add_watch(commands: Commands) -> None:
    parser = commands.add_parser(
        "watch",
        help="judge checkpoints as they appear in a folder",
        description="Judges each .safetensors file once, by its content, and compares it with the one before it. Ends "
        "with Ctrl-C. Exits with 1 if a claim was supported and is not on a later checkpoint.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where checkpoints appear, at any depth")
    add_run(parser)
    parser.add_argument(
        "-o", "--output", type=Path, default=FOLDER, metavar="DIR", help="where to write (default %(default)s)"
    )
    parser.add_argument(
        "--every",
        type=float,
        default=EVERY,
        metavar="SECONDS",
        help="how often to scan the folder (default %(default)g)",
    )
    parser.add_argument("--once", action="store_true", help="judge the checkpoints that are there, and exit")
    parser.set_defaults(run=watch_folder)


def watch_folder(given: argparse.Namespace) -> int:
    if not given.every > 0:
        raise CommandError(f"--every {given.every:g}: expected seconds, more than 0.")
    lost = False
    try:
        watch = Watch(given.folder, given.output, run_of(given), baseline_of(given), tell=_tell)
        while True:
            for verified in watch.look():
                lost = lost or verified.regressed
                _tell(_outcome(verified))
            if given.once:
                break
            time.sleep(given.every)
    except KeyboardInterrupt:
        pass
    except (*WRONG, WatchError) as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}. Name a folder that can be written with -o.") from error
    return 1 if lost else 0


def _outcome(verified: Verified) -> str:
    changes = summary(verified.comparison) if verified.comparison else "nothing to compare with yet"
    against = f" since {verified.comparison.before}" if verified.comparison else ""
    return f"{verified.folder / PAGE}: {changes}{against}"


def _tell(line: str) -> None:
    print(printable(line), flush=True)

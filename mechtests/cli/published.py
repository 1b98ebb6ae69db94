"""``mechtests import`` and ``mechtests fetch``: published weights as checkpoints that are safe to read."""

import argparse
from pathlib import Path

from mechtests.cli.error import CommandError
from mechtests.cli.pytest_config import Commands
from mechtests.systems.odeformer.published import ADDRESS as PUBLISHED_ADDRESS
from mechtests.systems.odeformer.published import SIZE as PUBLISHED_SIZE
from mechtests.systems.odeformer.published import import_published


def add_import(commands: Commands) -> None:
    """``mechtests import odeformer PATH [-o FILE]``: published weights as a checkpoint that is safe to read."""
    systems = commands.add_parser("import", help="turn published weights into a checkpoint").add_subparsers(
        required=True, metavar="SYSTEM"
    )
    odeformer = systems.add_parser("odeformer", help="odeformer.pt, as downloaded by the odeformer package")
    odeformer.add_argument("path", type=Path, metavar="PATH", help="the file; no code in it is run")
    odeformer.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="the checkpoint (default: beside PATH, .safetensors)"
    )
    odeformer.set_defaults(run=import_odeformer)


def import_odeformer(given: argparse.Namespace) -> None:
    target = given.output or given.path.with_suffix(".safetensors")
    if target.suffix != ".safetensors":
        raise CommandError(f"{target}: expected a name that ends in .safetensors.")
    import_published(given.path, target)
    print(f"{target}\njudge it with: pytest claims/odeformer --checkpoint odeformer={target}")


def add_fetch(commands: Commands) -> None:
    """``mechtests fetch odeformer [-o FILE]``: download published weights and import them."""
    systems = commands.add_parser("fetch", help="download published weights and import them").add_subparsers(
        required=True, metavar="SYSTEM"
    )
    odeformer = systems.add_parser("odeformer", help=f"odeformer.pt, {PUBLISHED_SIZE} from Google Drive")
    odeformer.add_argument(
        "-o", "--output", type=Path, default=Path("odeformer.safetensors"), metavar="FILE", help="the checkpoint"
    )
    odeformer.set_defaults(run=fetch_odeformer)


def fetch_odeformer(given: argparse.Namespace) -> None:
    given.path = given.output.with_suffix(".pt")
    if given.path.exists():
        print(f"{given.path} exists and is not downloaded again")
    else:
        print(f"downloading {PUBLISHED_SIZE} from {PUBLISHED_ADDRESS} to {given.path}", flush=True)
        _download(PUBLISHED_ADDRESS, given.path)
    import_odeformer(given)


def _download(address: str, target: Path) -> None:
    try:
        import gdown  # noqa: PLC0415 - an optional dependency
    except ImportError:
        raise CommandError(
            f"downloads from Google Drive need gdown: pip install gdown. Or download {address} yourself and run: "
            f"mechtests import odeformer {target}"
        ) from None
    unfinished = target.with_suffix(".part")
    try:
        done = gdown.download(address, str(unfinished), quiet=False)
    except Exception as error:  # gdown and its dependencies raise exceptions of many kinds
        done, reason = None, str(error).strip().splitlines()[:1]
    else:
        reason = []
    if not done:
        unfinished.unlink(missing_ok=True)
        raise CommandError(
            f"{address} cannot be downloaded{''.join(f' ({one})' for one in reason)}. Is this machine online? Or "
            f"download it elsewhere and run: mechtests import odeformer {target}"
        )
    unfinished.replace(target)

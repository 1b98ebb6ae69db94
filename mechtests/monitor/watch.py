"""Judging checkpoints as a training run writes them: each once, by its content, also after restarts."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mechtests.checkpoints import CheckpointError, read
from mechtests.files import write_text
from mechtests.monitor.verify import RESULTS, Run, Verified, VerifyError, verify
from mechtests.results.document import ResultsError, read_results
from mechtests.results.side import ComparisonError, Side, side_of

SCHEMA = "mechtests-watch/1"
MEMORY = "watched.json"

_HEADER_AT_MOST = 100 << 20
"""The longest header, in bytes, that safetensors itself would read."""


class WatchError(Exception):
    """A folder that cannot be watched: what was expected, what was found, what to do."""


@dataclass
class Watch:
    """Judges the checkpoints of a folder and its subfolders.

    ``watched.json`` in the output folder lists the judged checkpoints, so that a restart judges none twice.

    Attributes:
        folder: where checkpoints appear.
        output: the folder in which each checkpoint gets a folder with its report.
        run: how claims are judged.
        baseline: what each is compared with; by default the checkpoint of the same system that was judged before it.
        tell: called with a line of text for each event.
    """

    folder: Path
    output: Path
    run: Run
    baseline: Side | None = None
    tell: Callable[[str], None] = print
    _judged: dict[str, dict[str, Any]] = field(default_factory=dict)
    _unusable: set[str] = field(default_factory=set)
    _unfinished: dict[Path, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise WatchError(f"{self.folder}: no such folder. Create it, or name the one in which checkpoints appear.")
        memory = self.output / MEMORY
        try:
            content = json.loads(memory.read_text(encoding="utf-8"))
            if content["schema"] != SCHEMA:
                raise ValueError(f"schema {content['schema']!r}")
            self._judged = {str(sha256): dict(about) for sha256, about in content["judged"].items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise WatchError(
                f"{memory}: cannot be read as {SCHEMA} ({error!r}). Delete it to judge every checkpoint again."
            ) from error

    def look(self) -> list[Verified]:
        """Judge every checkpoint that is complete and new, in the order in which they were written.

        An incomplete file is retried at the next call. One that cannot be judged is reported once.
        """
        judged = []
        for path in self._files():
            why = unfinished(path)
            if why is not None:
                if self._unfinished.get(path) != why:
                    self.tell(f"{path}: incomplete ({why}); retried later")
                self._unfinished[path] = why
                continue
            self._unfinished.pop(path, None)
            sha256 = _sha256(path)
            if sha256 is None or sha256 in self._judged or sha256 in self._unusable:
                continue
            verified = self._judge(path, sha256)
            judged += [verified] if verified else []
        return judged

    def _judge(self, path: Path, sha256: str) -> Verified | None:
        folder = self.output / (re.sub(r"[^\w.-]", "_", path.stem) + f"-{sha256[:12]}")
        self.tell(f"{path}: judging")
        try:
            verified = verify([str(path)], folder, self.run, self.baseline or self._last(path))
        except (CheckpointError, ComparisonError, VerifyError) as error:
            if _sha256(path) == sha256:
                self._unusable.add(sha256)
                self.tell(f"{path}: not judged: {error}")
            return None
        judged = {claim["checkpoint"]["sha256"] for claim in verified.document["claims"] if claim["checkpoint"]}
        if sha256 not in judged:
            return None  # replaced while it was judged; the new file is judged next
        systems = sorted({claim["system"] for claim in verified.document["claims"]})
        self._judged[sha256] = {"name": path.stem, "results": str((folder / RESULTS).absolute()), "systems": systems}
        write_text(self.output / MEMORY, json.dumps({"schema": SCHEMA, "judged": self._judged}, indent=1) + "\n")
        return verified

    def _files(self) -> list[Path]:
        """The checkpoints in the folder, in the order in which they were written."""
        files = []
        for path in self.folder.rglob("*.safetensors"):
            try:
                files.append((path.stat().st_mtime_ns, path))
            except FileNotFoundError:
                continue  # removed since
        return [path for _, path in sorted(files)]

    def _last(self, path: Path) -> Side | None:
        """The last judged checkpoint of the same system as the one at ``path``."""
        system = read(path)[0].provenance.system
        for about in reversed(self._judged.values()):
            if system in about.get("systems", ()):
                try:
                    return side_of(read_results(Path(about["results"])), about["name"])
                except ResultsError as error:
                    self.tell(f"{error} Nothing to compare with.")
                    return None
        return None


def unfinished(path: Path) -> str | None:
    """Why the safetensors file at ``path`` is incomplete; ``None`` if its size matches its header."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = int.from_bytes(start, "little")
            if len(start) < 8 or not 2 <= length <= min(size - 8, _HEADER_AT_MOST):
                return f"{size:,} bytes without a complete header"
            header = json.loads(file.read(length))
        ends = [part["data_offsets"][1] for name, part in header.items() if name != "__metadata__"]
        expected = 8 + length + max(ends, default=0)
    except OSError as error:
        return str(error.strerror)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return "its header cannot be read"
    return None if size == expected else f"{size:,} of {expected:,} bytes"


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None  # removed since

"""Runs to put into ledgers, and processes that put them there at once."""

import json
import subprocess
import sys
from pathlib import Path

from tests import documents

ROOT = Path(__file__).parents[3]

WRITER = """
import json, sys, time
from pathlib import Path
from mechtests.results.ledger import Ledger
where, go, first, many, document = sys.argv[1:]
made = json.loads(Path(document).read_text())
print("ready", flush=True)
while not Path(go).exists():
    time.sleep(0.001)
for number in range(int(first), int(first) + int(many)):
    made["run"]["id"] = f"run-{number}"
    print(Ledger(where).add(made), flush=True)
"""


def run(number=0, at="2025-03-01T12:00:00+00:00", **changes):
    """The results file of a small run."""
    made = json.loads(json.dumps(documents.of_every_verdict()))
    made["run"] |= {"id": f"run-{number}", "started": at, **changes}
    return made


def writers(where, folder, firsts, many):
    """What processes say that add runs to a ledger from the same moment on."""
    (folder / "document.json").write_text(json.dumps(run()))
    command = [sys.executable, "-c", WRITER, str(where), str(folder / "go")]
    started = [
        subprocess.Popen(
            [*command, str(first), str(many), str(folder / "document.json")],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for first in firsts
    ]
    for process in started:
        assert process.stdout.readline() == "ready\n"
    (folder / "go").touch()
    told = [process.communicate(timeout=120)[0].split() for process in started]
    assert [process.returncode for process in started] == [0] * len(started)
    return told

"""The registry of a suite: what its claims stated when they were registered, and every change since.

A suite has a registry when ``registry.json`` lies in its folder. A claim is registered before it is judged; whoever
changes it later records an amendment, with the reason and the verdicts that were known by then. So a reader sees which
regions were chosen after the numbers were.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from mechtests.claiming.stated import Stated
from mechtests.files import write_text

FILE = "registry.json"
SCHEMA = "mechtests-registry/1"

DIGEST, SHOWN = "code", 12
"""The field that is a digest, and how many of its digits are shown."""

_DAY = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_ENTRY = {
    "type": "object",
    "properties": {
        "registered": _DAY,
        "states": {
            "type": "object",
            "additionalProperties": {
                "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, _TEXTS]
            },
        },
        "amendments": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "date": _DAY,
                    "reason": {"type": "string", "minLength": 1},
                    "verdicts": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}},
                    "changes": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {name: {"type": "string"} for name in ("field", "before", "after")},
                            "required": ["field", "before", "after"],
                            "additionalProperties": False,
                        },
                    },
                },
                "required": ["date", "reason", "verdicts", "changes"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["registered", "states"],
    "additionalProperties": False,
}
_FORM = {
    "type": "object",
    "properties": {"schema": {"const": SCHEMA}, "claims": {"type": "object", "additionalProperties": _ENTRY}},
    "required": ["schema", "claims"],
    "additionalProperties": False,
}


class RegistryError(Exception):
    """A registry that cannot be read: what was found, what to do."""


class Change(TypedDict):
    """One thing that a claim states otherwise than before; an empty text where it says nothing of it."""

    field: str
    before: str
    after: str


class Amendment(TypedDict):
    """A change of a registered claim.

    ``verdicts`` counts, by verdict, those on record when the change was made.
    """

    date: str
    changes: list[Change]
    reason: str
    verdicts: dict[str, int]


@dataclass
class Entry:
    """A registered claim.

    Attributes:
        registered: the day on which it was registered, in ISO 8601.
        states: what it states, by its latest amendment.
        amendments: what was changed since, the earliest first.
    """

    registered: str
    states: Stated
    amendments: list[Amendment] = field(default_factory=list)


@dataclass
class Registry:
    """The registered claims of a suite.

    Attributes:
        path: the file.
        entries: by the claim's id.
    """

    path: Path
    entries: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Registry":
        """The registry at ``path``; an empty one where there is no file.

        Raises:
            RegistryError: the file is not of the form that :meth:`write` leaves.
        """
        if not path.exists():
            return cls(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RegistryError(f"{path}: the registry of claims cannot be read ({error}). Restore it.") from error
        if (mismatch := best_match(Draft202012Validator(_FORM).iter_errors(content))) is not None:
            where = f"at {mismatch.json_path}, {mismatch.message[:200]}"
            raise RegistryError(f"{path}: not a registry of the form {SCHEMA}: {where}. Restore it.")
        entries = {
            claim: Entry(one["registered"], one["states"], one.get("amendments", []))
            for claim, one in content["claims"].items()
        }
        return cls(path, entries)

    def write(self) -> None:
        """Write the registry atomically."""
        claims: dict[str, dict[str, Any]] = {}
        for claim, entry in sorted(self.entries.items()):
            claims[claim] = {"registered": entry.registered, "states": entry.states}
            if entry.amendments:
                claims[claim]["amendments"] = entry.amendments
        content = {"schema": SCHEMA, "claims": claims}
        write_text(self.path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def changes(self, claim: str, states: Stated) -> list[Change]:
        """How a registered claim, which now states ``states``, differs from its registration."""
        return changes(self.entries[claim].states, states)

    def register(self, claim: str, states: Stated, day: str) -> None:
        """Register a claim that is new."""
        self.entries[claim] = Entry(day, states)

    def amend(self, claim: str, states: Stated, day: str, reason: str, verdicts: Mapping[str, int]) -> None:
        """Record that a registered claim states ``states`` from now on; nothing where it does already."""
        entry, changed = self.entries[claim], self.changes(claim, states)
        if changed:
            amendment: Amendment = {"date": day, "changes": changed, "reason": reason, "verdicts": dict(verdicts)}
            self.entries[claim] = Entry(entry.registered, states, [*entry.amendments, amendment])


def registry_file(folder: Path, root: Path) -> Path | None:
    """The registry that holds for the tests in ``folder``: the nearest one there or above, up to ``root``.

    A file of the name that is no registry of claims is passed over.
    """
    above = [one for one in folder.parents if one.is_relative_to(root)]
    return next((one / FILE for one in (folder, *above) if _is_registry(one / FILE)), None)


def _is_registry(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return False
    except ValueError:
        return True  # perhaps a registry that was damaged: reading it says so
    return isinstance(content, dict) and str(content.get("schema")).startswith(SCHEMA.partition("/")[0])


def changes(before: Stated, after: Stated) -> list[Change]:
    """What ``after`` states otherwise than ``before``; of fields with names, name by name."""
    old, new = _flat(before), _flat(after)
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return [{"field": name, "before": old.get(name, ""), "after": new.get(name, "")} for name in changed]


def change_text(change: Change) -> str:
    """A change in a line: ``expect: Rate(at_least=0.9) → Rate(at_least=0.8)``."""
    before, after = (change["before"] or "nothing", change["after"] or "nothing")
    if change["field"] == DIGEST:
        before, after = before[:SHOWN], after[:SHOWN]
    return f"{change['field']}: {before} → {after}"


def _flat(states: Stated) -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, content in states.items():
        if isinstance(content, dict):
            flat.update({f"{name}.{key}": text for key, text in content.items()})
        else:
            flat[name] = content if isinstance(content, str) else "; ".join(content)
    return flat

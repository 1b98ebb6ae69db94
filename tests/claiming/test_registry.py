"""The registry of a suite."""

import json

import pytest

from mechtests.claiming.registry import SCHEMA, Registry, RegistryError, change_text, changes, registry_file

STATES = {"statement": "It is so.", "expect": "Value(above=1)", "controls": ["untrained, 19 draws"], "code": "ab" * 32}
WIDER = {**STATES, "expect": "Value(above=0)"}


@pytest.fixture
def registry(tmp_path):
    made = Registry.read(tmp_path / "registry.json")
    made.register("toy/weights/positive", STATES, "2025-01-01")
    return made


def test_what_is_written_is_read_again(registry):
    registry.amend("toy/weights/positive", WIDER, "2025-02-01", "a reason", {"supported": 2})
    registry.write()
    assert Registry.read(registry.path) == registry
    before = registry.path.read_bytes()
    Registry.read(registry.path).write()
    assert registry.path.read_bytes() == before


def test_an_amendment_says_what_changed_and_what_was_known(registry):
    registry.amend("toy/weights/positive", WIDER, "2025-02-01", "a reason", {"supported": 2, "refuted": 1})
    entry = registry.entries["toy/weights/positive"]
    assert (entry.registered, entry.states) == ("2025-01-01", WIDER)
    assert entry.amendments == [
        {
            "date": "2025-02-01",
            "changes": [{"field": "expect", "before": "Value(above=1)", "after": "Value(above=0)"}],
            "reason": "a reason",
            "verdicts": {"supported": 2, "refuted": 1},
        }
    ]
    assert not registry.changes("toy/weights/positive", WIDER)


def test_amendments_follow_one_another(registry):
    for day, states in (("2025-02-01", WIDER), ("2025-03-01", STATES)):
        registry.amend("toy/weights/positive", states, day, "a reason", {})
    assert [one["date"] for one in registry.entries["toy/weights/positive"].amendments] == ["2025-02-01", "2025-03-01"]


def test_what_is_as_registered_is_not_amended(registry):
    registry.amend("toy/weights/positive", dict(reversed(STATES.items())), "2025-02-01", "a reason", {})
    assert registry.entries["toy/weights/positive"].amendments == []


def test_changes_are_told_field_by_field_and_name_by_name():
    before = {"constants": {"MOST": "1", "FEW": "2"}, "controls": ["a", "b"], "code": "0" * 64}
    after = {"constants": {"MOST": "3", "FEW": "2"}, "controls": ["a"], "code": "f" * 64, "criterion": "necessity"}
    assert [change_text(change) for change in changes(before, after)] == [
        "constants.MOST: 1 → 3",
        "controls: a; b → a",
        f"code: {'0' * 12} → {'f' * 12}",
        "criterion: nothing → necessity",
    ]


def test_the_nearest_registry_holds_up_to_the_root(tmp_path):
    root, folder = tmp_path / "root", tmp_path / "root" / "claims" / "toy"
    folder.mkdir(parents=True)
    Registry(tmp_path / "registry.json").write()
    assert registry_file(folder, root) is None
    for place in (root, root / "claims", folder):
        Registry(place / "registry.json").write()
        assert registry_file(folder, root) == place / "registry.json"
    assert registry_file(tmp_path, root) == tmp_path / "registry.json"


def test_a_file_of_the_name_that_is_another_tools_is_passed_over(tmp_path):
    (tmp_path / "registry.json").write_text('{"packages": []}')
    assert registry_file(tmp_path, tmp_path) is None


@pytest.mark.parametrize(
    "content",
    [
        "<<<<<<< HEAD",
        json.dumps({"schema": "mechtests-registry/9", "claims": {}}),
        json.dumps({"schema": SCHEMA, "claims": {"toy/a/b": {"registered": "yesterday", "states": {}}}}),
        json.dumps({"schema": SCHEMA, "claims": {"toy/a/b": {"registered": "2025-01-01", "states": {"expect": 1}}}}),
    ],
    ids=["conflict", "later form", "no date", "no text"],
)
def test_a_damaged_registry_is_an_error_that_names_it(tmp_path, content):
    path = tmp_path / "registry.json"
    path.write_text(content)
    assert registry_file(tmp_path, tmp_path) == path
    with pytest.raises(RegistryError, match=r"registry\.json: .*Restore it"):
        Registry.read(path)

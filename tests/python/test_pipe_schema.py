# SPDX-License-Identifier: MIT
"""The JSON Schema of pipe files: what the reader takes it takes, and the manual knows each of its keys."""
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SLITHER_BUILD", ROOT / "build"))
# The template of `slither new` is none before its name stands in it; tests/examples runs what becomes of it.
GOOD = [ROOT / "fuzz/corpus/config/full.yaml", *(path for path in sorted((ROOT / "examples").rglob("*.yaml")) if path.parent.name != "new")]


@pytest.fixture(scope="module")
def schema():
    programs = [path for path in (BUILD / "src/pipe_schema", *sorted(BUILD.glob("**/src/pipe_schema"))) if path.is_file()]
    if not programs:
        pytest.skip(f"no pipe_schema below {BUILD}")
    return json.loads(subprocess.run([programs[0]], stdout=subprocess.PIPE, check=True, timeout=60).stdout)


@pytest.fixture(scope="module")
def validator(schema):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def load(text):
    return pytest.importorskip("yaml").safe_load(text)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_the_reader_takes_is_valid(validator, path):
    problems = [f"{'.'.join(map(str, error.path))}: {error.message}" for error in validator.iter_errors(load(path.read_text()))]
    assert problems == []


@pytest.mark.parametrize(
    "change",
    [
        {"stagse": []},
        {"pipe": {}},
        {"pools": {"main": {"wrokers": 1}}},
        {"pools": {"main": {"workers": 0}}},
        {"pools": {"main": {"start_timeout": "soon"}}},
        {"stages": [{"name": "a", "python": "m:f", "mode": "bach"}]},
        {"stages": [{"jq": "."}]},
        {"stages": [{"name": "a", "jq": ".", "on_error": "retri"}]},
        {"stages": [{"name": "a", "router": [{"when": "."}]}]},
        {"on_error": {"a": {"retry": {"kinds": ["sometimes"]}}}},
    ],
    ids=lambda change: json.dumps(change)[:40],
)
def test_what_the_reader_refuses_is_not_valid(validator, change):
    document = {"pipe": "p", "stages": [{"name": "a", "jq": "."}]}
    assert validator.is_valid(document)
    assert not validator.is_valid({**document, **change})


def keys_of(part):
    """Every name under `properties`, wherever it stands."""
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "properties":
                yield from value
            yield from keys_of(value)
    elif isinstance(part, list):
        for value in part:
            yield from keys_of(value)


def test_the_manual_has_each_key_and_no_other(schema):
    page = (ROOT / "man/slither-pipe.5").read_text()
    assert set(re.findall(r"^\.It Cm (\w+) :", page, re.M)) == set(keys_of(schema))

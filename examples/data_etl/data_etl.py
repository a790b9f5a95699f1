# SPDX-License-Identifier: MIT
"""The Python side: validates rows against the schema that lies in a store of the host, and keeps an audit log.

The schema is read anew for each row, field by field, straight from shared memory. That all of it is one version is not this code's doing: the stage
is declared with a snapshot for each batch.
"""
import os

FIELDS = ("amount", "quantity", "country")


def problem_of(row, field, rule):
    """Why a field does not satisfy its rule, or None."""
    value = row.get(field)
    if value is None:
        return "%s is missing" % field
    if "size_max" in rule:
        return "%s is longer than %d" % (field, rule["size_max"]) if len(value) > rule["size_max"] else None
    if not rule["min"] <= value <= rule["max"]:
        return "%s is not from %d to %d" % (field, rule["min"], rule["max"])
    return None


def check(row, get):
    """get(field) -> rule. Returns (version, versions seen, problem or None)."""
    rules = [get(field) for field in FIELDS]
    versions = {get("version")["version"], *(rule["version"] for rule in rules)}
    problems = [problem for problem in map(problem_of, [row] * len(FIELDS), FIELDS, rules) if problem]
    return max(versions), len(versions), problems[0] if problems else None


def validate(items):
    """items: [{"id", "amount", "quantity", "country"}] -> [{"row", "pid", "version", "versions", "problem"}]"""
    import slither
    schema = slither.store("schema")
    audit = slither.session().get_or_create("audit", new_audit)
    results = []
    for row in items:
        version, versions, problem = check(row, schema.get)
        audit.append([row["id"], version])
        results.append({"row": row, "pid": os.getpid(), "version": version, "versions": versions, "problem": problem})
    return results


def new_audit():
    import slither
    audit = []

    @slither.on_session_close
    def hand_over():
        slither.host.audit(os.getpid(), audit)

    return audit

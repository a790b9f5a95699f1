# SPDX-License-Identifier: MIT
"""Secrets: every place where the command shows a text, and what stays as it is."""
import json
import unittest

import harness
from pipes import PipeTest

SECRET = "hunter2"


class Redaction(harness.CommandTest):
    def tell(self, *items: str, options=()):
        result = self.call("tells", list(items), "--each", "--with-id", "--errors", "errors", "--report", "report", *options)
        files = {name: self.path(name) for name in ("errors", "report")}
        return result, {name: open(path).read() for name, path in files.items()}

    def expect_hidden(self, texts):
        for name, text in texts.items():
            self.assertNotIn(SECRET, text, name)

    def test_exceptions(self):
        result, files = self.tell("raise")
        self.status(result, 1)
        self.expect_hidden({"stdout": result.out.decode(), "stderr": result.err, **files})
        for text in (result.err, files["errors"], files["report"]):
            self.assertIn("cannot log in with", text)
            self.assertIn("'password': '***'", text)
            self.assertIn("'user': 'bob'", text)
            self.assertIn("token=***", text)  # of the cause, in the traceback
            # the source line of the traceback is as it is in the file
            self.assertIn("int(f\"token={SECRET['password']}\")".replace('"', '\\"') if text is not result.err else "int(f\"token=", text)

    def test_marks(self):
        result, files = self.tell("error", "skip")
        self.status(result, 1)
        self.expect_hidden({"stdout": result.out.decode(), "stderr": result.err, **files})
        self.assertEqual(result.values[1]["reason"], "no login: {'user': 'bob', 'password': '***', 'nested': {'api_key': ***}}")
        self.assertIn("bad login: {'user': 'bob', 'password': '***'", files["errors"])

    def test_deaths(self):
        result, files = self.tell("crash")
        self.status(result, 1)
        self.expect_hidden({"stdout": result.out.decode(), "stderr": result.err, **files})
        self.assertIn("about to go with {'user': 'bob', 'password': '***'", result.err)  # the worker's line
        tails = json.loads(files["errors"])
        self.assertIn("'password': '***'", tails["stderr"])
        self.assertIn("'password': '***'", json.dumps(tails["death"]))

    def test_results_and_inputs_stay(self):
        result, files = self.tell("fine")
        self.status(result, 0)
        self.assertEqual(result.values[0]["value"]["password"], SECRET)
        self.assertNotIn(SECRET, result.err)
        self.assertIn("config: {'user': 'bob', 'password': '***'", result.err)
        item = {"password": SECRET}
        result = self.call("raises", [item], "--errors", "errors")
        self.assertEqual(self.load_lines("errors")[0]["input"], item)

    def test_hot_keys(self):
        items = [{"user": 1, "password": SECRET}] * 3
        result = self.call("same", items, "--key", ".", "--report", "report")
        self.status(result, 0)
        report = open(self.path("report")).read()
        self.assertNotIn(SECRET, report)
        self.assertIn('***', report)

    def test_expressions_and_bad_lines(self):
        lines = b'{"password": "hunter2"}\n{"password": "hunter2", \n'
        result = self.call("same", lines, "--weight", ".+1", "--errors", "errors")
        self.status(result, 1)
        errors = open(self.path("errors")).read()
        self.assertNotIn(SECRET, result.err)
        self.assertEqual(errors.count(SECRET), 1, errors)  # the input of the first
        bad = self.load_lines("errors")[-1]
        self.assertEqual(bad["status"], "bad_input")
        self.assertNotIn(SECRET, bad["text"])
        self.assertIn('"password": "***', bad["text"])

    def test_start(self):
        for template in ([], ["--no-template"]):
            result = self.run_command("call", *template, "--report", "report", "cli_secret_import:f", input=b"1\n")
            self.status(result, 3)
            self.assertIn("postgres://bob:***@db/x", result.err)
            self.assertIn(f"pin_code='{SECRET}'", result.err)
            self.assertNotIn(f":{SECRET}@", open(self.path("report")).read())
        result = self.run_command("call", "--redact", "default,pin*", "cli_secret_import:f", input=b"1\n")
        self.assertNotIn(SECRET, result.err.replace("pin_code='hunter2'\")", ""))  # but for the line of the source ...
        self.assertIn("pin_code='***'", result.err)

    def test_option(self):
        result, _ = self.tell("raise", options=["--redact", "none"])
        self.assertIn(f"'password': '{SECRET}'", result.err)
        result, _ = self.tell("raise", options=["--redact", "user"])
        self.assertIn("'user': '***'", result.err)
        self.assertIn(f"'password': '{SECRET}'", result.err)
        for wrong, says in (("", "names nothing"), (",", "names nothing"), ("-", "no key can match"), ("x" * 64, "64 bytes")):
            result = self.run_command("call", "--redact", wrong, "math:sqrt", input=b"")
            self.status(result, 2)
            self.assertIn("redact", result.err)
            self.assertIn(says, result.err)


class Run(PipeTest):
    """The same of `slither run`, with the lists of a pipe's file."""

    STAGES = """
stages:
  - {name: check, jq: 'if .fail then error({password: .fail, iban: .fail}) else . end', on_error: skip}
  - {name: tell, python: 'cli_functions:tells', mode: each, batch_size: 1, on_error: skip}
"""
    BAD_LINE = b'{"password": "hunter2", "iban": "hunter2",\n'

    def tell(self, *options: str, head: str = "", redact: str = ""):
        """Every text that a run shows of an item, of a failure in jq and in Python, a worker's line, a mark, and a bad line."""
        items = harness.ndjson([{"fail": SECRET}, "raise", "error", "skip", "crash"])
        stages = self.STAGES.replace("if .fail", "if type == \"object\"")
        pipe = self.pipe(f"pools: {{main: {{workers: 1{redact}}}}}\n" + stages, head=head)
        result = self.run_pipe("--errors", "errors", "--report", "report", *options, pipe, items=items + self.BAD_LINE)
        self.status(result, 1)
        lines = {line.get("stage", line["status"]): line for line in self.load_lines("errors")}
        lines["raise"], lines["error"], lines["crash"] = [line for line in self.load_lines("errors") if line.get("stage") == "tell"]
        self.assertEqual(lines["raise"].pop("input"), "raise")
        return result, lines, open(self.path("report")).read()

    def test_usual(self):
        result, lines, report = self.tell("--trace-items", "9")
        lines["check"].pop("input")
        shown = {"stderr": result.err, "report": report, **{name: json.dumps(line) for name, line in lines.items()}}
        for name, text in shown.items():
            self.assertNotIn(f"password': '{SECRET}", text, name)
            self.assertNotIn(f'password\\": \\"{SECRET}', text, name)
        self.assertIn('"password":"***","iban":"hunter2"', lines["check"]["message"])
        self.assertIn("'password': '***'", lines["raise"]["message"])
        self.assertIn("token=***", lines["raise"]["traceback"])
        self.assertIn("'password': '***'", lines["error"]["message"])
        self.assertIn("'password': '***'", lines["crash"]["stderr"])
        self.assertIn('"password": "***"', lines["bad_input"]["text"])

    def test_option_takes_the_place_of_all_lists(self):
        for head, redact in (("", ""), ("redact: [user]\n", ""), ("", ", redact: [user]"), ("redact: []\n", ", redact: []")):
            with self.subTest(head=head, redact=redact):
                result, lines, _ = self.tell("--redact", "iban,password", head=head, redact=redact)
                self.assertIn('"password":"***","iban":"***"', lines["check"]["message"])
                self.assertIn("'user': 'bob', 'password': '***'", lines["raise"]["message"])
                self.assertIn("'user': 'bob', 'password': '***'", lines["crash"]["stderr"])
                self.assertIn('"iban": "***"', lines["bad_input"]["text"])

    def test_none(self):
        result, lines, _ = self.tell("--redact", "none", head="redact: [user]\n", redact=", redact: [user]")
        self.assertIn(f'"password":"{SECRET}"', lines["check"]["message"])
        self.assertIn(f"'user': 'bob', 'password': '{SECRET}'", lines["raise"]["message"])
        self.assertIn(f'"password": "{SECRET}"', lines["bad_input"]["text"])

    def test_of_the_file(self):
        result, lines, _ = self.tell(head="redact: [default, iban, user]\n")
        self.assertIn('"password":"***","iban":"***"', lines["check"]["message"])
        self.assertIn("'user': '***', 'password': '***'", lines["raise"]["message"])
        self.assertIn("'user': '***', 'password': '***'", lines["crash"]["stderr"])
        self.assertIn('"password": "***", "iban": "***"', lines["bad_input"]["text"])

    def test_of_a_pool(self):
        """A pool's own list stands in place of the file's, for its workers."""
        result, lines, _ = self.tell(head="redact: [default, iban]\n", redact=", redact: [user]")
        self.assertIn('"password":"***","iban":"***"', lines["check"]["message"])
        self.assertIn(f"'user': '***', 'password': '{SECRET}'", lines["raise"]["message"])

    def test_lists_are_checked_before_anything_starts(self):
        for head, redact, place in (("redact: ['-']\n", "", "redact"), ("", ", redact: ['-']", "pools.main.redact")):
            pipe = self.pipe(f"pools: {{main: {{workers: 1{redact}}}}}\n" + self.STAGES, head=head)
            result = self.run_pipe("--check", pipe)
            self.status(result, 2)
            self.assertRegex(result.err, rf"pipe.yaml:3:\d+: {place}: .*no key can match")
        result = self.run_pipe("--redact", "-", pipe, items=[])
        self.status(result, 2)
        self.assertIn("--redact", result.err)
        self.assertIn("no key can match", result.err)


if __name__ == "__main__":
    harness.main()

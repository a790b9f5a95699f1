# SPDX-License-Identifier: MIT
"""slither eval: one call, its arguments, its result, its status."""
import json
import os
import signal
import unittest

import harness


class Eval(harness.CommandTest):
    def evaluate(self, *arguments: str, **options):
        return self.run_command("eval", "--python", harness.PYTHON, "--pythonpath", harness.FUNCTIONS, *arguments, **options)

    def expect(self, value, *arguments: str):
        result = self.evaluate(*arguments)
        self.status(result, 0)
        self.assertEqual(result.values, [value], str(result))

    def test_calls(self):
        self.expect(4.0, "math:sqrt", "16")
        self.expect(5.0, "math:fabs", "-5")
        self.expect(0.5, "math:fabs", "-0.5")
        self.expect(3, "builtins:int", '"11"', "base=2")
        self.expect("HELLO", "builtins:str.upper", '"hello"')
        self.expect("/", "os:sep")
        self.expect([[1, [2, {"a": None}], "x=y"], {"b": {"c": True}, "d": 1.5}], "cli_state:said", "1", '[2, {"a": null}]', '"x=y"', 'b={"c": true}', "d=1.5")

    def test_strings(self):
        self.expect([["hello", 7, "a b", "x == y"], {"k": "v"}], "--string", "cli_state:said", "hello", "7", "a b", "x == y", "k=v")
        result = self.evaluate("builtins:str.upper", "hello")
        self.status(result, 2)
        self.assertIn("'hello' is not JSON", result.err)
        self.assertIn("--string", result.err)
        result = self.evaluate("math:sqrt", "1e999")
        self.status(result, 2)
        self.assertIn("1e999 does not fit", result.err)
        result = self.evaluate("cli_state:said", "k=[1,")
        self.status(result, 2)
        self.assertIn("'[1,' is not JSON", result.err)

    def test_command_line(self):
        for arguments, says in (([], "the target is missing"), (["sqrt"], "'sqrt' is not MODULE:NAME"), (["math:"], "not MODULE:NAME"),
                                (["math:sqrt", "a=1", "a=2"], "'a' comes twice")):
            result = self.evaluate(*arguments)
            self.status(result, 2)
            self.assertIn(says, result.err)

    def test_what_cannot_travel(self):
        value = self.evaluate("cli_state:mixed").values[0]
        self.assertEqual(value["model"]["$ref"]["type"], "cli_state.Model")
        self.assertEqual(value["model"]["$ref"]["repr"], "Model(3)")
        self.assertEqual((value["rows"][0], value["rows"][1]["$ref"]["type"]), (1, "set"))

    def test_streams(self):
        result = self.evaluate("cli_state:count", "3")
        self.status(result, 0)
        self.assertEqual(result.values, [{"n": 0}, {"n": 1}, {"n": 2}])
        self.assertEqual(self.evaluate("--iterate", "builtins:set", "[5]").values, [5])
        self.assertEqual(self.evaluate("--iterate", "builtins:list", "[5, 6]").values, [5, 6])

    def test_stream_ends_with_its_reader(self):
        process = self.start("eval", "--python", harness.PYTHON, "--pythonpath", harness.FUNCTIONS, "cli_state:endless")
        self.assertEqual([process.stdout.readline() for _ in range(3)], [b"0\n", b"1\n", b"2\n"])
        process.stdout.close()
        self.assertEqual(process.wait(harness.LIMIT_S), 141)

    def test_interrupted_stream_closes_its_generator(self):
        process = self.start("eval", "--python", harness.PYTHON, "--pythonpath", harness.FUNCTIONS, "cli_state:endless")
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        self.assertEqual(self.finish(process).status, 130)
        self.assertTrue((self.folder / "closed").exists())

    def test_interrupted_call(self):
        begun = self.fifo("begun")
        process = self.start("eval", "--python", harness.PYTHON, "--pythonpath", harness.FUNCTIONS, "cli_state:hang")
        with open(begun) as file:
            pid = int(file.readline())
        process.send_signal(signal.SIGINT)
        result = self.finish(process)
        self.status(result, 130)
        self.assertFalse(os.path.exists(f"/proc/{pid}"))

    def test_failures(self):
        for target, status, says in (
            ("cli_state:leak", 1, "python_exception: cli_state:leak: ValueError"),
            ("cli_state:die", 1, "worker_crashed"),
            ("cli_state:nothing", 3, "function_not_found"),
            ("no_such_module:f", 3, "import_failed"),
        ):
            result = self.evaluate(target)
            self.status(result, status)
            self.assertIn(says, result.err)
            self.assertEqual(result.out, b"")
        result = self.evaluate("--timeout", "100ms", "time:sleep", "100")
        self.status(result, 1)
        self.assertIn("worker_killed_timeout: time:sleep ran longer than its timeout of 100 ms", result.err)
        result = self.run_command("eval", "--python", "/no/such/python", "math:pi")
        self.status(result, 3)
        self.assertIn("/no/such/python", result.err)

    def test_redaction(self):
        result = self.evaluate("cli_state:leak")
        self.assertNotIn("hunter2", result.err)
        self.assertIn("'password': '***'", result.err)
        result = self.evaluate("--redact", "none", "cli_state:leak")
        self.assertIn("hunter2", result.err)

    def test_nan(self):
        result = self.evaluate("math:nan")
        self.status(result, 1)
        self.assertIn("JSON has no NaN", result.err)
        self.assertEqual(self.evaluate("--nan", "null", "math:nan").out, b"null\n")

    def test_help(self):
        text = self.run_command("help", "eval").out.decode()
        self.assertIn("MODULE:NAME", text)
        self.assertEqual(json.loads(self.evaluate("json:dumps", "[1]").out), "[1]")


if __name__ == "__main__":
    harness.main()

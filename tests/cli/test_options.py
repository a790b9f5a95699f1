# SPDX-License-Identifier: MIT
"""The command line itself: what it prints, what it refuses, and that its manual pages tell all of it."""
import os
import pathlib
import re
import unittest

import harness

MAN = pathlib.Path(os.environ.get("SLITHER_TEST_MAN", pathlib.Path(__file__).parents[2] / "man"))


class Options(harness.CommandTest):
    def help_options(self, command: str) -> dict[str, str]:
        """Option -> its argument, as the help text lists them."""
        text = self.run_command("help", command).out.decode()
        return {name: argument or "" for name, argument in re.findall(r"^ +(?:-\w, )?--([a-z-]+)(?: ([A-Z][A-Z=|]*))?", text, re.M)}

    def test_version(self):
        result = self.run_command("--version")
        self.status(result, 0)
        self.assertRegex(result.out, rb"^slither \d+\.\d+\.\d+\n$")

    def test_help(self):
        for arguments in (("help",), ("--help",), ("-h",)):
            result = self.run_command(*arguments)
            self.status(result, 0)
            for command in ("call", "help", "completion", "eval", "run", "shell", "store"):
                self.assertIn(f"\n  {command} ", result.out.decode())
        for arguments in (("help", "call"), ("call", "--help"), ("call", "-h"), ("call", "m:f", "--each", "--help")):
            result = self.run_command(*arguments)
            self.status(result, 0)
            self.assertIn(b"usage: slither call", result.out)
            self.assertEqual(result.err, "")
        self.status(self.run_command("help", "help"), 0)
        self.status(self.run_command("completion", "--help"), 0)

    def test_help_has_one_form(self):
        """Usage, a paragraph, the options under headings, closing words: one empty line between any two."""
        for command in ("baseline", "call", "completion", "eval", "example", "help", "new", "run", "shell", "store"):
            with self.subTest(command):
                text = self.run_command("help", command).out.decode()
                self.assertNotIn("\n\n\n", text)
                self.assertRegex(text, r"\n\n[a-z ,()]+:\n  -|\n\n[a-z ,()]+:\n      --")
                self.assertNotIn("[default", text)

    def test_help_fits(self):
        for command in ("call", "eval", "example", "new", "run", "shell", "store"):
            for line in self.run_command("help", command).out.decode().splitlines():
                self.assertLessEqual(len(line), 116, line)

    def test_refusals(self):
        cases = {
            (): "a command is missing",
            ("cal",): "did you mean 'call'?",
            ("json:dumps",): "slither call json:dumps",
            ("--frob",): "unknown option --frob",
            ("help", "nosuch"): "unknown command 'nosuch'",
            ("help", "call", "help"): "one command at a time",
            ("completion",): "bash or zsh",
            ("completion", "fish"): "bash or zsh",
            ("call",): "the function is missing",
            ("call", "m:f", "--pool-sise", "3"): "did you mean --pool-size?",
            ("call", "m:f", "-j", "0"): "out of range",
            ("call", "m:f", "-j", "4", "--pool-max", "3"): "--pool-max is below --pool-size",
            ("call", "m:f", "-j", "4", "--pool-min", "5"): "--pool-min is above --pool-size",
            ("call", "m:f", "--key", ".a ="): "--key '.a =': syntax error",
            ("call", "m:f", "--weight", "nosuch"): "nosuch/0 is not defined",
            ("call", "m:f", "--on-error", "retry:max=many"): "--on-error: max 'many'",
        }
        for arguments, part in cases.items():
            with self.subTest(arguments):
                result = self.run_command(*arguments)
                self.status(result, 2)
                self.assertEqual(result.out, b"")
                self.assertIn(part, result.err)
                self.assertIn("Try 'slither help", result.err)

    def test_nothing_is_touched_by_a_refusal(self):
        (self.folder / "report.json").write_text("precious")
        result = self.call("same", [1], "--report", "report.json", "--errors", "no/such/folder")
        self.status(result, 2)
        self.assertEqual((self.folder / "report.json").read_text(), "precious")

    def test_full_disk_under_help(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full here")
        with open("/dev/full", "wb") as full:
            self.status(self.run_command("help", stdout=full), 3)

    def test_manual_page_has_each_option(self):
        for command in ("call", "eval", "example", "new", "run", "shell", "store"):
            page = (MAN / f"slither-{command}.1").read_text()
            listed = dict(re.findall(r"^\.It Fl (?:\w , Fl )?-([a-z-]+)(?: Ar ([A-Z=|]+))?", page, re.M))
            self.assertEqual(listed, self.help_options(command))

    def test_manual_page_has_each_command(self):
        page = (MAN / "slither.1").read_text()
        overview = self.run_command("help").out.decode()
        commands = re.findall(r"^  (\w+)  ", overview, re.M)
        self.assertEqual(sorted(re.findall(r"^\.It Cm (\w+)", page, re.M)), sorted(commands))

    def test_manual_pages_agree_on_statuses(self):
        for name in ("slither.1", "slither-call.1", "slither-eval.1", "slither-run.1", "slither-shell.1", "slither-store.1"):
            page = (MAN / name).read_text()
            section = page[page.index(".Sh EXIT STATUS"):].split("\n.Sh ", 2)[0]
            listed = [int(number) for number in re.findall(r"^\.It (\d+)", section, re.M)]
            self.assertEqual(listed, [0, 1, 2, 3, 130, 141], name)

    def test_cross_references_resolve(self):
        for page in MAN.glob("*.1"):
            for name in re.findall(r"^\.Xr (slither[\w-]*) 1", page.read_text(), re.M):
                self.assertTrue((MAN / f"{name}.1").exists(), f"{page.name} refers to {name}(1)")


if __name__ == "__main__":
    harness.main()

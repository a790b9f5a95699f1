# SPDX-License-Identifier: MIT
"""The completion scripts, in the shells that they are for."""
import re
import shutil
import subprocess
import unittest

import harness


class Completion(harness.CommandTest):
    def complete(self, *words: str) -> list[str]:
        """What bash offers for the last of the words."""
        script = self.run_command("completion", "bash").out.decode()
        quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)
        program = (
            f"compopt() {{ :; }}\n{script}\nCOMP_WORDS=({quoted})\nCOMP_CWORD={len(words) - 1}\n_slither\n"
            'printf "%s\\n" "${COMPREPLY[@]}"\n'
        )
        done = subprocess.run(["bash", "-u"], input=program, capture_output=True, text=True, cwd=self.folder)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split()

    def help_options(self, command: str) -> set[str]:
        text = self.run_command("help", command).out.decode()
        return set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", text, re.M))

    def test_commands(self):
        self.assertEqual(set(self.complete("slither", "")), {"baseline", "call", "completion", "eval", "example", "help", "new", "run", "shell", "store", "--version", "--help"})
        self.assertEqual(self.complete("slither", "ca"), ["call"])
        self.assertEqual(set(self.complete("slither", "help", "")), {"baseline", "call", "completion", "eval", "example", "help", "new", "run", "shell", "store"})
        self.assertEqual(self.complete("slither", "completion", "z"), ["zsh"])

    def test_every_option(self):
        for command in ("call", "completion", "eval", "help", "new", "run", "shell", "store"):
            self.assertEqual(set(self.complete("slither", command, "--")), self.help_options(command))

    def test_values(self):
        self.assertEqual(self.complete("slither", "call", "--strategy", ""), ["fixed", "weighted", "key"])
        self.assertEqual(self.complete("slither", "call", "--ordering", "p"), ["preserve"])
        self.assertEqual(self.complete("slither", "call", "--nan", "=", "n"), ["null"])
        self.assertEqual(self.complete("slither", "call", "--nan", "="), ["error", "null"])
        self.assertEqual(self.complete("slither", "call", "--on-error", "r"), ["retry", "route:"])
        self.assertEqual(self.complete("slither", "call", "--batch-size", ""), [])

    def test_run(self):
        (self.folder / "scoring.yaml").write_text("")
        self.assertEqual(self.complete("slither", "run", "sc"), ["scoring.yaml"])
        self.assertEqual(self.complete("slither", "run", "--graph", ""), ["text", "dot", "svg"])
        self.assertEqual(self.complete("slither", "run", "--report", "sc"), ["scoring.yaml"])

    def test_store(self):
        (self.folder / "prices.csv").write_text("")
        self.assertEqual(self.complete("slither", "store", "l"), ["ls", "load"])
        self.assertEqual(self.complete("slither", "store", "load", "shop", "prices", "pr"), ["prices.csv"])
        self.assertEqual(self.complete("slither", "store", "--kind", ""), ["set", "ordered-set", "bag"])

    def test_files_and_modules(self):
        (self.folder / "model.py").write_text("")
        (self.folder / "items.ndjson").write_text("")
        (self.folder / "lib").mkdir()
        self.assertEqual(self.complete("slither", "call", "it"), ["items.ndjson"])
        self.assertIn("model:", self.complete("slither", "call", "mo"))
        self.assertEqual(self.complete("slither", "call", "--errors", "it"), ["items.ndjson"])
        self.assertEqual(self.complete("slither", "call", "--pythonpath", ""), ["lib"])

    @unittest.skipUnless(shutil.which("zsh"), "no zsh here")
    def test_zsh(self):
        script = self.run_command("completion", "zsh").out
        (self.folder / "_slither").write_bytes(script)
        done = subprocess.run(["zsh", "-n", "_slither"], capture_output=True, text=True, cwd=self.folder)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for command in ("call", "completion", "help", "new", "run"):
            for option in self.help_options(command):
                self.assertIn(option.encode(), script)
        # The whole way, as a user goes it: a zsh on a terminal of its own, asked to list what there is.
        program = (
            "zmodload zsh/zpty\n"
            "zpty shell zsh -f -i\n"
            "zpty -w shell \"PROMPT=; fpath=($PWD \\$fpath); autoload -Uz compinit; compinit -u -d $PWD/dump; "
            "zstyle ':completion:*' list-prompt ''; LISTMAX=1000; print READY\"\n"
            "while zpty -r shell line; do [[ $line == *READY* && $line != *print* ]] && break; done\n"
            "zpty -w -n shell $'slither call --str\\t'\n"
            "text=\n"
            "while zpty -r shell part '*strategy*'; do text+=$part; break; done\n"
            "print -r -- $text\n"
            "zpty -d shell\n"
        )
        done = subprocess.run(["zsh", "-f"], input=program, capture_output=True, text=True, cwd=self.folder, timeout=harness.LIMIT_S)
        self.assertIn("--strategy", done.stdout, done.stderr)

    @unittest.skipUnless(shutil.which("shellcheck"), "no shellcheck here")
    def test_shellcheck(self):
        (self.folder / "slither.bash").write_bytes(self.run_command("completion", "bash").out)
        done = subprocess.run(["shellcheck", "slither.bash"], capture_output=True, text=True, cwd=self.folder)
        self.assertEqual(done.stdout, "")


if __name__ == "__main__":
    harness.main()

# SPDX-License-Identifier: MIT
"""slither example and slither baseline: what they say when they are asked for what there is not."""
import os
import pathlib
import subprocess
import tempfile
import unittest

COMMAND = os.environ["SLITHER_COMMAND"]


def slither(*arguments, **environ):
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=120, env=dict(os.environ, **environ))


class ExampleCommandTest(unittest.TestCase):
    def test_lists(self):
        done = slither("example")
        self.assertEqual(done.returncode, 0, done.stderr)
        for name in ("text_analysis", "batch_stats", "data_etl", "ml_scoring", "image_pipeline"):
            self.assertIn(name, done.stdout)

    def test_unknown_name(self):
        done = slither("example", "text_analysys")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("there is no example 'text_analysys': did you mean 'text_analysis'?", done.stderr)

    def test_bad_options(self):
        for arguments, text in ((("--scale", "huge"), "huge"), (("--workers", "0"), "workers"), (("--no-such",), "no-such")):
            done = slither("example", *arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn(text, done.stderr)
        for option in ("--python", "--free-threaded"):
            done = slither("example", "data_etl", option, "/nowhere/python")
            self.assertEqual(done.returncode, 2)
            self.assertIn("'/nowhere/python' is no Python interpreter", done.stderr)
        done = slither("baseline", "--no-baseline")
        self.assertEqual(done.returncode, 2)

    def test_examples_that_are_not_there(self):
        done = slither("example", SLITHER_EXAMPLES_PATH="/nowhere")
        self.assertEqual(done.returncode, 3)
        self.assertIn("the examples are not in /nowhere (set by $SLITHER_EXAMPLES_PATH)", done.stderr)

    def test_packages_that_cannot_be_installed(self):
        """Offline: what failed, and what to do; no half-made environment is taken for a whole one."""
        with tempfile.TemporaryDirectory() as cache:
            nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "UV_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0",
                       "UV_HTTP_RETRIES": "0", "XDG_CACHE_HOME": cache, "VIRTUAL_ENV": ""}
            for _ in range(2):
                done = slither("example", "image_pipeline", **nowhere)
                if done.returncode == 0:
                    self.skipTest("the interpreter has the packages already")
                self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
                self.assertIn("could not be installed", done.stderr)
                self.assertIn("--python", done.stderr)
            self.assertEqual(list(pathlib.Path(cache).glob("slither/environments/*")), [])

    def test_baseline_alone(self):
        done = slither("baseline", "data_etl", "--json", "--workers", "2")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn('"slither"', done.stdout)
        self.assertIn('"safe_python"', done.stdout)

    def test_new_project(self):
        """It runs, and passes its own test; then it fails it, when its function is changed."""
        with tempfile.TemporaryDirectory() as folder:
            project = pathlib.Path(folder) / "mine"
            done = slither("new", str(project))
            self.assertEqual(done.returncode, 0, done.stderr)
            # What it says to go on with works as it stands, also where Slither is built and not installed.
            go_on = [line.strip() for line in done.stdout.splitlines() if line.startswith("    ")]
            self.assertEqual(go_on[0], f"cd {project}")
            done = subprocess.run(["sh", "-euc", "\n".join(go_on)], capture_output=True, text=True, timeout=120)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertIn("mine: what came out is what was expected", done.stdout)
            self.assertIn("make check", (project / "README.md").read_text())
            make = ["make", "-C", str(project), "SLITHER=" + COMMAND, "SLITHER_CFLAGS=" + os.environ["SLITHER_TEST_CFLAGS"]]
            checked = subprocess.run([*make, "check"], capture_output=True, text=True, timeout=120)
            self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
            self.assertIn("mine: what came out is what was expected", checked.stdout)
            module = project / "mine.py"
            module.write_text(module.read_text().replace("len(item", "1 + len(item"))
            checked = subprocess.run([*make, "check"], capture_output=True, text=True, timeout=120)
            self.assertNotEqual(checked.returncode, 0, checked.stdout)
            self.assertEqual(subprocess.run([*make, "run"], capture_output=True, timeout=120).returncode, 0)
            done = slither("new", str(project))
            self.assertEqual(done.returncode, 2)
            self.assertIn("File exists", done.stderr)

    def test_names_of_projects(self):
        for name in ("7up", "with-dash", "json", "class"):
            done = slither("new", "/nowhere/" + name)
            self.assertEqual(done.returncode, 2)
            self.assertIn("'%s' cannot be the name of a project" % name, done.stderr)
        self.assertEqual(slither("new").returncode, 2)


if __name__ == "__main__":
    unittest.main()

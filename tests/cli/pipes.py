# SPDX-License-Identifier: MIT
"""What the tests of `slither run` share: pipes as files, and runs of them."""
import json
import pathlib
import signal
import subprocess
import sys

import harness


class PipeTest(harness.CommandTest):
    def pipe(self, text: str, name: str = "pipe.yaml", head: str = "") -> str:
        """Writes a pipe whose workers are those of the tests, one of them unless `head` says otherwise."""
        pools = "" if "pools:" in head + text else "pools: {main: {workers: 1}}\n"
        path = self.folder / name
        path.write_text(
            f"pipe: {name.split('.')[0]}\n"
            f"python: {{interpreter: {json.dumps(harness.PYTHON)}, path: [{json.dumps(harness.FUNCTIONS)}]}}\n"
            f"{pools}{head}{text}"
        )
        return str(path)

    def same(self, function: str = "same", **options) -> str:
        """A pipe of one Python stage, with options of that stage and of the run."""
        run = options.pop("options", None)
        lines = [f"stages:\n  - name: work\n    python: cli_functions:{function}\n"]
        lines += [f"    {key}: {value}\n" for key, value in options.items()]
        lines += [f"options: {json.dumps(run)}\n"] if run else []
        return self.pipe("".join(lines))

    def run_pipe(self, *arguments: str, items=None, **options) -> harness.Result:
        data = harness.ndjson(items) if isinstance(items, list) else items
        return self.run_command("run", *arguments, input=data, **options)

    def report(self, name: str = "report.json"):
        return self.load(name)

    def start_pipe(self, *arguments: str, **options) -> subprocess.Popen:
        return self.start("run", *arguments, **options)

# SPDX-License-Identifier: MIT
"""The list in docs/telemetry.md is the one that the library has. list_test.py PROGRAM PAGE [--update]"""

import subprocess
import sys

BEGIN, END = "<!-- list: tests/telemetry/update.sh writes what follows -->\n", "<!-- end of the list -->\n"

program, page = sys.argv[1:3]
expected = subprocess.run([program], stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout
with open(page, encoding="utf-8") as file:
    text = file.read()
head, rest = text.split(BEGIN)
found, tail = rest.split(END)
if found == expected:
    sys.exit(0)
if sys.argv[3:] == ["--update"]:
    with open(page, "w", encoding="utf-8") as file:
        file.write(head + BEGIN + expected + END + tail)
    sys.exit(0)
missing = [line for line in expected.splitlines() if line not in found.splitlines()]
stale = [line for line in found.splitlines() if line not in expected.splitlines()]
sys.exit("%s does not list what the library tells; run tests/telemetry/update.sh BUILD_DIR.\nmissing:\n%s\nnot true any more:\n%s"
         % (page, "\n".join(missing) or "nothing", "\n".join(stale) or "nothing"))

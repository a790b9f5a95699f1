# SPDX-License-Identifier: MIT
"""compare.py NM LIBRARY EXPECTED INCLUDE_DIRECTORY [--update]

Fails when the library exports other symbols than EXPECTED lists, or other functions than the headers declare with SL_API.
"""

import re
import subprocess
import sys
from pathlib import Path

# Versions, and what sanitizers and coverage add, are not the interface.
OWN = re.compile(r"^sl_")
DECLARED = re.compile(r"SL_API\b[^;{]*?\b(sl_\w+)\s*\(", re.S)


def exported(nm, library):
    lines = subprocess.run([nm, "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    names = {line.split()[2].split("@")[0]: line.split()[1] for line in lines.splitlines() if len(line.split()) == 3}
    return {name for name, kind in names.items() if OWN.match(name) or (kind in "TDB" and name.startswith("sl"))}


def declared(folder):
    names = set()
    for header in sorted(Path(folder).glob("*.h*")):
        text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.S)
        names.update(DECLARED.findall(text))
    return names


def report(title, names):
    for name in sorted(names):
        print(f"{title}: {name}")
    return bool(names)


def main():
    nm, library, expected_path, folder, *options = sys.argv[1:]
    found = exported(nm, library)
    if options == ["--update"]:
        Path(expected_path).write_text("".join(f"{name}\n" for name in sorted(found)))
        return 0
    expected = set(Path(expected_path).read_text().split())
    wrong = [
        report("exported, but not in tests/symbols/expected.txt", found - expected),
        report("in tests/symbols/expected.txt, but not exported", expected - found),
        report("exported, but declared with SL_API in no public header", found - declared(folder)),
        report("declared in a public header, but not exported", declared(folder) - found),
    ]
    if any(wrong):
        print(f"compared {library}; after a wanted change run tests/symbols/update.sh")
    return int(any(wrong))


if __name__ == "__main__":
    sys.exit(main())

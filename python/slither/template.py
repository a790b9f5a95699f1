# SPDX-License-Identifier: MIT
"""What a host starts as the template of a pool: python -m slither.template, with the life-cycle socket as descriptor 3.

Like worker.py it only decides whether the interpreter can run a worker, and is read by interpreters of any age; the work is in _fork.py.
"""
import sys

from slither.worker import send_failure, usable


def main():
    if not usable():
        return 1
    from slither import _fork, _native
    return _fork.run(_native, send_failure, sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())

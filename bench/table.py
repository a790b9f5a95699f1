# SPDX-License-Identifier: MIT
"""The figures as text: lines for a terminal, and a table for the documents."""
import datetime
import re

HEADER = f"{'row':<22}{'unit':<9}{'ours':>11}{'peer':>11}{'ratio':>8}{'asked':>7}  {'':<9}{'peer':<36}rounds of ours"
PLACE = re.compile(r"(<!-- bench:begin( all| few)? -->\n).*?(<!-- bench:end -->)", re.S)
# The rows of the short table, as somebody reads them who has not seen the long one.
FEW = {
    "call_rtt": "one call of a Python function, there and back",
    "map_small": "small items, in batches of 64",
    "bytes_1mib": "a call with 1 MiB",
    "store_get_python": "Python reads a shared table",
    "crash_recovery": "from a dead worker to the next result",
    "pipe_vs_mp": "three Python stages, one behind the other",
}


def figure(number):
    if number >= 100_000:
        return f"{number / 1000:,.0f} k"
    return f"{number:,.0f}" if number >= 1000 else f"{number:.1f}"


def target(row):
    return "-" if row.target is None else f"{row.target:g}"


def verdict(row, ratio):
    if row.target is None:
        return ""
    return "reached" if ratio >= row.target else "MISSED"


def line(row, record, rounds):
    lowest, highest = (figure(end(ours for ours, _ in rounds)) for end in (min, max))
    return (f"{row.name:<22}{row.unit:<9}{figure(record['ours']):>11}{figure(record['peer']):>11}{record['ratio']:>8.2f}"
            f"{target(row):>7}  {verdict(row, record['ratio']):<9}{row.peer_name:<36}{lowest} .. {highest}")


def in_words(number, unit):
    if unit.startswith("items/s"):
        return f"{number / 1e6:.1f} M items/s" if number >= 1e6 else f"{number / 1000:,.0f} k items/s"
    return f"{number:,.0f} {unit}" if number >= 20 else f"{number:.1f} {unit}"


def short(measured):
    lines = ["| | Slither | | |", "|---|--:|--:|---|"]
    records = {row.name: (row, record) for row, record in measured}
    for name, words in FEW.items():
        if name in records:
            row, record = records[name]
            lines.append(f"| {words} | {in_words(record['ours'], row.unit)} | {in_words(record['peer'], row.unit)} | {row.peer_name} |")
    return "\n".join(lines) + "\n"


def markdown(measured, about, which):
    """`measured`: pairs of a row and its record; `which`: what the mark says behind its name."""
    if which == " few":
        return short(measured)
    facts = dict(about)
    lines = [
        f"Measured on {datetime.date.today():%Y-%m-%d}: {facts['processor']}; {facts['kernel']}; {facts['python'].split(',')[0]}; "
        f"load before the run {facts['load before'].split()[0]}.",
        "",
        "| row | unit | Slither | peer | | ratio | asked |",
        "|---|---|--:|--:|---|--:|--:|",
    ]
    for row, record in measured:
        if which or row.target is not None:
            lines.append(f"| {row.name} | {row.unit} | {figure(record['ours'])} | {figure(record['peer'])} | {row.peer_name} "
                         f"| {record['ratio']:.2f} | {target(row)} |")
    return "\n".join(lines) + "\n"


def update(path, measured, about):
    """Puts tables between the marks of a document: the rows with a target, or all or a few where the mark says so."""
    text = path.read_text(encoding="utf-8")
    new, count = PLACE.subn(lambda place: place[1] + "\n" + markdown(measured, about, place[2]) + "\n" + place[3], text)
    if count == 0:
        raise SystemExit(f"bench: {path} has no place for a table; expected one from <!-- bench:begin -->, <!-- bench:begin all --> or "
                         "<!-- bench:begin few --> to <!-- bench:end -->")
    path.write_text(new, encoding="utf-8")

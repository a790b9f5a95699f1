# SPDX-License-Identifier: MIT
"""The figures as text: lines for a terminal, and a table for the documents."""
import datetime
import re

HEADER = f"{'row':<22}{'unit':<9}{'ours':>11}{'peer':>11}{'ratio':>8}{'asked':>7}  {'':<9}{'peer':<36}rounds of ours"
PLACE = re.compile(r"(<!-- bench:begin( all)? -->\n).*?(<!-- bench:end -->)", re.S)


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


def markdown(measured, about, everything):
    """`measured`: pairs of a row and its record."""
    facts = dict(about)
    lines = [
        f"Measured on {datetime.date.today():%Y-%m-%d}: {facts['processor']}; {facts['kernel']}; {facts['python'].split(',')[0]}; "
        f"load before the run {facts['load before'].split()[0]}.",
        "",
        "| row | unit | Slither | peer | | ratio | asked |",
        "|---|---|--:|--:|---|--:|--:|",
    ]
    for row, record in measured:
        if everything or row.target is not None:
            lines.append(f"| {row.name} | {row.unit} | {figure(record['ours'])} | {figure(record['peer'])} | {row.peer_name} "
                         f"| {record['ratio']:.2f} | {target(row)} |")
    return "\n".join(lines) + "\n"


def update(path, measured, about):
    """Puts the table between the marks of a document: the rows with a target, or all where the mark says so."""
    text = path.read_text(encoding="utf-8")
    new, count = PLACE.subn(lambda place: place[1] + "\n" + markdown(measured, about, place[2]) + "\n" + place[3], text)
    if count != 1:
        raise SystemExit(f"bench: {path} has {count} places for a table; expected one, from <!-- bench:begin --> or "
                         "<!-- bench:begin all --> to <!-- bench:end -->")
    path.write_text(new, encoding="utf-8")

"""The part of a page between two marks: written from a folder of results, and held to be as that says.

The first mark names the folder. Where it names none, nothing has been measured, and the part says so.
"""

import re
from pathlib import Path

from ground.process import Failed
from ground.results import ROOT
from sizes import pictures

from . import curve, rows

MARK = re.compile(r"<!-- measured: (\S+) -->\n(.*?)<!-- /measured -->", re.DOTALL)
RESULTS = ROOT / "bench/results"
NOTHING = "nothing"
EMPTY = """\
Nothing is measured yet on a machine that had nothing else to do.
"""
# Those of a size that are shown with the table; all are in the folder.
SHOWN = ("size-tokens-cpu.svg", "size-connections-cpu.svg", "size-hits-cpu.svg", "size-nodes-cpu.svg")


def folder_of(page: str) -> str:
    """The name of the folder that the page is about."""
    found = MARK.findall(page)
    if len(found) != 1:
        raise Failed("the page needs the marks <!-- measured: FOLDER --> and <!-- /measured -->, once")
    return found[0][0]


def fill(page: str, name: str, results: Path = RESULTS) -> str:
    """The page, with what the folder of this name says."""
    folder_of(page)
    text = EMPTY if name == NOTHING else measured(results / name)
    return MARK.sub(lambda _: f"<!-- measured: {name} -->\n{text}<!-- /measured -->", page)


def measured(folder: Path) -> str:
    """The part of a folder."""
    if not folder.is_dir():
        raise Failed(f"there are no results in {folder.name}")
    shown = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else Path(folder.name)
    found = rows.rows(folder)
    parts = [rows.table(found, folder)]
    if told := origins(folder):
        parts.insert(0, told)
    if (folder / curve.SWEEP).is_file():
        parts.append(f"![{curve.TITLE}]({shown / curve.PICTURE})")
    if (folder / "size.json").is_file():
        run = rows.read(folder / "size.json")
        written = pictures.files(run)
        titles = {picture.file: picture.title for picture in pictures.all_pictures(run)}
        parts += [f"![{titles[name]}]({shown / name})" for name in SHOWN if name in written]
        parts.append(f"All plots of cost against size, and the same as tables: [size.md]({shown}/size.md).")
    return "\n\n".join(parts) + "\n"


def origins(folder: Path) -> str:
    """Which machine, when, and of which sources: each result says it for itself, and they may differ."""
    metas = ("comparison.meta.json", "memory.json", "batch.json", "size.json", curve.META)
    told = [found for name in metas if (found := rows.read(folder / name))]
    lines = {
        f"{one['date']}, {one['machine']['cores']} cores of {one['machine']['processor']}, "
        f"Linux {one['machine']['kernel']}, commit `{one['commit']}`."
        for one in told
    }
    return "\n".join(sorted(lines))


def drift(page: str, results: Path = RESULTS) -> list[str]:
    """What is not as the raw results say: the part of the page, and the pictures."""
    name = folder_of(page)
    wrong = [] if fill(page, name, results) == page else [f"the part about {name} is not what its results say"]
    folder = results / name
    if name == NOTHING:
        return wrong
    drawn = {}
    if sweep := rows.read(folder / curve.SWEEP):
        drawn[curve.PICTURE] = curve.picture(sweep)
    if run := rows.read(folder / "size.json"):
        drawn.update(pictures.files(run))
    for file, text in drawn.items():
        if not (folder / file).is_file() or (folder / file).read_text() != text:
            wrong.append(f"{file} is not what its raw results say")
    return wrong

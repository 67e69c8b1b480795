"""The command line."""

import argparse
import sys
from pathlib import Path

from ground.process import Failed
from ground.results import ROOT

from . import block, rows, selftest


def main(arguments: list[str]) -> int:
    """Exit code 0 when it was done or holds, 1 when the page is not as the results say."""
    parser = argparse.ArgumentParser(
        prog="bench/figures/table",
        description="Prints what is promised of the speed beside what a folder of results says was measured.",
    )
    parser.add_argument("folder", nargs="?", type=Path, help="a folder of results, as bench/results/<date>-<machine>")
    parser.add_argument("--write", action="store_true", help="write it into README.md, between the marks")
    parser.add_argument(
        "--check", action="store_true", help="hold that README.md and the pictures say what the results do"
    )
    parser.add_argument("--page", type=Path, default=ROOT / "README.md", help="another page than README.md")
    parser.add_argument("--self-test", action="store_true", help="check the arithmetic, and nothing else")
    asked = parser.parse_args(arguments)
    if asked.self_test:
        return selftest.run()
    try:
        if asked.check:
            wrong = block.drift(asked.page.read_text())
            for line in wrong:
                print(
                    f"{line}: write it anew with bench/figures/table --write FOLDER, --draw of the others",
                    file=sys.stderr,
                )
            return 1 if wrong else 0
        if asked.folder is None:
            parser.error("which folder of results?")
        folder = asked.folder.absolute()
        if asked.write:
            if folder.parent != block.RESULTS:
                raise Failed("only what is in bench/results can be written into a page: it has to be there for others")
            asked.page.write_text(block.fill(asked.page.read_text(), folder.name))
        else:
            print(rows.table(rows.rows(folder), folder))
    except (Failed, OSError, KeyError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""usage: spdx.py [--fix]   names the files of source without a line that says their licence; --fix writes it."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
LINE = "SPDX-License-Identifier: MIT"
COMMENTS = {
    ".c": f"/* {LINE} */", ".h": f"/* {LINE} */", ".lua": f"-- {LINE}",
    ".py": f"# {LINE}", ".sh": f"# {LINE}", ".cmake": f"# {LINE}", ".mjs": f"// {LINE}", ".cjs": f"// {LINE}",
}
NAMES = {"CMakeLists.txt": f"# {LINE}", "Makefile": f"# {LINE}", "Dockerfile": f"# {LINE}", "run": f"# {LINE}"}


def comment_for(path):
    return NAMES.get(path.name) or COMMENTS.get(path.suffix)


def without():
    """The files, tracked by git, that ought to have the line and do not."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        path = ROOT / name
        if path.is_file() and comment_for(path) and "corpus" not in path.parts:
            text = path.read_text()
            if text.strip() and LINE not in "\n".join(text.splitlines()[:5]):
                yield path


def fix(path):
    text = path.read_text()
    first, newline, rest = text.partition("\n")
    shebang = f"{first}{newline}" if first.startswith("#!") else ""
    path.write_text(shebang + comment_for(path) + "\n" + (rest if shebang else text))


def main():
    missing = sorted(without())
    for path in missing:
        if "--fix" in sys.argv[1:]:
            fix(path)
        else:
            print(path.relative_to(ROOT))
    return 1 if missing and "--fix" not in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())

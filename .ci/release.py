"""Check a tag and print the text of its release: python3 .ci/release.py v0.2.0

The tag has to be "v" and the version of both packages, and CHANGELOG.md has to have a section of that version.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("pyproject.toml", "src/migration_xray/pyproject.toml")


class Fault(Exception):
    """A sentence: what was found, what was expected, what to do."""


def release_text(tag, root=ROOT):
    """The section of the changelog for this tag. Raises Fault where something does not fit together."""
    version = tag.removeprefix("v")
    for package in PACKAGES:
        found = tomllib.loads((root / package).read_text(encoding="utf-8"))["project"]["version"]
        if tag != f"v{found}":
            raise Fault(f"The tag is {tag}, and {package} has version {found}. Tag the commit that sets the version.")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(rf"^## \[{re.escape(version)}\][^\n]*\n(.*?)(?=^## \[|\Z)", changelog, re.M | re.S)
    if not section or not section[1].strip():
        raise Fault(
            f"CHANGELOG.md has no section [{version}] with text in it. Give what is under [Unreleased] this version and "
            "the date, commit, and tag that commit."
        )
    return section[1].strip()


if __name__ == "__main__":
    try:
        print(release_text(sys.argv[1]))
    except IndexError:
        sys.exit("Which tag? For example: python3 .ci/release.py v0.2.0")
    except Fault as fault:
        sys.exit(str(fault))

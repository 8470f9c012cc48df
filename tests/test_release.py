"""A release's tag, versions and text fit together: a wheel with another version than its tag can't be taken back."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import yaml

from migration_lab.paths import ROOT

RELEASE = runpy.run_path(str(ROOT / ".ci" / "release.py"))
release_text, Fault = RELEASE["release_text"], RELEASE["Fault"]
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-12-01\n\n### Added\n\n- This.\n\n## [0.1.0] - 2026-11-27\n\n- That.\n"
JOBS = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))["jobs"]


def repository(root: Path, *versions: str, changelog: str = CHANGELOG) -> Path:
    for package, version in zip(RELEASE["PACKAGES"], versions, strict=True):
        file = root / package
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'[project]\nname = "{file.parent.name}"\nversion = "{version}"\n', encoding="utf-8")
    (root / "CHANGELOG.md").write_text(changelog, encoding="utf-8")
    return root


def test_the_text_is_the_section_of_the_version_and_no_more(tmp_path):
    assert release_text("v0.2.0", repository(tmp_path, "0.2.0", "0.2.0")) == "### Added\n\n- This."
    assert release_text("v0.1.0", repository(tmp_path, "0.1.0", "0.1.0")) == "- That."


@pytest.mark.parametrize(
    ("tag", "versions", "said"),
    [
        ("v0.2.1", ("0.2.0", "0.2.0"), "The tag is v0.2.1, and pyproject.toml has version 0.2.0"),
        ("0.2.0", ("0.2.0", "0.2.0"), "The tag is 0.2.0, and pyproject.toml has version 0.2.0"),
        ("v0.2.0", ("0.2.0", "0.1.9"), "and src/migration_xray/pyproject.toml has version 0.1.9"),
        ("v0.3.0", ("0.3.0", "0.3.0"), r"CHANGELOG.md has no section \[0.3.0\]"),
        ("v0x2.0", ("0x2.0", "0x2.0"), r"CHANGELOG.md has no section \[0x2.0\]"),
    ],
)
def test_what_does_not_fit_is_told(tag, versions, said, tmp_path):
    with pytest.raises(Fault, match=said):
        release_text(tag, repository(tmp_path, *versions))


def test_an_empty_section_is_no_text(tmp_path):
    empty = CHANGELOG.replace("### Added\n\n- This.\n", "")
    with pytest.raises(Fault, match="with text in it"):
        release_text("v0.2.0", repository(tmp_path, "0.2.0", "0.2.0", changelog=empty))


def test_only_the_job_that_publishes_may_write():
    """The other jobs run programs out of the wheels' dependencies."""
    may_write = [name for name, job in JOBS.items() if "write" in job.get("permissions", {}).values()]
    assert may_write == ["publish"]
    assert not [step for step in JOBS["publish"]["steps"] if "checkout" in step.get("uses", "")]

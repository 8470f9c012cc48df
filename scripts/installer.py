"""Install into .venv by uv, which takes seconds; where uv cannot do it, by pip."""

import functools
import os
import re
import shutil
import tempfile
from pathlib import Path

import room
from faults import Fault
from places import DOWNLOADS_MB, LEARNERS_MB, OWN_CACHE, PYTHON, ROOT, SITE_PACKAGES, UV, UV_LOCK
from settings import is_on, pip_settings, variables_for_uv
from steps import printed, run, say

# With -I, variables such as PYTHONWARNINGS cannot stop pip; the log is in UTF-8 anywhere.
PIP = [str(PYTHON), "-I", "-X", "utf8", "-m", "pip"]
PIP_OPTIONS = ("--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--no-user")
# What pip would not do better than uv. In all else pip has the last word: it knows more kinds of index.
FINAL = ("full", "in use", "not compiled")


def install(lock):
    """All that this lock names, and nothing whose contents it does not know."""
    uv_and_its_settings()  # says in a line what it does
    say(f"Installing the packages that {lock.relative_to(ROOT).as_posix()} names")
    named = set(re.findall(r"^[a-z0-9][^=]*(?===)", lock.read_text("utf-8"), re.M))
    before = count(named)
    arguments = ("--require-hashes", "--requirement", str(lock))

    def uv_does(log):
        resolved = re.search(r"^Resolved (\d+) packages?", log, re.M)
        total = int(resolved[1]) - before if resolved else len(named)
        here = count(named) - before
        if here:
            return f"installing {min(here + 1, total)} of {total}"
        sizes = dict(re.findall(r"^Downloading (\S+) \(([\d.]+)MiB\)", log, re.M))
        fetched = re.findall(r"^ Downloaded (\S+)", log, re.M)
        done, all_mb = (sum(float(sizes.get(name, 0)) for name in names) for names in (fetched, sizes))
        return f"fetching {total} packages" + (f": {done:.0f} of {all_mb:.0f} MB" if sizes else "")

    def pip_does(log):
        installing = re.search(r"^Installing collected packages: (.+)$", log, re.M)
        if installing:
            names = installing[1].split(", ")
            here = min(count(named) - before, len(names) - 1)
            return f"installing {here + 1} of {len(names)}: {names[here]}"
        total = len(named) - before - len(re.findall(r"^Ignoring ", log, re.M))
        found = re.findall(r"^(?:Collecting|Processing) (.+?)(?: \(from|$)", log, re.M)
        name = re.split(r"==|-\d", re.split(r"[/\\]", found[-1])[-1])[0].replace("_", "-") if found else "..."
        return f"fetching {len(found)} of {total}: {name}"

    # The lock is complete, so uv need not look for what its packages need. To look for the best match in all indexes, as
    # pip does, is unsafe where a stranger's package may match; here nothing is installed without its hash.
    by_uv = (*arguments, "--no-deps", "--index-strategy", "unsafe-best-match")
    if not uv(by_uv, uv_does):
        room.check(tempfile.gettempdir(), DOWNLOADS_MB)
        pip(arguments, pip_does)


def install_own(packages):
    """This repository's own packages, as they are in the clone."""
    for package in packages:
        arguments = ("--no-deps", "--no-build-isolation", "--editable", package)
        doing = functools.partial(constantly, f"installing the package in {(ROOT / package).resolve().name}")
        if not uv(("--reinstall", *arguments), doing):
            pip(arguments, doing)


def constantly(words, _):
    """The words of a step that does one thing only."""
    return words


def count(names):
    """How many of these packages .venv holds."""
    found = (re.match(r"(.+)-[^-]+\.dist-info$", name) for name in os.listdir(SITE_PACKAGES))
    return len({re.sub(r"[-_.]+", "-", one[1]).lower() for one in found if one} & names)


def uv(arguments, doing):
    """Install by uv; whether it could. Raises a Fault where pip could not either."""
    prepared = uv_and_its_settings()
    if not prepared:
        return False
    environment, options = prepared
    command = [str(UV), "pip", "install", "--no-config", "--python", str(PYTHON), *options, *arguments]
    try:
        run(command, doing, environment)
    except Fault as fault:
        if fault.kind in FINAL:
            raise
        say(f"uv could not do that ({last_words()}); pip does it instead, which takes longer.")
        return False
    finally:
        shutil.rmtree(OWN_CACHE, ignore_errors=True)
    return True


@functools.cache
def uv_and_its_settings():
    """The variables and options by which .venv's uv installs as pip would; None, and a line, where uv cannot be had."""
    try:
        fetch_uv()
        pip = pip_settings(run([*PIP, "config", "list"], functools.partial(constantly, "reading pip's settings")))
        environment = variables_for_uv(pip)
        # Where uv says what its cache is, it runs on this machine.
        said = run([str(UV), "cache", "dir", "--no-config"], functools.partial(constantly, "asking uv"), environment)
    except Fault as fault:
        if fault.kind not in ("absent", "unknown"):
            raise
        say(f"uv cannot be had here ({last_words()}); pip installs instead, which takes longer.")
        return None
    except OSError as error:
        say(f"uv does not run here ({error}); pip installs instead, which takes longer.")
        return None
    options = ["--no-index"] if is_on(pip.get("no-index")) else []
    keeps_none = environment.pop("UV_NO_CACHE", None) or is_on(pip.get("no-cache-dir"))
    if keeps_none or not is_usable(Path(said.strip().splitlines()[-1])):
        options += ["--cache-dir", str(OWN_CACHE)]
    return environment, options


def fetch_uv():
    """Have pip install the uv that its lock names, unless .venv has it."""
    version = re.search(r"^uv==(\S+)", UV_LOCK.read_text("utf-8"), re.M)[1]
    if not (SITE_PACKAGES / f"uv-{version}.dist-info").is_dir():
        say("Fetching uv, which installs the packages")
        # From a source archive it would take a compiler and minutes.
        arguments = ("--require-hashes", "--only-binary", ":all:", "--requirement", str(UV_LOCK))
        run([*PIP, "install", *PIP_OPTIONS, *arguments], functools.partial(constantly, "fetching uv"))


def is_usable(cache):
    """Whether uv can keep downloads in this folder: it is writable, and on .venv's disk or on one with room.

    On one disk, .venv and the cache share their files.
    """
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    shared = there.stat().st_dev == ROOT.stat().st_dev
    return os.access(there, os.W_OK | os.X_OK) and (shared or room.free_mb(there) > LEARNERS_MB)


def pip(arguments, doing):
    """Install by .venv's own pip, untouched by the person's settings for other installs."""
    run([*PIP, "install", *PIP_OPTIONS, *arguments], doing)


def last_words():
    """The last reason that pip or uv gave for failing."""
    said = printed().strip()
    reasons = re.findall(r"^ *(?:error|cause|ERROR): (.+)$", said, re.M) or said.splitlines() or ["it did not say why"]
    return reasons[-1][:200]

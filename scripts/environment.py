"""Make .venv what requirements.lock says, once, and become its Python.

lab.py and test.py begin here, before anything is installed: standard library only.
"""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

if os.name == "nt":
    import msvcrt
else:
    import fcntl

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
VENV = ROOT / ".venv"
STAMP = VENV / "finished"
LOG = VENV / "setup.log"
if os.name == "nt":
    PYTHON = VENV / "Scripts" / "python.exe"
    SITE_PACKAGES = VENV / "Lib" / "site-packages"
else:
    PYTHON = VENV / "bin" / "python"
    SITE_PACKAGES = VENV / "lib" / Path(os.__file__).parent.name / "site-packages"

# Measured on Linux: .venv takes 500 MB, and pip's downloads lie beside it until it is done.
VENV_MB = 700
DOWNLOADS_MB = 300
LARGEST_PACKAGE_MB = 100

# Where packages come from is the person's to say; where they go, and which, is ours.
PIP_SETTINGS_KEPT = {
    f"PIP_{name}"
    for name in (
        *("INDEX_URL", "EXTRA_INDEX_URL", "NO_INDEX", "FIND_LINKS", "CONFIG_FILE", "CACHE_DIR", "NO_CACHE_DIR"),
        *("PROXY", "CERT", "CLIENT_CERT", "TRUSTED_HOST", "KEYRING_PROVIDER", "USE_FEATURE"),
        *("TIMEOUT", "DEFAULT_TIMEOUT", "RETRIES", "RESUME_RETRIES"),
    )
}
MISLEADING = {"PYTHONHOME", "PYTHONPATH", "PYTHONPLATLIBDIR", "PYTHONEXECUTABLE"}

# What stands in an error or in pip's output, most certain first, and what it means.
FULL = rf"\[Errno ({errno.ENOSPC}|{errno.EDQUOT})\]|\[WinError 112\]"
THIS_PYTHON = f"this Python ({sys.version.split()[0]}, {sysconfig.get_platform()})"
FAULTS = {
    FULL: f"The disk is full: setting up takes about {VENV_MB + DOWNLOADS_MB} MB. Make room, then run this again.",
    r"\[WinError (5|32)\]": (
        "A file in .venv is in use, so it cannot be replaced. "
        "Close the lab and all that runs from .venv, then run this again."
    ),
    rf"\[Errno ({errno.EROFS}|{errno.EACCES}|{errno.EPERM})\] [^:\n]*: (?P<path>['\"].+)": (
        "The set-up may not write to {path}, and it makes .venv in the clone. "
        "Get write permission there, or clone into a folder of your own, then run this again."
    ),
    r"DO NOT MATCH THE HASHES(?s:.*?)\n +(?P<package>\S+)": (
        "{package} came with other contents than requirements.lock names, so it was not installed. "
        "Run this again; if it stays so, do not install it by hand, but tell whoever runs your package index."
    ),
    r"CERTIFICATE_VERIFY_FAILED": (
        "The package index showed a certificate that this Python does not trust, as happens behind a company's proxy. "
        "Name your company's certificates, for example PIP_CERT=/path/to/ca.pem, then run this again."
    ),
    r"Retrying \(|Connection\w*Error|Connection broken|ProxyError|timed out|incomplete-download": (
        "The packages could not be fetched: the package index did not answer. "
        "Check the network (behind a proxy, set HTTPS_PROXY), then run this again; pip's words are in .venv/setup.log."
    ),
    r"No matching distribution found for (?P<package>\S+)": (
        f"The package index gave no {{package}} for {THIS_PYTHON}. Check that the index can be reached, and start with "
        "a 64-bit Python from 3.11 to 3.14; pip's words are in .venv/setup.log."
    ),
    r"Collecting(?s:.*)(metadata-generation-failed|Failed building wheel)": (
        f"One of the packages is not ready-made for {THIS_PYTHON}, and it could not be compiled here. "
        "Start with a 64-bit Python from 3.11 to 3.14; pip's words are in .venv/setup.log."
    ),
}


class Fault(Exception):
    """A sentence for the person at the keyboard: what was found, what was expected, what to do."""


def run_inside(*arguments, folder=None):
    """Set up whatever is not set up yet, then become .venv's Python with these arguments."""
    try:
        set_up()
        hand_over(arguments, folder or os.getcwd())
    except Fault as fault:
        sys.exit(str(fault))
    except OSError as error:
        sys.exit(meaning(str(error)) or f"The set-up stopped: {error}. When that is mended, run this again.")
    except KeyboardInterrupt:
        print("\nStopped. The next start sets up what is missing.", file=sys.stderr)
        sys.exit(130)


def set_up():
    """Make .venv, or only this package in it, unless the last set-up finished with the same files."""
    if last_finished() == wanted():
        return
    with alone():
        environment, package = wanted()
        done = last_finished()  # by now another set-up may have finished
        if done == [environment, package]:
            return
        began = time.monotonic()
        if done[:1] != [environment]:
            say("Setting up Migration Lab in .venv: once, about a minute and 500 MB.")
            make_venv()
            install_packages()
        say("Installing Migration Lab itself")
        pip("--no-deps", "--no-build-isolation", "--editable", ".")
        write_stamp([environment, package])
        say(f"Ready after {time.monotonic() - began:.0f} s.")


def wanted():
    """Two digests: of all that decides what .venv holds, and of this package's own description."""
    decides = f"{sys.version.split()[0]} {sysconfig.get_platform()} {ROOT}"
    pyproject = ROOT / "pyproject.toml"
    return [
        hashlib.sha256(LOCK.read_bytes() + os.fsencode(decides)).hexdigest(),
        hashlib.sha256(pyproject.read_bytes()).hexdigest(),
    ]


def last_finished():
    """The digests of the set-up that finished last, or none if .venv is not whole."""
    try:
        whole = PYTHON.exists() and (SITE_PACKAGES / "pip").is_dir()
        return STAMP.read_text().split() if whole else []
    except OSError:
        return []


def write_stamp(digests):
    """Say that .venv is finished, all at once: half a stamp must not exist."""
    draft = STAMP.with_name("finished.draft")
    draft.write_text("\n".join(digests))
    os.replace(draft, STAMP)


@contextlib.contextmanager
def alone():
    """Take turns with other set-ups of this clone, by a lock on requirements.lock (which holds no lock otherwise)."""
    with LOCK.open("r+b", buffering=0) as file:
        if not is_mine(file):
            say("Another set-up is at work in this folder; waiting for it to end.")
            while not is_mine(file):
                time.sleep(0.2)
        # pip inherits it: should this process be killed, the next one waits for the pip it left behind.
        os.set_inheritable(file.fileno(), True)
        yield


def is_mine(file):
    """Whether the lock on this file could be had now."""
    try:
        if os.name == "nt":
            file.seek(1 << 30)  # past the end, because there a locked byte cannot be read
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        pass  # a file system without locks: no waiting there
    return True


def make_venv():
    """An empty .venv in the place of whatever was there."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as missing:
        raise Fault(
            f"This Python ({sys.executable}) cannot make environments: it has no {missing.name}. On Debian and Ubuntu "
            f"`sudo apt install python3.{sys.version_info.minor}-venv` brings it; then run this again."
        ) from None
    clear()
    for folder, needed in ((ROOT, VENV_MB), (tempfile.gettempdir(), DOWNLOADS_MB)):
        free = shutil.disk_usage(folder).free // 10**6
        if free < needed:
            raise Fault(
                f"The disk with {folder} has {free} MB free, and setting up takes {needed} MB there. "
                "Make room, then run this again."
            )
    say("Making .venv")
    VENV.mkdir()
    # Run from .venv itself, sys.executable went with it a moment ago.
    run([sys._base_executable, "-I", "-m", "venv", str(VENV)])


def clear():
    """Remove .venv, first the stamp: what is left of an interrupted removal must not look finished."""
    if VENV.is_dir() and not VENV.is_symlink():
        STAMP.unlink(missing_ok=True)
        shutil.rmtree(VENV)
    else:
        VENV.unlink(missing_ok=True)


def install_packages():
    """All that requirements.lock names, and nothing whose contents it does not know."""
    say("Installing the packages that requirements.lock names")
    named = len(re.findall(r"^[A-Za-z0-9]", LOCK.read_text("utf-8"), re.M))
    before = count_installed()

    def progress(log):
        installing = re.search(r"^Installing collected packages: (.+)$", log, re.M)
        if installing:
            names = installing[1].split(", ")
            count = min(count_installed() - before, len(names) - 1)
            return f"installing {count + 1} of {len(names)}: {names[count]}"
        total = named - len(re.findall(r"^Ignoring ", log, re.M))
        found = re.findall(r"^(?:Collecting|Processing) (.+?)(?: \(from|$)", log, re.M)
        name = re.split(r"==|-\d", re.split(r"[/\\]", found[-1])[-1])[0].replace("_", "-") if found else "..."
        return f"fetching {len(found)} of {total}: {name}"

    pip("--require-hashes", "--requirement", str(LOCK), progress=progress)


def count_installed():
    """How many packages .venv holds."""
    return sum(name.endswith(".dist-info") for name in os.listdir(SITE_PACKAGES))


def pip(*arguments, progress=None):
    """Run .venv's own pip install, untouched by the person's settings for other installs."""
    quiet = ("--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--no-user")
    # With -I, variables such as PYTHONWARNINGS cannot stop it; the log is in UTF-8 anywhere.
    run([str(PYTHON), "-I", "-X", "utf8", "-m", "pip", "install", *quiet, *arguments], progress)


def run(command, progress=None):
    """Run one step with its output in the log, a live line on a terminal, and a sentence if it fails."""
    with LOG.open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT, env=variables(), close_fds=False
        )
    live = progress and sys.stdout.isatty()
    try:
        while not ended(process, 0.2):
            if live:
                print("\r  " + progress(LOG.read_text("utf-8", "replace"))[:70].ljust(70), end="", flush=True)
    except KeyboardInterrupt:
        # It had its own Ctrl-C: time to remove its temporary files, but not for ever.
        if not ended(process, 3):
            process.terminate()
            process.wait()
        raise
    finally:
        if live:
            print("\r" + " " * 72 + "\r", end="", flush=True)
    if process.returncode:
        said = LOG.read_text("utf-8", "replace")
        # On a full disk the log may lack the reason, and a step that fails gives back some of what it took.
        cramped = shutil.disk_usage(ROOT).free < LARGEST_PACKAGE_MB * 10**6
        raise Fault(meaning(said) or (FAULTS[FULL] if cramped else unknown(said)))


def ended(process, seconds):
    """Whether the process ended, within this many seconds."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def meaning(text):
    """The sentence for the first known fault in this text, if any."""
    for pattern, sentence in FAULTS.items():
        found = re.search(pattern, text)
        if found:
            return sentence.format(**found.groupdict())
    return None


def unknown(said):
    """The last lines of a step that failed in a way nobody foresaw, and the sentence for it."""
    say("\n".join("  | " + line for line in said.splitlines()[-8:]))
    return (
        "The set-up stopped there, in a way that it has no name for. Run this again; "
        "if it stops again, show .venv/setup.log to whoever gave you this course."
    )


def variables():
    """The person's environment variables, as inside an activated .venv and nowhere else."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in MISLEADING and (not name.startswith("PIP_") or name in PIP_SETTINGS_KEPT)
    }
    path = os.pathsep.join([str(PYTHON.parent), kept.get("PATH", os.defpath)])
    # UTF-8 mode: or Windows could not find this package in a folder with, say, Greek letters.
    return {**kept, "VIRTUAL_ENV": str(VENV), "PATH": path, "PYTHONUTF8": "1"}


def hand_over(arguments, folder):
    """Become .venv's Python; where a process cannot, wait for it and end as it ended."""
    command = [str(PYTHON), *arguments]
    os.chdir(folder)
    if os.name != "nt":
        os.execve(PYTHON, command, variables())
    process = subprocess.Popen(command, env=variables())
    while True:
        with contextlib.suppress(KeyboardInterrupt):  # it had its own, and answers it
            sys.exit(process.wait())


def say(line):
    """A line of progress, at once."""
    print(line, flush=True)

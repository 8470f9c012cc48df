"""The person's own settings: which of them hold for the set-up, and what pip's mean for uv.

Where packages come from is the person's to say; where they go, and which, is ours.
"""

import ast
import os
from pathlib import Path

from places import PROGRAMS, VENV

PIP_SETTINGS_KEPT = {
    f"PIP_{name}"
    for name in (
        *("INDEX_URL", "EXTRA_INDEX_URL", "NO_INDEX", "FIND_LINKS", "CONFIG_FILE", "CACHE_DIR", "NO_CACHE_DIR"),
        *("PROXY", "CERT", "CLIENT_CERT", "TRUSTED_HOST", "KEYRING_PROVIDER", "USE_FEATURE"),
        *("TIMEOUT", "DEFAULT_TIMEOUT", "RETRIES", "RESUME_RETRIES"),
    )
}
UV_SETTINGS_KEPT = {
    f"UV_{name}"
    for name in (
        *("DEFAULT_INDEX", "INDEX", "FIND_LINKS", "KEYRING_PROVIDER", "CACHE_DIR", "NO_CACHE", "LINK_MODE"),
        *("INSECURE_HOST", "SYSTEM_CERTS", "HTTP_TIMEOUT", "HTTP_CONNECT_TIMEOUT", "HTTP_RETRIES"),
        *("CONCURRENT_DOWNLOADS", "CONCURRENT_BUILDS", "CONCURRENT_INSTALLS"),
    )
}
MISLEADING = {"PYTHONHOME", "PYTHONPATH", "PYTHONPLATLIBDIR", "PYTHONEXECUTABLE"}
# Images set it to stay small. uv compiles nothing, so each process of .venv would compile all of its packages again: to
# import Alembic and SQLAlchemy takes 1.1 s then instead of 0.4 s, and a kernel, a grading and each `alembic` do.
SLOWING = {"PYTHONDONTWRITEBYTECODE"}


def variables():
    """The person's environment variables, as inside an activated .venv and nowhere else."""
    kept = {name: value for name, value in os.environ.items() if is_kept(name)}
    path = os.pathsep.join([str(PROGRAMS), kept.get("PATH", os.defpath)])
    # UTF-8 mode: or Windows could not find this package in a folder with, say, Greek letters.
    return {**kept, "VIRTUAL_ENV": str(VENV), "PATH": path, "PYTHONUTF8": "1"}


def is_kept(name):
    """Whether this variable may hold for the set-up and the lab."""
    if name.startswith("PIP_"):
        return name in PIP_SETTINGS_KEPT
    if name.startswith("UV_"):
        return name in UV_SETTINGS_KEPT
    return name not in MISLEADING | SLOWING


def pip_settings(listed):
    """What `pip config list` says that holds for `pip install`, by name: there a variable beats a file."""
    settings = {}
    for section in ("global", "install", ":env:"):
        for line in listed.splitlines():
            key, equals, value = line.partition("=")
            if equals and key.startswith(f"{section}."):
                settings[key.removeprefix(f"{section}.")] = ast.literal_eval(value)
    return settings


def variables_for_uv(pip):
    """The variables by which uv, which reads none of pip's settings, fetches from the same place in the same way."""
    ours = variables()
    wanted = {
        "UV_DEFAULT_INDEX": pip.get("index-url"),
        "UV_INDEX": " ".join(pip.get("extra-index-url", "").split()),
        "UV_FIND_LINKS": ",".join(filter(is_there, pip.get("find-links", "").split())),
        "UV_INSECURE_HOST": " ".join(pip.get("trusted-host", "").split()),
        "UV_HTTP_TIMEOUT": pip.get("timeout") or pip.get("default-timeout"),
        "UV_HTTP_RETRIES": pip.get("retries"),
        "UV_KEYRING_PROVIDER": "subprocess" if pip.get("keyring-provider") in ("import", "subprocess") else None,
        "UV_CACHE_DIR": os.path.join(pip["cache-dir"], "uv") if "cache-dir" in pip else None,
        "UV_SYSTEM_CERTS": "1",  # as newer pips do: a company's certificates are often known to the system only
    }
    found = {name: value for name, value in wanted.items() if value} | ours
    # What pip was told is surer than what holds for all programs: pip has just fetched uv that way.
    certificates = pip.get("cert") or ours.get("REQUESTS_CA_BUNDLE") or ours.get("CURL_CA_BUNDLE")
    if certificates:
        found["SSL_CERT_DIR" if os.path.isdir(certificates) else "SSL_CERT_FILE"] = certificates
    if "client-cert" in pip:
        found["SSL_CLIENT_CERT"] = pip["client-cert"]
    if "proxy" in pip:
        found["HTTP_PROXY"] = found["HTTPS_PROXY"] = pip["proxy"]
        for name in ("NO_PROXY", "no_proxy"):  # pip does not look at it then
            found.pop(name, None)
    return found


def is_there(link):
    """Whether there is such a folder; of an address only the fetching can tell. uv stops where pip only warns."""
    return "://" in link or Path(link).exists()


def is_on(value):
    """Whether pip takes this value of a switch, such as no-index, for yes."""
    return str(value).lower() in ("1", "y", "yes", "t", "true", "on")

"""Imported before anything of Jupyter's, this lets a process start about a second sooner.

jsonschema, which Jupyter checks notebooks and settings with, takes up the package rfc3987_syntax where it is installed.
That builds a large grammar when it is imported, for the formats "iri" and "iri-reference", and no schema of Jupyter's
has either. Where the package is absent, jsonschema does without: so it is absent.
"""

import sys

# A module that is None here is not found: https://docs.python.org/3/reference/import.html#the-module-cache
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # typeshed knows modules only

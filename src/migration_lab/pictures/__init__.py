"""Pictures: the schema, what changed in it, and the graph of revisions."""

from . import drawing
from .catalogs import snapshot
from .changes import Change, diff
from .diagram import Diagram, schema_diagram
from .revisions import Graph, revision_graph
from .schema import Schema, Table

__all__ = [
    "Change",
    "Diagram",
    "Graph",
    "Schema",
    "Table",
    "diff",
    "drawing",
    "revision_graph",
    "schema_diagram",
    "snapshot",
]

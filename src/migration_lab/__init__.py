"""Migration Lab: learn to change a live PostgreSQL database without hurting it.

In a notebook, ``%load_ext migration_lab`` registers the verbs; in a terminal, ``lab`` has the same ones.
"""


def load_ipython_extension(ipython) -> None:
    """Register the lab's magics and a ready ``%sql`` in this kernel."""
    from . import magics

    magics.register(ipython)

"""``python -m migration_lab.author.bench``, as scripts/bench.py starts it."""

from . import main

if __name__ == "__main__":
    raise SystemExit(main())

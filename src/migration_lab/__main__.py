"""``python -m migration_lab`` is the ``lab`` command."""

from migration_lab.cli import main

if __name__ == "__main__":
    raise SystemExit(main())

"""``python -m migration_xray`` is the ``migration-xray`` command."""

from migration_xray.cli import main

if __name__ == "__main__":
    raise SystemExit(main())

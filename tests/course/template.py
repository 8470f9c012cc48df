"""The migration template that the course is about, as data: its table, and the list of its sections.

``ITEMS`` is example_items as the template leaves it. ``CREATES`` has each section that makes part of that table, with the
names of what it makes; ``SAID`` the sections that make nothing of it.
"""

from __future__ import annotations

import os

from migration_lab.course.manifest import Lesson
from migration_lab.pictures import Table, snapshot
from migration_lab.server import Server, startstate

USERS = "CREATE TABLE users (id serial CONSTRAINT pk_users PRIMARY KEY)"
ITEMS = """
    CREATE TABLE example_items (
        id serial CONSTRAINT pk_example_items PRIMARY KEY,
        user_id integer NOT NULL,
        name varchar(100) NOT NULL,
        description varchar(500),
        price numeric(10, 2) NOT NULL DEFAULT 0.00,
        quantity integer NOT NULL DEFAULT 0,
        is_active boolean NOT NULL DEFAULT true,
        is_deleted boolean NOT NULL DEFAULT false,
        deleted_at timestamp,
        metadata jsonb,
        tags varchar(50)[],
        created_at timestamp NOT NULL DEFAULT now(),
        updated_at timestamp
    );
    COMMENT ON COLUMN example_items.name IS 'Item name';
    COMMENT ON COLUMN example_items.description IS 'Optional item description';
    COMMENT ON COLUMN example_items.price IS 'Item price';
    COMMENT ON COLUMN example_items.quantity IS 'Available quantity';
    COMMENT ON COLUMN example_items.is_active IS 'Whether item is currently active';
    COMMENT ON COLUMN example_items.is_deleted IS 'Soft delete flag';
    COMMENT ON COLUMN example_items.deleted_at IS 'When item was deleted';
    COMMENT ON COLUMN example_items.metadata IS 'Additional metadata';
    COMMENT ON COLUMN example_items.tags IS 'Item tags';
    COMMENT ON COLUMN example_items.created_at IS 'Record creation timestamp';
    COMMENT ON COLUMN example_items.updated_at IS 'Record last update timestamp';
    CREATE INDEX ix_example_items_id ON example_items (id);
    CREATE INDEX ix_example_items_user_id ON example_items (user_id);
    CREATE INDEX ix_example_items_is_active ON example_items (is_active);
    CREATE INDEX ix_example_items_is_deleted ON example_items (is_deleted);
    CREATE INDEX ix_example_items_created_at ON example_items (created_at);
    CREATE INDEX idx_example_items_user_active ON example_items (user_id, is_active);
    CREATE INDEX idx_example_items_user_created ON example_items (user_id, created_at);
    CREATE INDEX idx_example_items_active_not_deleted ON example_items (user_id, created_at)
        WHERE is_active = true AND is_deleted = false;
    ALTER TABLE example_items
        ADD CONSTRAINT fk_example_items_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
        ADD CONSTRAINT ck_example_items_price_positive CHECK (price >= 0),
        ADD CONSTRAINT ck_example_items_quantity_positive CHECK (quantity >= 0)"""

CREATES = {
    "CREATE TABLE: primary key": ["column id"],
    "CREATE TABLE: foreign key column": ["column user_id"],
    "CREATE TABLE: strings": ["column name", "column description"],
    "CREATE TABLE: numerics": ["column price", "column quantity"],
    "CREATE TABLE: booleans": ["column is_active"],
    "CREATE TABLE: soft delete": ["column is_deleted", "column deleted_at"],
    "CREATE TABLE: JSONB": ["column metadata"],
    "CREATE TABLE: ARRAY": ["column tags"],
    "CREATE TABLE: timestamps": ["column created_at", "column updated_at"],
    "CREATE TABLE: PrimaryKeyConstraint": ["constraint pk_example_items", "index pk_example_items"],
    "CREATE INDEXES: id": ["index ix_example_items_id"],
    "CREATE INDEXES: foreign key": ["index ix_example_items_user_id"],
    "CREATE INDEXES: filtered": ["index ix_example_items_is_active", "index ix_example_items_is_deleted"],
    "CREATE INDEXES: timestamp": ["index ix_example_items_created_at"],
    "CREATE INDEXES: composite": ["index idx_example_items_user_active", "index idx_example_items_user_created"],
    "CREATE INDEXES: partial": ["index idx_example_items_active_not_deleted"],
    "CREATE FOREIGN KEYS: naming": ["constraint fk_example_items_user_id"],
    "CREATE FOREIGN KEYS: ondelete": ["constraint fk_example_items_user_id"],
    "CREATE CONSTRAINTS: price check": ["constraint ck_example_items_price_positive"],
    "CREATE CONSTRAINTS: quantity check": ["constraint ck_example_items_quantity_positive"],
    "CREATE CONSTRAINTS: unique": ["constraint uq_example_items_user_name"],
}
COMMENTED_OUT = {"constraint uq_example_items_user_name"}

SAID = [
    "conventions",
    "docstring",
    "imports",
    "revision identifiers",
    "upgrade",
    "downgrade",
    "CREATE TABLE: comments",
    "CREATE TABLE: nullable",
    "CREATE TABLE: server_default",
    "downgrade(): its warning",
    "downgrade(): its note on cascades",
    "pattern 1: add column",
    "pattern 2: rename column",
    "pattern 3: add index concurrently",
    "pattern 4: data migration",
    "pattern 5: add enum type",
    "pattern 6: change column type",
    "pattern 7: add table with relationship",
    "HOW TO USE: generate",
    "HOW TO USE: edit",
    "HOW TO USE: copy",
    "HOW TO USE: test migration",
    "HOW TO USE: test rollback",
    "HOW TO USE: commit",
    "HOW TO USE: PR",
]


def built(running: Server) -> Table:
    """``example_items`` as the template leaves it, from a database that is gone afterwards."""
    name = f"template_{os.getpid()}"
    startstate.create_database(running, name, "empty")
    try:
        with running.connect(name) as session:
            session.execute(USERS)
            session.execute(ITEMS)
            return snapshot(session).tables["example_items"]
    finally:
        with running.connect() as session:
            startstate.drop_database(session, name)


def names(table: Table) -> set[str]:
    kinds = {"column": table.columns, "index": table.indexes, "constraint": table.constraints}
    return {f"{kind} {name}" for kind, things in kinds.items() for name in things}


def promised(lesson: Lesson) -> set[str]:
    """The names that the manifest says a lesson creates."""
    return {name for part in lesson.template for name in CREATES.get(part, ())}

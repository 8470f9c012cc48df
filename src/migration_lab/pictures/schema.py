"""A database's schema as data, for reading and comparing: its tables, columns, constraints and the rest.

``catalogs.snapshot`` reads one from a database, ``changes.diff`` compares two. Two are equal (``==``) exactly when ``diff``
finds nothing between them.
"""

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

Words = tuple[str, ...]


def named(of: type) -> Any:
    """A field that holds things of one kind by name, in the catalogs' order."""
    return field(default_factory=dict, metadata={"of": of})


def derived(default: Any = None) -> Any:
    """A field for reading only: ``definition`` says the same, so that a comparison leaves it out."""
    return field(default=default, compare=False)


@dataclass(frozen=True)
class Column:
    """A column; see https://www.postgresql.org/docs/18/catalog-pg-attribute.html.

    ``nullable``: may a row hold NULL? Also while a NOT NULL constraint is NOT VALID (PostgreSQL 18), which is then among
    the table's constraints. ``identity`` is 'ALWAYS' or 'BY DEFAULT'; ``generated`` the expression and where its value
    is kept, '(price * 2) STORED'; ``settings`` what differs from its type's own, 'COLLATE "C"'; ``privileges`` what
    GRANT and REVOKE have changed, 'GRANT SELECT TO reader'.
    """

    label: ClassVar[str] = "column {owner}.{thing.name}"
    name: str
    type: str
    nullable: bool
    default: str | None = None
    identity: str | None = None
    generated: str | None = None
    comment: str | None = None
    settings: Words = ()
    privileges: Words = ()


@dataclass(frozen=True)
class Constraint:
    """A constraint; see https://www.postgresql.org/docs/18/catalog-pg-constraint.html.

    ``kind`` is 'primary key', 'foreign key', 'unique', 'check', 'exclusion' or 'not null', this last only while it is
    NOT VALID: otherwise the column's ``nullable`` says it. ``definition`` leaves out NOT VALID, which ``validated`` says.
    The last three are a foreign key's: 'users', ('id',), 'CASCADE'.
    """

    label: ClassVar[str] = "constraint {thing.name} on {owner}"
    name: str
    definition: str
    validated: bool = True
    comment: str | None = None
    kind: str = derived()
    columns: Words = derived(())
    referred_table: str | None = derived()
    referred_columns: Words = derived(())
    on_delete: str | None = derived()


@dataclass(frozen=True)
class Index:
    """An index; see https://www.postgresql.org/docs/18/catalog-pg-index.html.

    ``columns`` are its keys, an expression as text; ``constraint`` is the constraint that it serves, if any.
    """

    label: ClassVar[str] = "index {thing.name}"
    name: str
    definition: str
    valid: bool = True
    constraint: str | None = None
    comment: str | None = None
    settings: Words = ()
    columns: Words = derived(())
    unique: bool = derived(False)
    method: str = derived("btree")
    predicate: str | None = derived()


@dataclass(frozen=True)
class Definition:
    """Whatever its definition tells whole: a function ('touch()' is its name), an extension, a schema, a view, a type."""

    label: ClassVar[str] = "{thing.kind} {thing.name}"
    name: str
    kind: str
    definition: str | None = None
    comment: str | None = None
    privileges: Words = ()


@dataclass(frozen=True)
class Trigger(Definition):
    """A trigger, or what acts on a table likewise: a rewrite rule, a policy.

    ``enabled`` is 'enabled', 'disabled', 'enabled on replicas' or 'enabled always'.
    """

    label: ClassVar[str] = "{thing.kind} {thing.name} on {owner}"
    enabled: str = "enabled"


@dataclass(frozen=True)
class Table(Definition):
    """A table or a view; see https://www.postgresql.org/docs/18/catalog-pg-class.html.

    ``kind`` is 'table', 'partitioned table', 'partition', 'foreign table', 'view' or 'materialized view'; ``definition``
    is a view's query; ``settings`` are the rest: 'fillfactor=70', 'REPLICA IDENTITY FULL', 'PARTITION BY RANGE (day)'.
    """

    settings: Words = ()
    columns: dict[str, Column] = named(Column)
    constraints: dict[str, Constraint] = named(Constraint)
    indexes: dict[str, Index] = named(Index)
    triggers: dict[str, Trigger] = named(Trigger)
    rules: dict[str, Trigger] = named(Trigger)
    policies: dict[str, Trigger] = named(Trigger)


@dataclass(frozen=True)
class Type(Definition):
    """A type: its ``kind`` is 'enum' (with ``labels``, in their order), 'domain', 'composite' or 'range'."""

    label: ClassVar[str] = "type {thing.name}"
    labels: Words = ()


@dataclass(frozen=True)
class EventTrigger(Trigger):
    """An event trigger, which no table has; see https://www.postgresql.org/docs/18/event-triggers.html."""

    label: ClassVar[str] = Definition.label


@dataclass(frozen=True)
class Sequence(Definition):
    """A sequence, but for its current value; ``owned_by`` is the column that it is dropped with, 'users.id'."""

    type: str = derived()
    owned_by: str | None = None


@dataclass(frozen=True)
class Schema:
    """What a database holds, by name: ``schema.tables["reviews"].columns["rating"].type == "integer"``.

    A name is bare in the schema public and 'audit.log' elsewhere, without quotes.
    """

    tables: dict[str, Table] = named(Table)
    views: dict[str, Table] = named(Table)
    types: dict[str, Type] = named(Type)
    sequences: dict[str, Sequence] = named(Sequence)
    functions: dict[str, Definition] = named(Definition)
    extensions: dict[str, Definition] = named(Definition)
    schemas: dict[str, Definition] = named(Definition)
    statistics: dict[str, Definition] = named(Definition)
    event_triggers: dict[str, EventTrigger] = named(EventTrigger)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and lists, ready for JSON."""
        return _plain(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The schema that :meth:`to_dict` gave, also after a journey through JSON."""
        return _read(cls, data)


def _plain(thing: Any) -> dict[str, Any]:
    values = {part.name: getattr(thing, part.name) for part in fields(thing)}
    return {
        name: [_plain(item) for item in value.values()] if isinstance(value, dict) else value
        for name, value in values.items()
    }


def _read(cls: type, data: dict[str, Any]) -> Any:
    found = {part: data[part.name] for part in fields(cls) if data.get(part.name) is not None}
    return cls(**{part.name: _value(part.metadata.get("of"), value) for part, value in found.items()})


def _value(of: type | None, value: Any) -> Any:
    if of:
        return {item["name"]: _read(of, item) for item in value}
    return tuple(value) if isinstance(value, list) else value

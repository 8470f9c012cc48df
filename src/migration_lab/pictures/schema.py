"""A database's schema as its catalogs tell it: take a snapshot, compare two.

>>> before = snapshot(connection)
>>> connection.execute("ALTER TABLE users ADD COLUMN phone varchar(20)")
>>> [str(change) for change in diff(before, snapshot(connection))]
['column users.phone was added: character varying(20), nullable']

A snapshot holds what ``pg_dump --schema-only --no-owner`` writes: two are equal (``==``) exactly when ``diff`` finds
nothing between them, and when their dumps are equal, but for this. An INVALID index, which pg_dump passes over, is a
difference. None are the order of a table's columns, the name of a NOT NULL constraint, and whether what a table
inherits is its own as well. Every table named alembic_version is left out, and what applications seldom make: default
privileges, publications and subscriptions, foreign servers, collations, operators, casts, languages, text search,
tablespaces, the inside of aggregates and range types, and comments on a type's parts.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from textwrap import shorten
from typing import Any, ClassVar, Self

import psycopg
from psycopg.rows import scalar_row

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


# What a definition's text depends on besides the catalogs: a snapshot is the same from every session.
SESSION = {
    "search_path": "public",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "quote_all_identifiers": "off",
    "jit": "off",  # compiling this query takes far longer than running it
}


def snapshot(connection: psycopg.Connection) -> Schema:
    """Read the schema of the connection's database, in one query, as any role may.

    It leaves the session and an open transaction as they are, and sees what that transaction did. Like pg_dump it waits
    for a table that another session is altering: to bound the wait, set lock_timeout (psycopg.errors.LockNotAvailable).
    """
    with connection.transaction(force_rollback=True), connection.cursor(row_factory=scalar_row) as cursor:
        cursor.execute(
            "SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[]) AS s(name, value)",
            [list(SESSION), list(SESSION.values())],
        )
        return Schema.from_dict(json.loads(cursor.execute(QUERY).fetchone()))


@dataclass(frozen=True)
class Change:
    """One difference, whose ``str`` is a sentence.

    ``kind`` is 'added', 'removed' or 'changed'; ``object`` names the thing, 'column users.phone'; ``owner`` is the table
    that it is part of, or ''. What was added is ``after`` (a Column, say), what was removed is ``before``; in a 'changed'
    one they are the two values of ``attribute``, 'nullable'.
    """

    kind: str
    object: str
    owner: str = ""
    attribute: str | None = None
    before: Any = None
    after: Any = None

    def __str__(self) -> str:
        if self.kind != "changed":
            return f"{self.object} was {self.kind}: {_description(self.after or self.before)}".removesuffix(": ")
        now, was = _say(self.attribute, self.after, self.before), _say(self.attribute, self.before, self.after)
        if sentence := SENTENCES.get(self.attribute):
            return f"{self.object} {sentence.format(now=now, was=was)}"
        has = f"no {self.attribute}" if now == "none" else f"{self.attribute} {now}"
        return f"{self.object} has {has}, had {was}"


IS = "is {now}, was {was}"
SENTENCES = {
    **dict.fromkeys(("type", "kind", "definition", "nullable", "validated", "valid", "enabled"), IS),
    "owned_by": "is owned by {now}, was owned by {was}",
    "constraint": "serves the constraint {now}, served {was}",
}
SAYINGS = {
    ("nullable", True): "nullable",
    ("nullable", False): "NOT NULL",
    ("validated", True): "validated",
    ("validated", False): "NOT VALID",
    ("valid", True): "valid",
    ("valid", False): "INVALID",
    ("owned_by", None): "no column",
}


def diff(before: Schema, after: Schema) -> list[Change]:
    """What differs, in the schema's order: [] exactly if ``before == after``.

    What comes and goes with another thing is not told apart: a table's pieces, a constraint's index, a column's sequence.
    """
    return [change for change in _differences(before, after) if not _implied(change, before, after)]


def _differences(before: Any, after: Any, label: str = "", owner: str = "", within: str = "") -> Iterator[Change]:
    """What differs between two things of one name, field by field; their parts are ``within`` them."""
    for part in fields(before):
        was, now = getattr(before, part.name), getattr(after, part.name)
        if part.metadata:
            for name in was | now:
                yield from _comings_and_goings(was.get(name), now.get(name), within)
        elif part.compare and was != now:
            yield Change("changed", label, owner, part.name, was, now)


def _comings_and_goings(was: Any, now: Any, owner: str) -> Iterator[Change]:
    thing = was or now
    label = thing.label.format(thing=thing, owner=owner)
    if was is None:
        yield Change("added", label, owner, after=now)
    elif now is None:
        yield Change("removed", label, owner, before=was)
    else:
        yield from _differences(was, now, label, owner, within=thing.name)


def _implied(change: Change, before: Schema, after: Schema) -> bool:
    """Does another change of the same diff say this one already?"""
    match change.after or change.before:
        case _ if change.kind == "changed":
            return False
        case Index(constraint=str()):
            return True
        case Sequence(owned_by=str(column)):
            return column in _column_names(before) ^ _column_names(after)
        case Constraint(kind="not null", columns=(column,)) if change.kind == "removed":
            now = after.tables[change.owner].columns.get(column)  # validated, it is the column's NOT NULL
            return now is not None and not now.nullable
    return False


def _column_names(schema: Schema) -> set[str]:
    return {f"{table.name}.{column}" for table in schema.tables.values() for column in table.columns}


def _description(thing: Any) -> str:
    """What there is to say of a thing that came or went: all that is not as usual."""
    if isinstance(thing, Table):
        return ", ".join(thing.columns)
    told = [
        _say(part.name, value) if SENTENCES.get(part.name) == IS else f"{part.name} {_say(part.name, value)}"
        for part in fields(thing)
        if part.compare and part.name not in ("name", "kind") and (value := getattr(thing, part.name)) != part.default
    ]
    return shorten(", ".join(told), 240, placeholder=" …")


def _say(attribute: str, value: Any, other: Any = None) -> str:
    """A value in words; of two long texts only the lines that differ."""
    if isinstance(value, tuple):
        return f"({', '.join(value)})" if value else "none"
    if not isinstance(value, str):
        return SAYINGS.get((attribute, value), "none")
    if attribute == "comment":
        return repr(value)
    lines, others = value.splitlines(), (other or "").splitlines()
    own = [line for line in lines if line not in others]
    if not own and set(others) - set(lines):
        return "without that"
    return " ".join(line.strip() for line in own or lines)


# --- the catalogs -----------------------------------------------------------------------------------------------------
# One query gives the JSON that Schema.from_dict reads: each list below selects one dataclass's fields, by their names.

LINE = r"E'\n'"  # between a definition's parts: a Change shows the lines that differ


def words(code: str, meanings: dict[str, str]) -> str:
    """SQL for a catalog's one-letter code in words."""
    cases = " ".join(f"WHEN '{letter}' THEN '{word}'" for letter, word in meanings.items())
    return f"CASE {code} {cases} END"


def qualified(schema: str, name: str) -> str:
    """SQL for a name as people say it: bare in public, with its schema elsewhere."""
    return f"CASE {schema} WHEN 'public' THEN {name}::text ELSE {schema} || '.' || {name} END"


def relation(oid: str) -> str:
    """SQL for a relation's name."""
    name = qualified("nspname", "relname")
    return f"(SELECT {name} FROM pg_class x JOIN pg_namespace y ON y.oid = relnamespace WHERE x.oid = {oid})"


def attributes(oid: str, numbers: str) -> str:
    """SQL for the names behind an array of attribute numbers, in the array's order."""
    return f"""ARRAY(SELECT attname FROM unnest({numbers}) WITH ORDINALITY AS k(n, i)
               JOIN pg_attribute ON attrelid = {oid} AND attnum = n ORDER BY i)"""


def ours(catalog: str, oid: str) -> str:
    """SQL for what people made: neither in a system schema nor an extension's."""
    return f"""n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend
               WHERE classid = '{catalog}'::regclass AND objid = {oid} AND deptype = 'e')"""


def comment(catalog: str, oid: str) -> str:
    """SQL for an object's comment."""
    return f"""(SELECT description FROM pg_description
                WHERE objoid = {oid} AND classoid = '{catalog}'::regclass AND objsubid = 0) AS comment"""


def privileges(acl: str, kind: str, owner: str) -> str:
    """SQL for what GRANT and REVOKE have changed, in whatever order; kind as in acldefault()."""
    default = f"acldefault('{kind}', {owner})"

    def only(here: str, there: str, command: str, to: str) -> str:
        items = "SELECT grantee, is_grantable, privilege_type FROM aclexplode({})"
        return f"""
            SELECT concat_ws(' ', '{command}', string_agg(privilege_type, ', ' ORDER BY privilege_type), '{to}',
                CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
                CASE WHEN is_grantable THEN 'WITH GRANT OPTION' END) COLLATE "C" AS change
            FROM ({items.format(here)} EXCEPT {items.format(there)}) AS p GROUP BY grantee, is_grantable"""

    changes = f"{only(acl, default, 'GRANT', 'TO')} UNION ALL {only(default, acl, 'REVOKE', 'FROM')}"
    return f"CASE WHEN {acl} IS NOT NULL THEN ARRAY({changes} ORDER BY change) END AS privileges"


def rows(query: str) -> str:
    """SQL for a query's rows as a JSON array."""
    return f"(SELECT json_agg(item) FROM ({query}) AS item)"


RELATION_KINDS = {
    "r": "table", "p": "partitioned table", "f": "foreign table", "v": "view", "m": "materialized view",
}  # fmt: skip
CONSTRAINT_KINDS = {
    "p": "primary key", "f": "foreign key", "u": "unique", "c": "check", "x": "exclusion", "n": "not null",
}  # fmt: skip
ACTIONS = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}
IDENTITIES = {"a": "ALWAYS", "d": "BY DEFAULT"}
STORED = {"s": "STORED", "v": "VIRTUAL"}
STORAGES = {"p": "PLAIN", "e": "EXTERNAL", "m": "MAIN", "x": "EXTENDED"}
COMPRESSIONS = {"p": "pglz", "l": "lz4"}
ENABLED = {"O": "enabled", "D": "disabled", "R": "enabled on replicas", "A": "enabled always"}
REPLICA_IDENTITIES = {"n": "NOTHING", "f": "FULL", "i": "USING INDEX"}
COMMANDS = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "*": "ALL"}
ROUTINES = {"f": "function", "p": "procedure", "a": "aggregate", "w": "window function"}
TYPES = {"e": "enum", "d": "domain", "c": "composite", "r": "range"}

UNVALIDATED = (
    "SELECT FROM pg_constraint WHERE conrelid = c.oid AND conkey = ARRAY[attnum] AND contype = 'n' AND NOT convalidated"
)

COLUMNS = f"""
    SELECT attname AS name, format_type(atttypid, atttypmod) AS type,
        NOT attnotnull OR EXISTS ({UNVALIDATED}) AS nullable,
        CASE attgenerated WHEN '' THEN pg_get_expr(adbin, c.oid) END AS default,
        {words("attidentity", IDENTITIES)} AS identity,
        pg_get_expr(adbin, c.oid) || ' ' || {words("attgenerated", STORED)} AS generated,
        col_description(c.oid, attnum) AS comment,
        array_remove(ARRAY[
            (SELECT 'COLLATE ' || attcollation::regcollation WHERE attcollation <> typcollation),
            CASE WHEN attstorage <> typstorage THEN 'STORAGE ' || {words("attstorage", STORAGES)} END,
            'COMPRESSION ' || {words("attcompression", COMPRESSIONS)},
            'STATISTICS ' || nullif(attstattarget, -1)], NULL) || attoptions AS settings,
        {privileges("attacl", "c", "c.relowner")}
    FROM pg_attribute JOIN pg_type t ON t.oid = atttypid
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""

# A foreign key to a partitioned table has one more row for each partition; pg_dump leaves them out too.
CONSTRAINTS = f"""
    SELECT conname AS name, {words("contype", CONSTRAINT_KINDS)} AS kind, {attributes("c.oid", "conkey")} AS columns,
        regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', '') AS definition, convalidated AS validated,
        {comment("pg_constraint", "k.oid")}, {relation("confrelid")} AS referred_table,
        {attributes("confrelid", "confkey")} AS referred_columns, {words("confdeltype", ACTIONS)} AS on_delete
    FROM pg_constraint k
    WHERE conrelid = c.oid AND contype <> 't' AND (contype <> 'n' OR NOT convalidated)
        AND NOT EXISTS (SELECT FROM pg_constraint p WHERE p.oid = k.conparentid AND p.conrelid = k.conrelid)
    ORDER BY conname"""

INDEXES = f"""
    SELECT {relation("indexrelid")} AS name, pg_get_indexdef(indexrelid) AS definition, indisvalid AS valid,
        (SELECT conname FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x')) AS constraint,
        {comment("pg_class", "indexrelid")},
        array_remove(ARRAY[
            CASE WHEN indisclustered THEN 'CLUSTER' END,
            CASE WHEN indisreplident THEN 'REPLICA IDENTITY' END,
            (SELECT 'PARTITION OF ' || {relation("inhparent")} FROM pg_inherits WHERE inhrelid = indexrelid)], NULL)
            AS settings,
        ARRAY(SELECT coalesce((SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum = indkey[k - 1]),
                              pg_get_indexdef(indexrelid, k, true)) FROM generate_series(1, indnkeyatts) k) AS columns,
        indisunique AS unique, amname AS method, pg_get_expr(indpred, c.oid) AS predicate
    FROM pg_index JOIN pg_class x ON x.oid = indexrelid JOIN pg_am ON pg_am.oid = x.relam
    WHERE indrelid = c.oid ORDER BY x.relname"""

TRIGGERS = f"""
    SELECT tgname AS name, 'trigger' AS kind, pg_get_triggerdef(oid) AS definition,
        {words("tgenabled", ENABLED)} AS enabled, {comment("pg_trigger", "oid")}
    FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal ORDER BY tgname"""

RULES = f"""
    SELECT rulename AS name, 'rule' AS kind, pg_get_ruledef(oid) AS definition,
        {words("ev_enabled", ENABLED)} AS enabled, {comment("pg_rewrite", "oid")}
    FROM pg_rewrite WHERE ev_class = c.oid AND rulename <> '_RETURN' ORDER BY rulename"""

POLICIES = f"""
    SELECT polname AS name, 'policy' AS kind,
        concat_ws({LINE}, CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
            'FOR ' || {words("polcmd", COMMANDS)}, 'TO ' || array_to_string(ARRAY(
                SELECT CASE r WHEN 0 THEN 'PUBLIC' ELSE r::regrole::text END COLLATE "C" FROM unnest(polroles) r
                ORDER BY 1), ', '),
            'USING (' || pg_get_expr(polqual, c.oid) || ')',
            'WITH CHECK (' || pg_get_expr(polwithcheck, c.oid) || ')') AS definition,
        {comment("pg_policy", "oid")}
    FROM pg_policy WHERE polrelid = c.oid ORDER BY polname"""

RELATIONS = f"""
    SELECT {qualified("nspname", "relname")} AS name,
        CASE WHEN relispartition THEN 'partition' ELSE {words("relkind", RELATION_KINDS)} END AS kind,
        CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END AS definition,
        {comment("pg_class", "c.oid")}, {privileges("relacl", "r", "relowner")},
        array_remove(ARRAY[
            CASE relpersistence WHEN 'u' THEN 'UNLOGGED' END,
            'PARTITION BY ' || pg_get_partkeydef(c.oid),
            'OF ' || format_type(nullif(reloftype, 0), NULL),
            (SELECT 'USING ' || amname FROM pg_am WHERE oid = relam AND amname <> 'heap'),
            CASE WHEN relkind IN ('r', 'p') THEN 'REPLICA IDENTITY ' || {words("relreplident", REPLICA_IDENTITIES)} END,
            CASE WHEN relrowsecurity THEN 'ENABLE ROW LEVEL SECURITY' END,
            CASE WHEN relforcerowsecurity THEN 'FORCE ROW LEVEL SECURITY' END], NULL)
        || ARRAY(SELECT concat_ws(' ', CASE WHEN relispartition THEN 'PARTITION OF' ELSE 'INHERITS' END,
                                  {relation("inhparent")}, pg_get_expr(relpartbound, c.oid))
                 FROM pg_inherits WHERE inhrelid = c.oid ORDER BY inhseqno)
        || reloptions
        || ARRAY(SELECT 'toast.' || unnest(reloptions) FROM pg_class x WHERE x.oid = c.reltoastrelid) AS settings,
        {rows(COLUMNS)} AS columns, {rows(CONSTRAINTS)} AS constraints, {rows(INDEXES)} AS indexes,
        {rows(TRIGGERS)} AS triggers, {rows(RULES)} AS rules, {rows(POLICIES)} AS policies
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relname <> 'alembic_version' AND {ours("pg_class", "c.oid")} AND relkind IN ('r', 'p', 'f', 'v', 'm')
    ORDER BY name"""

DOMAIN = f"""
    concat_ws({LINE}, format_type(typbasetype, typtypmod),
        (SELECT 'COLLATE ' || t.typcollation::regcollation FROM pg_type b
         WHERE b.oid = t.typbasetype AND b.typcollation <> t.typcollation),
        'DEFAULT ' || typdefault, CASE WHEN typnotnull THEN 'NOT NULL' END,
        (SELECT string_agg(format('CONSTRAINT %I %s', conname, pg_get_constraintdef(oid)), {LINE} ORDER BY conname)
         FROM pg_constraint WHERE contypid = t.oid AND contype = 'c'))"""

COMPOSITE = """
    (SELECT '(' || string_agg(concat_ws(' ', quote_ident(attname), format_type(atttypid, atttypmod),
            CASE WHEN attcollation <> a.typcollation THEN 'COLLATE ' || attcollation::regcollation END
        ), ', ' ORDER BY attnum) || ')'
     FROM pg_attribute JOIN pg_type a ON a.oid = atttypid WHERE attrelid = t.typrelid AND NOT attisdropped)"""

LISTS = {
    "tables": "SELECT * FROM relations WHERE definition IS NULL",
    "views": "SELECT * FROM relations WHERE definition IS NOT NULL",
    "types": f"""
        SELECT {qualified("nspname", "typname")} AS name, {words("typtype", TYPES)} AS kind,
            ARRAY(SELECT enumlabel FROM pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder) AS labels,
            CASE typtype WHEN 'd' THEN {DOMAIN} WHEN 'c' THEN {COMPOSITE} WHEN 'r' THEN (
                SELECT format_type(rngsubtype, NULL) FROM pg_range WHERE rngtypid = t.oid) END AS definition,
            {comment("pg_type", "t.oid")}, {privileges("typacl", "T", "typowner")}
        FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace LEFT JOIN pg_class c ON c.oid = typrelid
        WHERE {ours("pg_type", "t.oid")} AND typtype IN ('e', 'd', 'c', 'r') AND coalesce(relkind, 'c') = 'c'
        ORDER BY name""",
    "sequences": f"""
        SELECT {qualified("nspname", "relname")} AS name, 'sequence' AS kind,
            concat_ws({LINE}, 'AS ' || format_type(seqtypid, NULL), 'START ' || seqstart, 'INCREMENT ' || seqincrement,
                'MINVALUE ' || seqmin, 'MAXVALUE ' || seqmax, 'CACHE ' || seqcache, CASE WHEN seqcycle THEN 'CYCLE' END,
                CASE relpersistence WHEN 'u' THEN 'UNLOGGED' END) AS definition,
            format_type(seqtypid, NULL) AS type,
            (SELECT {relation("refobjid")} || '.' || attname FROM pg_depend
             JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
             WHERE classid = 'pg_class'::regclass AND objid = c.oid AND refclassid = classid AND deptype IN ('a', 'i')
            ) AS owned_by,
            {comment("pg_class", "c.oid")}, {privileges("relacl", "s", "relowner")}
        FROM pg_sequence JOIN pg_class c ON c.oid = seqrelid JOIN pg_namespace n ON n.oid = relnamespace
        WHERE {ours("pg_class", "c.oid")} ORDER BY name""",
    "functions": f"""
        SELECT {qualified("nspname", "proname")} || '(' || oidvectortypes(proargtypes) || ')' AS name,
            {words("prokind", ROUTINES)} AS kind,
            CASE WHEN prokind <> 'a' THEN pg_get_functiondef(p.oid) END AS definition,
            {comment("pg_proc", "p.oid")}, {privileges("proacl", "f", "proowner")}
        FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
        WHERE {ours("pg_proc", "p.oid")} AND NOT EXISTS (SELECT FROM pg_depend
            WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'i') ORDER BY name""",
    "extensions": f"""
        SELECT extname AS name, 'extension' AS kind, format('VERSION %s SCHEMA %s', extversion, nspname) AS definition,
            {comment("pg_extension", "x.oid")}
        FROM pg_extension x JOIN pg_namespace n ON n.oid = extnamespace
        WHERE nspname <> 'pg_catalog' ORDER BY extname""",
    "schemas": f"""
        SELECT nspname AS name, 'schema' AS kind, {comment("pg_namespace", "n.oid")},
            {privileges("nspacl", "n", "nspowner")}
        FROM pg_namespace n WHERE {ours("pg_namespace", "n.oid")} ORDER BY name""",
    "statistics": f"""
        SELECT {qualified("nspname", "stxname")} AS name, 'statistics' AS kind, {comment("pg_statistic_ext", "s.oid")},
            concat_ws({LINE}, pg_get_statisticsobjdef(s.oid), 'STATISTICS ' || nullif(stxstattarget, -1)) AS definition
        FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = stxnamespace
        WHERE {ours("pg_statistic_ext", "s.oid")} ORDER BY name""",
    "event_triggers": f"""
        SELECT evtname AS name, 'event trigger' AS kind, {comment("pg_event_trigger", "e.oid")},
            {words("evtenabled", ENABLED)} AS enabled,
            concat_ws({LINE}, 'ON ' || evtevent, 'WHEN TAG IN ' || evttags::text, 'EXECUTE ' || evtfoid::regprocedure)
                AS definition
        FROM pg_event_trigger e JOIN pg_proc p ON p.oid = evtfoid JOIN pg_namespace n ON n.oid = pronamespace
        WHERE {ours("pg_event_trigger", "e.oid")} ORDER BY name""",
}

QUERY = (
    f"WITH relations AS MATERIALIZED ({RELATIONS}) SELECT json_build_object("
    + ", ".join(f"'{name}', {rows(query)}" for name, query in LISTS.items())
    + ")::text"
)

"""Read a database's schema from its catalogs, in one query.

A snapshot holds what ``pg_dump --schema-only --no-owner`` writes: two snapshots are equal (``==``) exactly when their dumps
are equal, with these exceptions:

- An INVALID index is a difference; pg_dump passes over it.
- The order of a table's columns, the name of a NOT NULL constraint, and whether a table also owns what it inherits are no
  differences.
- A snapshot leaves out every table named alembic_version, and what applications seldom make: default privileges,
  publications and subscriptions, foreign servers, collations, operators, casts, languages, text search, tablespaces, the
  inside of aggregates and range types, and comments on a type's parts.
"""

import json

import psycopg
from psycopg.rows import scalar_row

from .schema import Schema

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
        [found] = cursor.execute(QUERY, prepare=True)  # its plan takes the server longer than its rows, and can be kept
        return Schema.from_dict(json.loads(found))


# The one query gives the JSON that Schema.from_dict reads: each list below selects one dataclass's fields, by their names.

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

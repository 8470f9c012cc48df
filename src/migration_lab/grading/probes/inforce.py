"""Whether all that stands in a database is in force: it may be there by its name, and hold nobody to anything.

https://www.postgresql.org/docs/18/catalogs.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import psycopg

from migration_xray.trace import Trace

# What does not depend on the session's search path.
NAME = "CASE WHEN nspname = 'public' THEN relname::text ELSE nspname || '.' || relname END"
RELATION = (
    "pg_class JOIN pg_namespace n ON n.oid = relnamespace AND nspname !~ '^pg_' AND nspname <> 'information_schema'"
)

# A constraint that is not enforced is not validated either; before PostgreSQL 18 every one is enforced.
ENFORCED = "coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)"
KIND = (
    "CASE contype WHEN 'f' THEN 'foreign key ' WHEN 'n' THEN 'NOT NULL constraint ' ELSE 'constraint ' END || conname"
)

OFF = f"""
    SELECT {KIND} || ' on ' || {NAME}, CASE WHEN {ENFORCED} THEN
        'is NOT VALID (pg_constraint.convalidated is false): nobody has looked whether the rows that were there keep it.'
        ELSE 'is NOT ENFORCED (pg_constraint.conenforced is false): the server looks at no row.' END
      FROM pg_constraint k JOIN {RELATION} ON pg_class.oid = conrelid WHERE NOT convalidated OR NOT {ENFORCED}
    UNION ALL
    SELECT 'constraint ' || conname || ' on the domain ' || contypid::regtype, 'is NOT VALID (pg_constraint.convalidated is '
        'false): nobody has looked whether the values that were there keep it.'
      FROM pg_constraint k WHERE contypid <> 0 AND NOT convalidated
    UNION ALL
    SELECT DISTINCT 'foreign key ' || conname || ' on ' || {NAME}, 'has triggers of its own that are disabled '
        '(pg_trigger.tgenabled): they are how the server holds rows to a key. ENABLE TRIGGER ALL puts them back.'
      FROM pg_trigger JOIN pg_constraint k ON k.oid = tgconstraint AND contype = 'f'
      JOIN {RELATION} ON pg_class.oid = conrelid WHERE tgisinternal AND tgenabled IN ('D', 'R')
    UNION ALL
    SELECT 'foreign key ' || conname || ' on ' || {NAME}, 'has lost triggers of its own (pg_trigger): they are how the '
        'server holds rows to a key.'
      FROM pg_constraint k JOIN {RELATION} ON pg_class.oid = conrelid
      WHERE contype = 'f' AND {ENFORCED} AND conparentid = 0 AND relkind = 'r'
        AND EXISTS (SELECT FROM pg_class p WHERE p.oid = confrelid AND p.relkind = 'r')
        AND (SELECT count(*) FROM pg_trigger WHERE tgconstraint = k.oid) < 4
    UNION ALL
    SELECT 'trigger ' || tgname || ' on ' || {NAME}, CASE tgenabled WHEN 'D' THEN
        'is disabled (pg_trigger.tgenabled is D): it never runs.' ELSE
        'is for replicas only (pg_trigger.tgenabled is R): it does not run when somebody writes here.' END
      FROM pg_trigger JOIN {RELATION} ON pg_class.oid = tgrelid WHERE NOT tgisinternal AND tgenabled IN ('D', 'R')
    UNION ALL
    SELECT 'rule ' || rulename || ' on ' || {NAME}, CASE ev_enabled WHEN 'D' THEN
        'is disabled (pg_rewrite.ev_enabled is D).' ELSE 'is for replicas only (pg_rewrite.ev_enabled is R).' END
      FROM pg_rewrite JOIN {RELATION} ON pg_class.oid = ev_class WHERE ev_enabled IN ('D', 'R')
    UNION ALL
    SELECT 'policy ' || polname || ' on ' || {NAME}, 'is not in force: the table does not have row level security enabled '
        '(pg_class.relrowsecurity is false).'
      FROM pg_policy JOIN {RELATION} ON pg_class.oid = polrelid WHERE NOT relrowsecurity
    UNION ALL
    SELECT 'index ' || {NAME}, 'is INVALID (pg_index.indisvalid, indisready or indislive is false): no query uses it, and '
        'if it is unique, it keeps nothing single.'
      FROM pg_index JOIN {RELATION} ON pg_class.oid = indexrelid WHERE NOT (indisvalid AND indisready AND indislive)
    UNION ALL
    SELECT 'table ' || {NAME}, 'has checks, triggers, rules or indexes that the server passes over (pg_class.relchecks, '
        'relhastriggers, relhasrules or relhasindex says that there are none).'
      FROM {RELATION} WHERE relkind IN ('r', 'p') AND (
        relchecks <> (SELECT count(*) FROM pg_constraint WHERE conrelid = pg_class.oid AND contype = 'c')
        OR NOT relhastriggers AND EXISTS (SELECT FROM pg_trigger WHERE tgrelid = pg_class.oid)
        OR NOT relhasrules AND EXISTS (SELECT FROM pg_rewrite WHERE ev_class = pg_class.oid)
        OR NOT relhasindex AND EXISTS (SELECT FROM pg_index WHERE indrelid = pg_class.oid))
    UNION ALL
    SELECT 'event trigger ' || evtname, CASE WHEN evtenabled IN ('D', 'R') THEN 'is disabled (pg_event_trigger.evtenabled).'
        ELSE 'was made: it runs at each change of the schema from now on, whoever makes it.' END
      FROM pg_event_trigger
    UNION ALL
    SELECT 'the setting session_replication_role', 'was set for every new session of this database (pg_db_role_setting): in '
        'such a session neither triggers nor foreign keys act.'
      FROM pg_db_role_setting, unnest(setconfig) AS s(setting)
      WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND setting ~* '^session_replication_role=' AND setting !~* '=origin$'
    ORDER BY 1"""

# What the catalogs say that the rows keep, by an id that changes with it, and a query that counts the rows that don't.
# A function of the columns stands for IS NULL, which the planner takes for false where the catalog says NOT NULL.
CLAIMS = f"""
    SELECT 'check ' || k.oid, 'constraint ' || conname || ' on ' || {NAME}, 'rows that break it',
        format('SELECT count(*) FROM %s%s WHERE NOT (%s)', CASE WHEN connoinherit THEN 'ONLY ' END, conrelid::regclass,
            pg_get_expr(conbin, conrelid))
      FROM pg_constraint k JOIN {RELATION} ON pg_class.oid = conrelid
      WHERE contype = 'c' AND convalidated AND relkind IN ('r', 'p')
    UNION ALL
    SELECT 'foreign key ' || k.oid, 'foreign key ' || conname || ' on ' || {NAME}, 'rows that lead to no row',
        format('SELECT count(*) FROM %s AS child WHERE num_nulls(%s) = 0 AND NOT EXISTS (SELECT FROM %s AS parent WHERE %s)',
            conrelid::regclass, keys.own, confrelid::regclass, keys.equal)
      FROM pg_constraint k JOIN {RELATION} ON pg_class.oid = conrelid, LATERAL (
        SELECT string_agg(format('child.%I', c.attname), ', ') AS own,
            string_agg(format('child.%I = parent.%I', c.attname, p.attname), ' AND ') AS equal
          FROM unnest(conkey, confkey) AS pair (own, referred)
          JOIN pg_attribute c ON c.attrelid = conrelid AND c.attnum = own
          JOIN pg_attribute p ON p.attrelid = confrelid AND p.attnum = referred) AS keys
      WHERE contype = 'f' AND convalidated AND relkind IN ('r', 'p')
    UNION ALL
    SELECT 'not null ' || attrelid || '.' || attnum, 'column ' || {NAME} || '.' || attname || ', which is NOT NULL,',
        'rows without a value', format('SELECT count(*) FROM %s WHERE num_nulls(%I) > 0', attrelid::regclass, attname)
      FROM pg_attribute JOIN {RELATION} ON pg_class.oid = attrelid
      WHERE attnotnull AND attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p')
    UNION ALL
    SELECT 'unique ' || indexrelid, 'unique index ' || {NAME}, 'keys that are there more than once',
        format('SELECT count(*) FROM (SELECT FROM %s WHERE (%s) AND num_nulls(%s) = 0 GROUP BY %s HAVING count(*) > 1) AS twice',
            indrelid::regclass, coalesce(pg_get_expr(indpred, indrelid), 'true'), keys.list, keys.list)
      FROM pg_index JOIN {RELATION} ON pg_class.oid = indexrelid, LATERAL (
        SELECT string_agg(format('(%s)', pg_get_indexdef(indexrelid, k, true)), ', ') AS list
          FROM generate_series(1, indnkeyatts) AS k) AS keys
      WHERE indisunique AND indisvalid"""

# So that neither an index nor what a constraint says answers for the rows.
READ_THE_ROWS = """
    SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_bitmapscan = off;
    SET LOCAL constraint_exclusion = off; SET LOCAL search_path = public"""


@dataclass(frozen=True)
class Standing:
    """What of a database is not in force at one moment (thing → how), and what its catalogs say that the rows keep."""

    off: dict[str, str]
    claims: dict[str, tuple[str, str, str]]


def standing(session: psycopg.Connection) -> Standing:
    """Read it from the catalogs, in two queries."""
    with session.transaction(force_rollback=True):
        session.execute("SET LOCAL search_path = public; SET LOCAL jit = off")
        off = session.execute(OFF, prepare=True).fetchall()
        claims = session.execute(CLAIMS, prepare=True).fetchall()
    return Standing(dict(off), {key: (thing, broken, query) for key, thing, broken, query in claims})


def not_in_force(session: psycopg.Connection, before: Standing, declared: frozenset[str] = frozenset()) -> list[str]:
    """What stands in the database now, is not in force, and was not so before, in sentences.

    What the catalogs say of rows since then is looked up in the rows: a catalog can be edited.
    """
    now = standing(session)
    found = [
        f"{thing} {how}" for thing, how in now.off.items() if before.off.get(thing) != how and thing not in declared
    ]
    with session.transaction(force_rollback=True):
        session.execute(READ_THE_ROWS)
        for thing, broken, query in (claim for key, claim in now.claims.items() if key not in before.claims):
            try:
                with session.transaction():
                    [(count,)] = session.execute(query)
            except (psycopg.errors.DataCorrupted, psycopg.errors.IndexCorrupted) as error:
                found.append(f"{thing} is marked as valid, and the server can't read it: {error.diag.message_primary}.")
            else:
                if count:
                    found.append(f"{thing} is marked as valid, and the rows are not so; {broken}: {count:,}.")
    return found


# A catalog says what the server has done. Whoever writes there makes it say what nobody has done.
BY_HAND = re.compile(
    r"\b(UPDATE|INSERT\s+INTO|DELETE\s+FROM|MERGE\s+INTO)\s+(ONLY\s+)?(pg_catalog\.)?pg_\w+", re.IGNORECASE
)


def written_by_hand(trace: Trace) -> list[str]:
    """The statements that write to the server's catalogs, in sentences."""
    return [
        f"`{one.in_short}` ({one.where or 'env.py'}) writes to a catalog by hand. Only the server knows what stands there by right"
        for one in trace.statements
        if BY_HAND.search(one.sql)
    ]

"""What belongs to the whole server, not to the database that is graded: a migration may change it, and the lab puts it back.

Roles, databases, their settings and the server's own, tablespaces and replication slots outlive the grading.
Another person may change the same on a shared server meanwhile. So only what the answer's own files speak of is taken for
the answer's doing.
https://www.postgresql.org/docs/18/catalogs-overview.html (shared across the databases of a cluster)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql

LOOK = """
    SELECT json_build_object(
        'settings', (SELECT json_agg(json_build_array(coalesce(rolname, ''), coalesce(datname, ''), split_part(setting, '=', 1),
                substr(setting, strpos(setting, '=') + 1)))
            FROM pg_db_role_setting LEFT JOIN pg_roles r ON r.oid = setrole LEFT JOIN pg_database d ON d.oid = setdatabase,
                unnest(setconfig) AS s(setting)
            WHERE datname IS DISTINCT FROM current_database()),
        'roles', (SELECT json_object_agg(rolname, (to_jsonb(r) - 'oid' - 'rolpassword' - 'rolconfig') || jsonb_build_object(
                'member of', (SELECT coalesce(jsonb_agg(roleid::regrole::text ORDER BY 1), '[]') FROM pg_auth_members m
                    WHERE m.member = r.oid))) FROM pg_roles r WHERE rolname !~ '^pg_'),
        'tablespaces', (SELECT json_agg(spcname) FROM pg_tablespace),
        'slots', (SELECT json_agg(slot_name) FROM pg_replication_slots WHERE NOT temporary),
        'databases', (SELECT json_agg(datname) FROM pg_database){})"""
FOR_SUPERUSERS = """,
        'passwords', (SELECT json_object_agg(rolname, rolpassword) FROM pg_authid WHERE rolname !~ '^pg_'),
        'servers own', (SELECT json_object_agg(name, setting) FROM pg_file_settings
            WHERE sourcefile LIKE '%postgresql.auto.conf')"""
GONE = "It is dropped again."

ATTRIBUTES = {
    "rolsuper": "SUPERUSER",
    "rolinherit": "INHERIT",
    "rolcreaterole": "CREATEROLE",
    "rolcreatedb": "CREATEDB",
    "rolcanlogin": "LOGIN",
    "rolreplication": "REPLICATION",
    "rolbypassrls": "BYPASSRLS",
}


@dataclass(frozen=True)
class Cluster:
    """What was seen of the whole server at one moment."""

    settings: dict[tuple[str, str, str], str]  # (role, database, parameter) → value; "" is for all of them
    roles: dict[str, dict[str, object]]
    passwords: dict[str, str | None]
    tablespaces: frozenset[str]
    slots: frozenset[str]
    databases: frozenset[str]
    servers_own: dict[str, str]


@dataclass(frozen=True)
class Change:
    """One thing that is not as it was: what it is, how a file speaks of it (a pattern), and what puts it back."""

    what: str
    word: str
    undo: tuple[sql.Composed, ...]
    undone: str = "It is put back."


def look(session: psycopg.Connection) -> Cluster:
    """Read it, in one query; what the session's role may not see is left out."""
    superuser = session.info.parameter_status("is_superuser") == "on"
    [(found,)] = session.execute(LOOK.format(FOR_SUPERUSERS if superuser else ""))
    return Cluster(
        {(role, database, name): value for role, database, name, value in found["settings"] or []},
        found["roles"],
        found.get("passwords", {}),
        frozenset(found["tablespaces"]),
        frozenset(found["slots"] or ()),
        frozenset(found["databases"] or ()),
        found.get("servers own") or {},
    )


def put_back(session: psycopg.Connection, before: Cluster, speaks_of: Callable[[str], str | None]) -> list[str]:
    """Undo what an answer has changed of the whole server, and say what that was, in sentences; [] where there is nothing.

    ``speaks_of`` gives the answer's file that has a pattern, or None.
    """
    said = []
    for change in _changes(before, look(session)):
        if not (file := speaks_of(change.word)):
            continue
        try:
            for command in change.undo:
                session.execute(command)
        except psycopg.Error as error:
            said.append(f"{change.what} ({file}). It could not be put back: {error.diag.message_primary}.")
        else:
            undone = change.undone if change.undo else "The lab can't put it back."
            said.append(f"{change.what} ({file}). {undone}")
    return said


def _changes(before: Cluster, now: Cluster) -> Iterator[Change]:
    yield from _settings(before, now)
    yield from _roles(before, now)
    for name in sorted(before.servers_own.keys() | now.servers_own.keys()):
        was = before.servers_own.get(name)
        if was != now.servers_own.get(name):
            undo = (
                _command("ALTER SYSTEM SET {} = {}", name, was)
                if was is not None
                else _command("ALTER SYSTEM RESET {}", name)
            )
            yield Change(
                f"the server's own setting {name} was changed",
                re.escape(name),
                (undo, _command("SELECT pg_reload_conf()")),
            )
    for name in sorted(now.tablespaces - before.tablespaces):
        yield Change(f"the tablespace {name} was made", re.escape(name), (_command("DROP TABLESPACE {}", name),), GONE)
    for name in sorted(before.tablespaces - now.tablespaces):
        yield Change(f"the tablespace {name} was dropped", re.escape(name), ())
    for name in sorted(now.slots - before.slots):
        undo = sql.SQL("SELECT pg_drop_replication_slot({})").format(sql.Literal(name))
        yield Change(
            f"the replication slot {name} was made, for which the server keeps its WAL", re.escape(name), (undo,), GONE
        )
    for name in sorted(now.databases - before.databases):
        yield Change(
            f"the database {name} was made", re.escape(name), (_command("DROP DATABASE {} WITH (FORCE)", name),), GONE
        )
    for name in sorted(before.databases - now.databases):
        yield Change(f"the database {name} is gone", re.escape(name), ())


def _settings(before: Cluster, now: Cluster) -> Iterator[Change]:
    for role, database, name in sorted(before.settings.keys() | now.settings.keys()):
        was, value = before.settings.get((role, database, name)), now.settings.get((role, database, name))
        if (
            was == value
            or (role and role not in now.roles)
            or (database and database not in before.databases & now.databases)
        ):
            continue
        whose = " and ".join(
            [*([f"the role {role}"] if role else []), *([f"the database {database}"] if database else [])]
        )
        target = sql.SQL("ROLE {}").format(sql.Identifier(role)) if role else sql.SQL("ROLE ALL")
        if database:
            within = sql.SQL("DATABASE {}").format(sql.Identifier(database))
            target = sql.SQL("{} IN {}").format(target, within) if role else within
        change = sql.SQL("RESET {}").format(sql.Identifier(name)) if was is None else _set(name, was)
        found = f"{name} is now {value!r}" if value is not None else f"{name} was reset"
        undo = sql.SQL("ALTER {} {}").format(target, change)
        speaks = database or name  # another grading's database has settings of its own
        yield Change(f"for {whose or 'all roles'}, {found} in every new session", re.escape(speaks), (undo,))


def _set(name: str, value: str) -> sql.Composed:
    """SET with a value as the catalog has it: a list of names is one text there."""
    parts = [sql.Literal(part.strip().strip('"')) for part in value.split(",")] if name == "search_path" else None
    return sql.SQL("SET {} = {}").format(
        sql.Identifier(name), sql.SQL(", ").join(parts) if parts else sql.Literal(value)
    )


def _roles(before: Cluster, now: Cluster) -> Iterator[Change]:
    for name in sorted(now.roles.keys() - before.roles.keys()):
        drop = (_command("DROP OWNED BY {} CASCADE", name), _command("DROP ROLE {}", name))
        yield Change(f"the role {name} was made", re.escape(name), drop, GONE)
    for name in sorted(before.roles.keys() - now.roles.keys()):
        yield Change(f"the role {name} is gone", re.escape(name), ())
    for name in sorted(now.roles.keys() & before.roles.keys()):
        was, role = before.roles[name], now.roles[name]
        changed = [word for column, word in ATTRIBUTES.items() if was[column] != role[column]]
        options = [word if was[column] else f"NO{word}" for column, word in ATTRIBUTES.items() if word in changed]
        if was["rolconnlimit"] != role["rolconnlimit"]:
            changed.append("CONNECTION LIMIT")
            options.append(f"CONNECTION LIMIT {was['rolconnlimit']}")
        if was["rolvaliduntil"] != role["rolvaliduntil"]:
            changed.append("VALID UNTIL")
            options.append(f"VALID UNTIL '{was['rolvaliduntil'] or 'infinity'}'")
        if options:
            undo = sql.SQL("ALTER ROLE {} " + " ".join(options)).format(sql.Identifier(name))
            yield Change(f"the role {name} was changed ({', '.join(changed)})", "role|user", (undo,))
        if before.passwords.get(name) != now.passwords.get(name):
            password = sql.Literal(before.passwords.get(name))
            undo = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(name), password)
            yield Change(f"the role {name} has another password", "password", (undo,))
        yield from _memberships(name, was["member of"], role["member of"])


def _memberships(name: str, was: object, now: object) -> Iterator[Change]:
    assert isinstance(was, list) and isinstance(now, list)
    for other in sorted(set(now) - set(was)):
        yield Change(
            f"the role {name} became a member of {other}", "grant", (_plain("REVOKE {} FROM {}", other, name),)
        )
    for other in sorted(set(was) - set(now)):
        yield Change(
            f"the role {name} is no member of {other} any more", "revoke", (_plain("GRANT {} TO {}", other, name),)
        )


def _plain(command: str, other: str, name: str) -> sql.Composed:
    """``other`` is written as regrole writes it, quoted if need be."""
    return sql.SQL(command).format(sql.SQL(other), sql.Identifier(name))


def _command(command: str, *words: str) -> sql.Composed:
    """A command with a name, and a value where it has one."""
    name, *values = words or [""]
    parts = [sql.Identifier(name), *map(sql.Literal, values)] if words else []
    return sql.SQL(command).format(*parts)

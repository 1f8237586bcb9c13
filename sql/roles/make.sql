-- What the Identity Provider of one organisation may do here: sign in, and read its own rows of idp_release.
-- Whoever runs this twice has done it once. What changes for others: no longer may everybody make temporary tables and
-- large objects in this database, make tables in this schema, and take advisory locks.
begin;
set local lock_timeout = '2s';
-- Not while the schema is brought up to date, and not twice at once
select pg_advisory_xact_lock(1869768548);

do $$
declare
    it constant name := {name};
begin
    if not exists (select 1 from pg_roles where rolname = it) then
        create role {role} nologin noinherit;
    end if;
    if exists (
        select 1
        from pg_roles
        where rolname = it
            and (rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls)
    ) or exists (
        select 1
        from pg_auth_members
        join pg_roles on pg_roles.oid = pg_auth_members.member
        where pg_roles.rolname = it
    ) or exists (
        select 1
        from pg_shdepend
        join pg_roles on pg_roles.oid = pg_shdepend.refobjid
        where pg_shdepend.refclassid = 'pg_authid'::regclass
            and pg_shdepend.deptype = 'o'
            and pg_roles.rolname = it
    ) then
        raise exception 'the role % is there already, and may do more than read its rows', it;
    end if;
end
$$;

alter role {role} login connection limit {connections};
{password}
-- Good manners, and no walls: a client may set these anew
alter role {role} set statement_timeout = '5s';
alter role {role} set idle_in_transaction_session_timeout = '10s';
alter role {role} set default_transaction_read_only = on;
alter role {role} set search_path = {schema};

-- The walls. With security_invoker the view asks with the rights of whoever reads it, so that the policy holds there too
revoke create on schema {schema} from public;
revoke temporary on database {database} from public;
do $$
begin
    -- Only an administrator can forbid these. By advisory locks the service's processes take turns: whoever held one
    -- would stop them
    if (select rolsuper from pg_roles where rolname = current_user) then
        revoke execute on function
            lo_creat(int), lo_create(oid), lo_from_bytea(oid, bytea),
            pg_advisory_lock(bigint), pg_advisory_lock(int, int),
            pg_advisory_lock_shared(bigint), pg_advisory_lock_shared(int, int),
            pg_advisory_xact_lock(bigint), pg_advisory_xact_lock(int, int),
            pg_advisory_xact_lock_shared(bigint), pg_advisory_xact_lock_shared(int, int),
            pg_try_advisory_lock(bigint), pg_try_advisory_lock(int, int),
            pg_try_advisory_lock_shared(bigint), pg_try_advisory_lock_shared(int, int),
            pg_try_advisory_xact_lock(bigint), pg_try_advisory_xact_lock(int, int),
            pg_try_advisory_xact_lock_shared(bigint), pg_try_advisory_xact_lock_shared(int, int)
        from public;
        grant execute on function pg_advisory_xact_lock(bigint) to {owner};
    end if;
end
$$;
alter table {links} no force row level security;
alter table {links} enable row level security;
drop policy if exists {role} on {links};
create policy {role} on {links}
    for select to {role}
    using (organisation = {organisation} and registry = {registry} and ended_at is null);
alter view {view} set (security_invoker = true, security_barrier = true);
grant usage on schema {schema} to {role};
grant select (organisation, registry, person_key, orcid, ended_at) on {links} to {role};
grant select on {view} to {role};
commit;

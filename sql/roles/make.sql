-- Creates the role of an organisation's Identity Provider, which can log in and read its own rows of idp_release.
-- Running it again changes nothing. It also revokes from public: temporary tables, large objects and advisory locks in
-- this database, and tables in this schema.
begin;
set local lock_timeout = '2s';
-- Not during a migration, and not twice at the same time
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
-- Defaults only: the client can change them
alter role {role} set statement_timeout = '5s';
alter role {role} set idle_in_transaction_session_timeout = '10s';
alter role {role} set default_transaction_read_only = on;
alter role {role} set search_path = {schema};

-- The actual restrictions. With security_invoker the view reads with the caller's rights, so that the policy applies
revoke create on schema {schema} from public;
revoke temporary on database {database} from public;
do $$
begin
    -- Only a superuser can revoke these. The service's processes exclude each other by an advisory lock: a client that
    -- held it would block them
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
    using (organisation = {organisation} and registry = {registry} and ended_at is null and suspended_at is null);
alter view {view} set (security_invoker = true, security_barrier = true);
grant usage on schema {schema} to {role};
grant select (
    organisation, registry, person_key, orcid, ended_at, suspended_at, account_issued_at, stable_id
) on {links} to {role};
grant select on {view} to {role};
commit;

-- What the Identity Provider of one organisation may do here: sign in, and read its own rows of idp_release.
-- Whoever runs this twice has done it once. Nobody else's rights change, but that by it no longer everybody may make
-- temporary tables in this database and tables in this schema.
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

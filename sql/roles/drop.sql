-- Revokes all rights of the Identity Provider's role first, so that it has none even if it cannot be dropped.
begin;
set local lock_timeout = '2s';
select pg_advisory_xact_lock(1869768548);
drop policy if exists {role} on {links};
do $$
begin
    if exists (select 1 from pg_roles where rolname = {name}) then
        alter role {role} nologin password null;
        revoke all on {view}, {links} from {role};
        revoke select (organisation, registry, person_key, orcid, ended_at, account_issued_at, stable_id) on {links} from {role};
        revoke all on schema {schema} from {role};
    end if;
end
$$;
commit;

drop role if exists {role};

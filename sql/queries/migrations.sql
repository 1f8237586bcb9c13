-- name: create_migrations_table
-- `additive_since` names the migration from which on programs run on this one too; null where none does.
create table if not exists schema_migrations (
    name text not null primary key,
    applied_at text not null,
    sha256 text not null,
    additive_since text
);

-- name: list_applied_migrations
select name, sha256, additive_since
from schema_migrations
order by name;

-- name: insert_applied_migration
insert into schema_migrations (name, applied_at, sha256, additive_since)
values (:name, :applied_at, :sha256, :additive_since);

-- name: touch_migrations
-- Changes nothing; fails where nothing can be written
update schema_migrations
set applied_at = applied_at;

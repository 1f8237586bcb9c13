-- name: create_migrations_table
create table if not exists schema_migrations (
    name text not null primary key,
    applied_at text not null,
    sha256 text not null
);

-- name: list_applied_migrations
select name, sha256
from schema_migrations
order by name;

-- name: insert_applied_migration
insert into schema_migrations (name, applied_at, sha256)
values (:name, :applied_at, :sha256);

-- name: touch_migrations
-- Changes nothing; fails where nothing can be written
update schema_migrations
set applied_at = applied_at;

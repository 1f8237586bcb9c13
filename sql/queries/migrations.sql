-- name: make_migrations_table()!
-- The list of what has been done to this database.
create table if not exists schema_migrations (
    name text not null primary key,
    applied_at text not null,
    sha256 text not null
);

-- name: applied_migrations()
-- What has been done to this database, in order.
select name, sha256
from schema_migrations
order by name;

-- name: note_migration(name, applied_at, sha256)!
-- A file has been applied.
insert into schema_migrations (name, applied_at, sha256)
values (:name, :applied_at, :sha256);

-- name: record_release
-- Changes a row if the link is current and the state is new: missing, other and seen follow each other, also by
-- alphabet.
update links
set release_state = :state,
    release_at = :now
where id = :id
    and ended_at is null
    and coalesce(release_state, '') < :state;

-- name: count_releases
-- Number of current links, in all and by release state; each subquery counts in an index.
select
    (
        select count(*)
        from links
        where organisation = :organisation
            and ended_at is null
    ) as linked,
    (
        select count(*)
        from links
        where organisation = :organisation
            and ended_at is null
            and release_state = 'seen'
    ) as seen,
    (
        select count(*)
        from links
        where organisation = :organisation
            and ended_at is null
            and release_state = 'other'
    ) as other,
    (
        select count(*)
        from links
        where organisation = :organisation
            and ended_at is null
            and release_state = 'missing'
    ) as missing;

-- name: count_linked_before
-- Number of current links made before a time, at most :limit.
select count(*) as count
from (
    select 1
    from links
    where organisation = :organisation
        and ended_at is null
        and linked_at < :before
    limit :limit
) as old;

-- The rows of the old dumper's table become rows of log_entry: log_adopt moves them in batches, each
-- in a transaction of its own, and may be stopped and called again. docs/logs.md has the steps.

-- A time as that table may have it: a timestamp, or milliseconds since 1970.
create function log_adopt_time(value text) returns timestamptz language plpgsql stable as $$
begin
    if value ~ '^\d+(\.\d+)?$' then
        return timestamptz '1970-01-01 00:00:00+00' + value::numeric * interval '1 millisecond';
    end if;
    return value::timestamptz;
exception when data_exception then
    return null;
end $$;

-- A row of it as log_entry has it. What has no time is of when it is moved.
create function log_adopt_row(old jsonb, out server_time timestamptz, out seq_number bigint, out client_time timestamptz,
    out level text, out msg text, out user_name text, out room text, out text text)
language sql stable as $$
    select coalesce(log_adopt_time(old ->> 'server_time'), log_adopt_time(old ->> 'client_time'), now()),
        coalesce((old ->> 'seq_number')::numeric, (old ->> 'Id')::numeric, 0)::bigint,
        log_adopt_time(old ->> 'client_time'), lower(old ->> 'level'), old ->> 'msg', old ->> 'user',
        nullif(nullif(old ->> 'room', ''), 'undefined'), old ->> 'text'
$$;

create procedure log_adopt(old regclass, batch int default 10000) language plpgsql as $$
declare
    moved bigint := 0;
    count int;
    day date;
begin
    for day in execute format('select distinct ((log_adopt_row(to_jsonb(o))).server_time at time zone ''UTC'')::date from %s o', old)
    loop
        perform log_partition_make(day);
    end loop;
    commit;
    loop
        execute format('with taken as (delete from %1$s where ctid = any (array(select ctid from %1$s limit %2$s)) returning *) '
            'insert into log_entry (server_time, seq_number, client_time, level, msg, user_name, room, text) '
            'select (log_adopt_row(to_jsonb(t))).* from taken t', old, batch);
        get diagnostics count = row_count;
        exit when count = 0;
        moved := moved + count;
        raise notice '% rows moved', moved;
        commit;
    end loop;
end $$;

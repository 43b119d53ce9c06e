-- Schema 2: the questions that people ask of many rows are answered by an index, housekeeping stops
-- nobody, and the least rights suffice. It runs beside readers and sinks: what it locks, it locks for
-- a moment; indexes of days that are there are built afterwards, by log_upkeep's statements.

set local lock_timeout = '5s';

-- The last lines of all, and of levels that are frequent, are the end of this index; pages of
-- readers that count by Id ("LogEntry", one seq_number) are a piece of the next one. Both grow at
-- their right end only, which costs COPY a quarter of what an index in another order costs. A BRIN
-- on the number would cost less, but the next 100 by Id would sort all of the day that runs.
create index log_entry_at on only log_entry (server_time);
create index log_entry_seq on only log_entry (seq_number);

comment on column log_entry.text is
    'The whole line as sent; NULL where the entry had none: log_line and "LogEntry" make it.';

-- log_entry, and each line has its text.
create view log_line as
    select server_time, seq_number, client_time, level, msg, user_name, room,
        coalesce(text, concat_ws(' ',
            to_char(coalesce(client_time, server_time) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
            level, msg)) as text,
        extra
    from log_entry;

comment on view log_line is 'log_entry, with a text made from time, level and msg where the entry had none.';

create or replace view "LogEntry" as
    select seq_number as "Id", client_time, level, msg, user_name as "user", room, server_time,
        seq_number, text
    from log_line;

-- Days before `day` that are still here.
create function log_partitions_due(day date) returns int language sql stable as $$
    select count(*)::int from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'log_entry'::regclass and c.relname ~ '^log_entry_\d{8}$'
            and c.relname < 'log_entry_' || to_char(day, 'YYYYMMDD')
$$;

-- As before, but for who may not run log_upkeep's statements (and for PostgreSQL before 14, which
-- cannot detach beside readers). A drop waits for all who read log_entry, and whoever comes next
-- waits behind it: so it waits for a moment only, and the day is left for the next time.
create or replace function log_partition_drop(day date) returns int language plpgsql as $$
declare
    one text;
    dropped int := 0;
begin
    if not pg_try_advisory_xact_lock(hashtext('muster log partitions')) then
        return 0;
    end if;
    perform set_config('lock_timeout', '50ms', true);
    for one in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = 'log_entry'::regclass and c.relname ~ '^log_entry_\d{8}$'
                and c.relname < 'log_entry_' || to_char(day, 'YYYYMMDD')
            order by c.relname
    loop
        begin
            execute format('drop table %I', one);
            dropped := dropped + 1;
        exception when lock_not_available then
            exit;
        end;
    end loop;
    return dropped;
end $$;

-- A day of log_entry has a usable index of `method` that begins with the column or expression
-- `first`, over all rows.
create function log_has_index(of_table regclass, method name, first text) returns boolean
language sql stable as $$
    select exists (select from pg_index x join pg_class i on i.oid = x.indexrelid join pg_am a on a.oid = i.relam
        where x.indrelid = of_table and x.indisvalid and x.indpred is null and a.amname = method
            and pg_get_indexdef(x.indexrelid, 1, true) = first)
$$;

-- What is to be done to the days, as statements of the owner, each to be run alone and outside of a
-- transaction; asked again it leaves out what was done. None of them makes others wait: an index is
-- built CONCURRENTLY, a day before `before` (NULL: none) is detached CONCURRENTLY and then dropped.
-- With `search` each day that is over gets an index of its words.
create function log_upkeep(before date, search boolean) returns setof text language plpgsql as $$
declare
    one record;
    new record;
    words constant text := 'to_tsvector(''simple''::regconfig, COALESCE(text, msg))';
begin
    for one in
        select c.oid, c.relname, n.nspname, i.inhparent is not null as attached,
            coalesce((to_jsonb(i) ->> 'inhdetachpending')::boolean, false) as pending,
            before is not null and c.relname < 'log_entry_' || to_char(before, 'YYYYMMDD') as due,
            c.relname < 'log_entry_' || to_char(now() at time zone 'UTC', 'YYYYMMDD') as over,
            obj_description(c.oid, 'pg_class') = 'muster: this day is over its time' as marked
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
            left join pg_inherits i on i.inhrelid = c.oid and i.inhparent = 'log_entry'::regclass
        where c.relkind = 'r' and c.relname ~ '^log_entry_\d{8}$'
            and c.relnamespace = (select relnamespace from pg_class where oid = 'log_entry'::regclass)
        order by c.relname
    loop
        if one.attached and one.due and current_setting('server_version_num')::int >= 140000 then
            -- Only what bears the mark is dropped: a day that a person detached stays.
            execute format('comment on table %I.%I is ''muster: this day is over its time''', one.nspname, one.relname);
            return next format('alter table %I.log_entry detach partition %I.%I %s', one.nspname, one.nspname,
                one.relname, case when one.pending then 'finalize' else 'concurrently' end);
        elsif one.marked and not one.attached then
            return next format('drop table %I.%I', one.nspname, one.relname);
        elsif one.attached and not one.due then
            for new in
                select * from (values ('_at', 'btree', 'server_time', true), ('_seq', 'btree', 'seq_number', true),
                    ('_words', 'gin', words, search and one.over)) v (suffix, method, first, wanted)
                where wanted and not log_has_index(one.oid, v.method::name, v.first)
            loop
                if to_regclass(format('%I.%I', one.nspname, one.relname || new.suffix)) is not null then
                    -- Building it was cut short.
                    return next format('drop index concurrently %I.%I', one.nspname, one.relname || new.suffix);
                end if;
                return next format('create index concurrently %I on %I.%I using %s (%s)', one.relname || new.suffix,
                    one.nspname, one.relname, new.method, new.first);
            end loop;
        end if;
    end loop;
end $$;

-- Whose right the functions use, and what may be called by whom.
do $$
declare
    one text;
begin
    foreach one in array array['log_lane_move(text, int, bigint, bigint, bigint)', 'log_partition_make(date)',
        'log_partition_drop(date)', 'log_partitions_due(date)', 'log_has_index(regclass, name, text)',
        'log_upkeep(date, boolean)']
    loop
        execute format('alter function %s set search_path = %I, pg_temp', one, current_schema());
    end loop;
    alter function log_partition_make(date) security definer;
    alter function log_partition_drop(date) security definer;
    revoke execute on function log_partition_make(date), log_partition_drop(date) from public;
end $$;

-- muster_writer is all that a sink needs, muster_reader all that people and dashboards need. Where
-- who migrates may not make roles, an administrator makes them (create role muster_writer; create
-- role muster_reader) and log_grant() is called once more.
create function log_grant() returns void language plpgsql as $$
begin
    if exists (select from pg_roles where rolname = 'muster_writer') then
        execute format('grant usage on schema %I to muster_writer', current_schema());
        grant insert on log_entry, log_entry_rejected to muster_writer;
        grant select, insert, update, delete on log_lane to muster_writer;
        grant execute on function log_partition_make(date), log_partition_drop(date) to muster_writer;
    end if;
    if exists (select from pg_roles where rolname = 'muster_reader') then
        execute format('grant usage on schema %I to muster_reader', current_schema());
        grant select on log_entry, log_entry_rejected, log_line, "LogEntry" to muster_reader;
    end if;
end $$;

do $$
declare
    one text;
begin
    foreach one in array array['muster_writer', 'muster_reader']
    loop
        if not exists (select from pg_roles where rolname = one) then
            begin
                execute format('create role %I nologin', one);
            exception
                when duplicate_object or unique_violation then null;
                when insufficient_privilege then
                    raise notice 'may not create the role %: its grants are left out; create it, then select log_grant()', one;
            end;
        end if;
    end loop;
    perform log_grant();
end $$;

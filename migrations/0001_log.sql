-- Log entries, as `muster sink` stores them.

-- By day of server_time, in UTC: log_partition_make makes the days, log_partition_drop ends them.
create table log_entry (
    server_time timestamptz not null,
    seq_number bigint not null,
    client_time timestamptz,
    level text,
    msg text,
    user_name text,
    room text,
    text text,
    extra jsonb
) partition by range (server_time);

comment on table log_entry is 'One row for each log entry; NULL where the entry had nothing.';
comment on column log_entry.server_time is 'When the cluster took it.';
comment on column log_entry.seq_number is 'Its place in the stream: microseconds since 1970, made strictly growing.';
comment on column log_entry.client_time is 'When the client says that it was.';
comment on column log_entry.level is 'In lower case.';
comment on column log_entry.text is 'The whole line as sent, or made from time, level and msg.';
comment on column log_entry.extra is 'Further keys of the entry; _raw is the entry as it came, where some of it fits no column.';

-- COPY pays for each index, so they cover only rows that people look for by them: most entries are
-- of a level that nobody counts. The BRIN over time costs next to nothing.
create index log_entry_room on log_entry (room, server_time) where room is not null;
create index log_entry_user on log_entry (user_name, server_time) where user_name is not null;
create index log_entry_level on log_entry (level, server_time)
    where level not in ('info', 'debug', 'trace');
create index log_entry_time on log_entry using brin (server_time) with (pages_per_range = 32);

create table log_entry_rejected (
    id bigint generated always as identity primary key,
    rejected_at timestamptz not null default now(),
    server_time timestamptz not null,
    seq_number bigint not null,
    reason text not null,
    raw text not null
);

comment on table log_entry_rejected is 'Dead letters: entries that PostgreSQL would not take as rows.';

-- How far each lane of a fleet's stream is stored: moves in the transaction that stores the rows.
create table log_lane (
    stream text not null,
    lane int not null,
    seq_number bigint not null default 0,
    ordinal bigint not null default 0,
    moved_at timestamptz not null default now(),
    primary key (stream, lane)
) with (fillfactor = 50);

comment on table log_lane is 'The sinks'' positions; a row that is lost makes a sink store its lane again.';

-- Moves a lane from one position to the next. One that stands elsewhere was moved by another sink:
-- the transaction fails.
create function log_lane_move(of_stream text, of_lane int, from_seq bigint, to_seq bigint, to_ordinal bigint)
returns void language plpgsql as $$
begin
    update log_lane set seq_number = to_seq, ordinal = to_ordinal, moved_at = now()
        where stream = of_stream and lane = of_lane and seq_number = from_seq;
    if not found then
        raise exception 'lane % of % does not stand at %', of_lane, of_stream, from_seq
            using errcode = 'MU001';
    end if;
end $$;

-- The partition of a day, if it is not there. Attached, not created in place: that locks out nobody
-- who reads or writes.
create function log_partition_make(day date) returns void language plpgsql as $$
declare
    name text := 'log_entry_' || to_char(day, 'YYYYMMDD');
begin
    if to_regclass(format('%I', name)) is not null then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtext('muster log partitions'));
    if to_regclass(format('%I', name)) is not null then
        return;
    end if;
    execute format('create table %I (like log_entry including defaults including constraints)', name);
    execute format('alter table log_entry attach partition %I for values from (%L) to (%L)', name,
        day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00');
end $$;

-- Drops the partitions of days before `day`; says how many. One that somebody reads for long is left
-- for the next time.
create function log_partition_drop(day date) returns int language plpgsql as $$
declare
    one text;
    dropped int := 0;
begin
    if not pg_try_advisory_xact_lock(hashtext('muster log partitions')) then
        return 0;
    end if;
    perform set_config('lock_timeout', '2s', true);
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

-- The table of the old dumper.
create view "LogEntry" as
    select seq_number as "Id", client_time, level, msg, user_name as "user", room, server_time,
        seq_number, text
    from log_entry;

-- For people and dashboards. Where the one who migrates may not make roles, an administrator does:
-- create role muster_reader; and the grants below.
do $$
begin
    if not exists (select from pg_roles where rolname = 'muster_reader') then
        begin
            create role muster_reader nologin;
        exception
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
                raise notice 'may not create the role muster_reader: left out';
        end;
    end if;
    if exists (select from pg_roles where rolname = 'muster_reader') then
        execute format('grant usage on schema %I to muster_reader', current_schema());
        grant select on log_entry, log_entry_rejected, "LogEntry" to muster_reader;
    end if;
end $$;

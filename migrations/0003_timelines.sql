-- Whose history a lane's position belongs to, and what was stored of each writer (docs/store.md).

alter table log_lane add column identity text not null default '';
alter table log_lane add column timeline text not null default '';
comment on column log_lane.identity is 'The stream that the position speaks of: made at random with it. Empty: not known yet.';
comment on column log_lane.timeline is 'Whose history of it: that of one server since its last possible fork.';

create table log_writer (
    stream text not null,
    lane int not null,
    node text not null,
    call bigint not null,
    entry bigint not null,
    moved_at timestamptz not null default now(),
    primary key (stream, lane, node)
) with (fillfactor = 50);

comment on table log_writer is 'The last entry of each node that is stored, by the node''s own numbers: it is stored once, whatever server has it again.';

create table log_stream (
    stream text primary key,
    identity text not null,
    seen_at timestamptz not null default now()
);

comment on table log_stream is 'Which stream the sinks store under this name, and when one last saw it.';

-- Moves a lane as log_lane_move with five arguments does, which sinks of version 0.1.0 call.
create function log_lane_move(of_stream text, of_lane int, from_seq bigint, to_seq bigint, to_ordinal bigint,
    to_identity text, to_timeline text)
returns void language plpgsql as $$
begin
    update log_lane set seq_number = to_seq, ordinal = to_ordinal, identity = to_identity, timeline = to_timeline,
            moved_at = now()
        where stream = of_stream and lane = of_lane and seq_number = from_seq;
    if not found then
        raise exception 'lane % of % does not stand at %', of_lane, of_stream, from_seq
            using errcode = 'MU001';
    end if;
end $$;

-- Takes the stream of that identity as the one that is stored under this name, and says whether it is: when it was
-- before, when it is the same server's after that lost its data (`was` or `seen` is what it was before), or when
-- nobody has seen the other one for two minutes.
create function log_stream_take(of_stream text, of_identity text, was text, seen text)
returns boolean language plpgsql as $$
begin
    insert into log_stream as l (stream, identity) values (of_stream, of_identity)
        on conflict (stream) do update set identity = excluded.identity, seen_at = now()
        where l.identity in (of_identity, was, seen) or l.seen_at < now() - interval '2 minutes';
    return found;
end $$;

-- As before, with what this schema adds.
create or replace function log_grant() returns void language plpgsql as $$
begin
    if exists (select from pg_roles where rolname = 'muster_writer') then
        execute format('grant usage on schema %I to muster_writer', current_schema());
        grant insert on log_entry, log_entry_rejected to muster_writer;
        grant select, insert, update, delete on log_lane, log_writer to muster_writer;
        grant select, insert, update on log_stream to muster_writer;
        grant execute on function log_partition_make(date), log_partition_drop(date) to muster_writer;
    end if;
    if exists (select from pg_roles where rolname = 'muster_reader') then
        execute format('grant usage on schema %I to muster_reader', current_schema());
        grant select on log_entry, log_entry_rejected, log_line, "LogEntry" to muster_reader;
    end if;
end $$;

select log_grant();

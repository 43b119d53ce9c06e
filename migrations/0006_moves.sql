-- Where the sinks stand is written with each batch, a new version of the same row each time. While somebody keeps a
-- transaction open no version goes, and who looks for the row by its key walks past all of them: 0.3 ms grew to 2.7 ms
-- within 40,000 moves. So a session notes where the version is that it wrote last, and goes there; the key serves when
-- that is not the last one any more.

create or replace function log_lane_move(of_stream text, of_lane int, from_seq bigint, to_seq bigint, to_ordinal bigint,
    to_identity text, to_timeline text)
returns void language plpgsql as $$
declare
    place tid := nullif(current_setting('muster.lane_place', true), '');
begin
    update log_lane set seq_number = to_seq, ordinal = to_ordinal, identity = to_identity, timeline = to_timeline,
            moved_at = now()
        where ctid = place and stream = of_stream and lane = of_lane and seq_number = from_seq
        returning ctid into place;
    if not found then
        update log_lane set seq_number = to_seq, ordinal = to_ordinal, identity = to_identity, timeline = to_timeline,
                moved_at = now()
            where stream = of_stream and lane = of_lane and seq_number = from_seq
            returning ctid into place;
    end if;
    if not found then
        raise exception 'lane % of % does not stand at %', of_lane, of_stream, from_seq
            using errcode = 'MU001';
    end if;
    perform set_config('muster.lane_place', place::text, false);
end $$;

-- Notes the last entry of each of these nodes.
create function log_writer_move(of_stream text, of_lane int, nodes text[], calls bigint[], entries bigint[])
returns void language plpgsql as $$
declare
    places jsonb := coalesce(nullif(current_setting('muster.writer_places', true), ''), '{}')::jsonb;
    place tid;
begin
    if length(places::text) > 16384 then
        places := '{}'; -- of nodes that are gone, most of them
    end if;
    for i in 1 .. cardinality(nodes) loop
        place := places ->> nodes[i];
        update log_writer set call = calls[i], entry = entries[i], moved_at = now()
            where ctid = place and stream = of_stream and lane = of_lane and node = nodes[i]
            returning ctid into place;
        if not found then
            insert into log_writer (stream, lane, node, call, entry)
                values (of_stream, of_lane, nodes[i], calls[i], entries[i])
                on conflict (stream, lane, node) do update set call = excluded.call, entry = excluded.entry,
                    moved_at = now()
                returning ctid into place;
        end if;
        places := places || jsonb_build_object(nodes[i], place::text);
    end loop;
    perform set_config('muster.writer_places', places::text, false);
end $$;

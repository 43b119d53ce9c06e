/* SPDX-License-Identifier: MIT */
#include "store/archive/question.h"

#include <inttypes.h>

/* The words that mean a level, as the viewer takes them (node/service/logs/lines.js); others mean info. */
static const char *const words[ARCHIVE_LEVELS] = {
    "'trace','verbose','silly','10'",
    "'debug','20'",
    "'info','information','log','notice','30'",
    "'warn','warning','40'",
    "'error','err','severe','50'",
    "'fatal','critical','crit','panic','emergency','alert','60'",
};
enum { LEVEL_INFO = 2, ALL_LEVELS = (1 << ARCHIVE_LEVELS) - 1 };

/* An escape string, which means the same whatever standard_conforming_strings is. */
static void print_text(struct buf *sql, struct span text)
{
    buf_append(sql, SPAN("E'"));
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        buf_append(sql, c == '\'' ? SPAN("''") : c == '\\' ? SPAN("\\\\") : span_of(&c, 1));
    }
    buf_append(sql, SPAN("'"));
}

static void print_words(struct buf *sql, unsigned levels)
{
    const char *comma = "";
    for (unsigned i = 0; i < ARCHIVE_LEVELS; i++) {
        if ((levels >> i & 1) != 0) {
            buf_printf(sql, "%s%s", comma, words[i]);
            comma = ",";
        }
    }
}

/* Rare levels by their names, so that their index serves. */
static void print_levels(struct buf *sql, unsigned levels)
{
    levels &= ALL_LEVELS;
    if (levels == 0 || levels == ALL_LEVELS) {
        return;
    }
    if ((levels >> LEVEL_INFO & 1) != 0) {
        buf_append(sql, SPAN(" and (level is null or level not in ("));
        print_words(sql, ALL_LEVELS & ~levels);
        buf_append(sql, SPAN("))"));
    } else {
        buf_append(sql, SPAN(" and level in ("));
        print_words(sql, levels);
        buf_append(sql, SPAN(")"));
    }
}

static void print_names(struct buf *sql, const char *column, const struct archive_names *names,
                        bool wanted)
{
    bool nobody = false;
    const char *comma = "";
    if (names->count == 0) {
        return;
    }
    buf_printf(sql, " and (coalesce(%s %sin (", column, wanted ? "" : "not ");
    for (size_t i = 0; i < names->count; i++) {
        nobody |= names->of[i].len == 0;
        buf_printf(sql, "%s", comma);
        print_text(sql, names->of[i]);
        comma = ",";
    }
    buf_printf(sql, "), %s))", nobody == wanted ? "true" : "false");
}

static void print_room(struct buf *sql, struct span room)
{
    if (room.len > 0) {
        buf_append(sql, SPAN(" and (room is null or room = "));
        print_text(sql, room);
        buf_append(sql, SPAN(")"));
    }
}

/* Twice: the first condition alone tells which days are of no interest. */
static void print_place(struct buf *sql, const struct archive_question *question)
{
    char side = question->forward ? '>' : '<';
    if (question->line != 0) {
        buf_printf(sql,
                   " and server_time %c= (select server_time from log_entry where seq_number = "
                   "%" PRIu64 " limit 1)"
                   " and (server_time, seq_number) %c= (select server_time, seq_number from "
                   "log_entry where seq_number = %" PRIu64 " limit 1)",
                   side, question->line, side, question->line);
    } else if (question->place.time_us != 0) {
        char time[96];
        snprintf(time, sizeof(time),
                 "(timestamptz 'epoch' + %" PRId64 " * interval '1 microsecond')",
                 question->place.time_us);
        buf_printf(sql,
                   " and server_time %c= %s and (server_time, seq_number) %c (%s, %" PRIu64 ")",
                   side, time, side, time, question->place.seq);
    }
    if (question->since_us != 0) {
        buf_printf(
            sql, " and server_time >= timestamptz 'epoch' + %" PRId64 " * interval '1 microsecond'",
            question->since_us);
    }
}

static void print_conditions(struct buf *sql, const struct archive_question *question)
{
    print_place(sql, question);
    print_room(sql, question->room);
    print_levels(sql, question->levels);
    print_names(sql, "user_name", &question->users, true);
    print_names(sql, "user_name", &question->not_users, false);
    print_names(sql, "room", &question->rooms, true);
    print_names(sql, "room", &question->not_rooms, false);
    if (!question->own) {
        buf_append(sql, SPAN(" and (room is not null or user_name is distinct from 'server' or "
                             "extra is null or not extra ? 'node')"));
    }
}

void archive_print_sql(const struct archive_question *question, struct buf *sql)
{
    const char *order = question->forward ? "asc" : "desc";
    unsigned limit = question->limit;
    limit = limit == 0 ? 1 : limit > ARCHIVE_ENTRIES_MOST ? ARCHIVE_ENTRIES_MOST : limit;
    buf_printf(
        sql,
        "set transaction read only; set local statement_timeout = %d; set local lock_timeout = "
        "1000; with found as (select * from log_entry where true",
        ARCHIVE_QUERY_MS);
    print_conditions(sql, question);
    buf_printf(
        sql,
        " order by server_time %s, seq_number %s limit %u), page as (select row_number() over "
        "(order by server_time %s, seq_number %s) as n, server_time, seq_number, "
        "(jsonb_strip_nulls(jsonb_build_object('serverTime', "
        "floor(extract(epoch from server_time) * 1000)::bigint, 'seqNumber', seq_number, "
        "'timestamp', round(extract(epoch from client_time) * 1000)::bigint, 'level', level, "
        "'msg', msg, 'text', text, 'user', user_name, 'room', room)) || coalesce(extra, "
        "'{}'))::text as entry from found)",
        order, order, limit, order, order);
    buf_printf(
        sql,
        ", sized as (select *, sum(octet_length(entry)) over (order by n) as bytes from page), "
        "taken as (select * from sized where bytes <= %d or n = 1) select '[' || "
        "coalesce(string_agg(entry, ',' order by n), '') || ']', count(*), (select count(*) "
        "from page), (extract(epoch from (array_agg(server_time order by n desc))[1]) * "
        "1000000)::bigint, (array_agg(seq_number order by n desc))[1] from taken",
        ARCHIVE_BYTES_MOST);
}

/* SPDX-License-Identifier: MIT */
/* Which connection has its turn, and for how long:
 *
 *     event of a member --time left, nobody in front?--> read at once          bulk: of a message to many
 *              of others \--not--> front, or back
 *     at the end: settle todo -> some of gone -> read front -> write some of dirty -> read and answer some of back
 *                 -> write some of bulk -> some steps of works (work.h)
 *
 * A member (conn_set_member) whose reads are short goes before all others. What one turn has no time for
 * comes first, among its like, in the next one, which does not wait. What a moment of reading has brought
 * about may take many turns to write (a hundred sessions of sixty speak at once): little more is read until
 * then. */
#include "node/net/base.h"
#include "node/net/conn_impl.h"
#include "node/net/udp_impl.h"
#include "node/net/work.h"

enum {
    FRONT_US =
        1500, /* of a turn, until no member is read any more; or, where the last one's writing is */
    BEHIND_US = 125,     /* not done, for so long */
    WRITE_US = 1000,     /* for writing to few; in a turn that is over */
    WRITE_LATE_US = 250, /* only so much */
    BACK_US = 60, /* for those behind them, with their answers; at least one of them is read */
    OTHERS_US =
        350, /* until no more is done for others than members, one by one: a push waits no longer */
    BULK_US = 300,  /* for writing to many, and */
    WORKS_US = 300, /* for steps of what goes on for many turns; of each, */
    LATE_US = 60,   /* when the turn is over, only so much, one at least */
    GONE_US =
        250, /* for taking leave of those that are dead, or up to half of the turn; of one at least */
};

static void settle(struct net *net)
{
    struct list now;
    list_init(&now);
    list_splice(&now, &net->todo);
    while (!list_empty(&now)) {
        struct conn *conn = LIST_ITEM(now.next, struct conn, todo);
        list_del(&conn->todo);
        conn_do_todo(conn);
    }
}

/* Many may die at once: a balancer, or a network, went with all its clients. */
static void take_leave(struct net *net)
{
    uint64_t until_us = loop_turn_us(net->loop) + GONE_US;
    until_us = until_us > LOOP_TURN_BUDGET_US / 2 ? until_us : LOOP_TURN_BUDGET_US / 2;
    while (!list_empty(&net->gone)) {
        conn_do_todo(LIST_ITEM(net->gone.next, struct conn, todo));
        if (loop_turn_us(net->loop) >= until_us) {
            break;
        }
    }
}

/* What is left of `now` stands before those that came meanwhile. */
static void put_back(struct list *now, struct list *line)
{
    list_splice(now, line);
    list_splice(line, now);
}

static void write_line(struct net *net, struct list *line, uint64_t until_us)
{
    struct list now;
    list_init(&now);
    list_splice(&now, line);
    while (!list_empty(&now) && loop_turn_us(net->loop) < until_us) {
        struct conn *conn = LIST_ITEM(now.next, struct conn, dirty);
        list_del(&conn->dirty);
        conn_flush(conn);
    }
    put_back(&now, line);
}

/* When what has `us` of a turn stops, should it begin now. */
static uint64_t until(struct net *net, uint64_t us)
{
    uint64_t now_us = loop_turn_us(net->loop);
    uint64_t left_us = now_us + LATE_US < OTHERS_US ? OTHERS_US - now_us : LATE_US;
    return now_us + (us < left_us ? us : left_us);
}

/* `answers`: what a read brings about is written before the next one, in the same time but for a little. */
static void read_line(struct net *net, struct list *line, uint64_t until_us, bool answers)
{
    struct list now;
    list_init(&now);
    list_splice(&now, line);
    bool first = true;
    while (!list_empty(&now) && (first || loop_turn_us(net->loop) < until_us)) {
        struct conn *conn = LIST_ITEM(now.next, struct conn, todo);
        list_del(&conn->todo);
        conn_do_todo(conn);
        if (answers) {
            write_line(net, &net->dirty, until(net, BACK_US));
        }
        first = false;
    }
    put_back(&now, line);
}

static void do_works(struct net *net)
{
    uint64_t until_us = until(net, WORKS_US);
    while (!list_empty(&net->works)) {
        struct net_work *work = LIST_ITEM(net->works.next, struct net_work, entry);
        list_del(&work->entry);
        if (work->step(work)) {
            net_work_queue(net, work);
        }
        if (loop_turn_us(net->loop) >= until_us) {
            break;
        }
    }
}

static void write_to_few(struct net *net)
{
    uint64_t now_us = loop_turn_us(net->loop), late_us = now_us + WRITE_LATE_US;
    uint64_t until_us = now_us + WRITE_US;
    until_us = until_us < LOOP_TURN_BUDGET_US ? until_us : LOOP_TURN_BUDGET_US;
    write_line(net, &net->dirty, until_us > late_us ? until_us : late_us);
}

static void read_and_write(struct net *net)
{
    uint64_t until_us = FRONT_US;
    if (net->behind) {
        write_to_few(net);
    }
    if (net->behind && !list_empty(&net->dirty)) {
        until_us = loop_turn_us(net->loop) + BEHIND_US;
    }
    read_line(net, &net->front, until_us, false);
    write_to_few(net);
    net->behind = !list_empty(&net->dirty);
}

void turn_end(void *arg)
{
    struct net *net = arg;
    settle(net);
    take_leave(net);
    read_and_write(net);
    read_line(net, &net->back, loop_turn_us(net->loop) + BACK_US, true);
    write_line(net, &net->bulk, until(net, BULK_US));
    do_works(net);
    while (!list_empty(&net->udp_dirty)) {
        udp_flush(net->udp_dirty.next);
    }
    if (!list_empty(&net->todo) || !list_empty(&net->gone) || !list_empty(&net->front) ||
        !list_empty(&net->back) || !list_empty(&net->dirty) || !list_empty(&net->bulk) ||
        !list_empty(&net->works)) {
        loop_again(net->loop);
    }
}

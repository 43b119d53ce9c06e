/* SPDX-License-Identifier: MIT */
/* sink phase: what one lane of a sink is doing: with its lock, and with PostgreSQL. */
#ifndef MUSTER_STORE_SINK_PHASE_H
#define MUSTER_STORE_SINK_PHASE_H

enum lane_state {
    LANE_OFF,     /* another sink's */
    LANE_DOWN,    /* a session is wanted, and not there */
    LANE_WAITING, /* to ask for the lock */
    LANE_LOCKING, /* asks for the lock */
    LANE_FINDING, /* has it, and asks where the lane stands */
    LANE_RUNNING,
    LANE_LEAVING, /* reads no more, and is let go when nothing is being stored */
};

/* What PostgreSQL was asked for and has not answered. */
enum sink_sending {
    SENDING_NOTHING,
    SENDING_PLACE,     /* where the lane stands, without rows */
    SENDING_PARTITION, /* a table for the rows to come */
    SENDING_ROWS,      /* counted in sink->flights */
    SENDING_LETTER,    /* a dead one */
};

#endif

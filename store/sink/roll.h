/* sink roll: who of the sinks is there (lease.c). */
#ifndef MUSTER_STORE_SINK_ROLL_H
#define MUSTER_STORE_SINK_ROLL_H

#include <stdint.h>

/* The last roll call: see lease.c. */
struct sink_roll {
    uint64_t at_ms;       /* the next one, not before */
    unsigned sinks, rank; /* 0 sinks: this one is not among them */
    unsigned above;       /* calls in a row with more lanes than its share */
    unsigned unable;      /* calls in a row in which it could not serve */
    unsigned told, asked; /* lanes the others hear of, now and after this call; 0: not counted */
};

#endif

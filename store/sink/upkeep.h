/* sink upkeep: what is done to the days of log_entry beside everybody else. For sink/ only. */
#ifndef MUSTER_STORE_SINK_UPKEEP_H
#define MUSTER_STORE_SINK_UPKEEP_H

#include "store/postgres/postgres.h"

struct sink;

/* The session that does it; upkeep.c draws its states. */
struct sink_upkeep {
    struct postgres *pg;    /* NULL: none now */
    uint64_t at_ms;         /* the next one, not before */
    unsigned failed, count; /* of its statements */
    bool over;              /* to be closed */
    char *trouble;          /* what was said last */
};

/* Once a second: opens and closes the session. */
void sink_upkeep(struct sink *sink);

#endif

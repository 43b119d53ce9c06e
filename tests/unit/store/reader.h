/* SPDX-License-Identifier: MIT */
/* reader: follows a history, and what was asked of it: recorders for the tests of history.h. All use
 * the key "h". */
#ifndef MUSTER_TESTS_STORE_READER_H
#define MUSTER_TESTS_STORE_READER_H

#include "lab.h"
#include "store/history/history.h"

enum { WAIT_MS = 30000 };

/* Follows the key. `log` is "value" per entry, "C" CURRENT, "S" STALE, "L" LOST, with spaces. */
struct reader {
    struct history_watch *watch;
    struct buf log;
    int entries, currents, stales, losts;
    int lost; /* entries, as LOST said */
    uint64_t last_id;
    bool fell; /* an id was not above the one before */
    bool end_inside;
};

void reader_start(struct reader *reader, int node);
void reader_stop(struct reader *reader);

/* What became of appends, which have the tag 7. */
struct outcome {
    int done, failed;
    uint64_t last_tag;
};

void outcome_note(void *arg, uint64_t tag, bool done);

int append_for(int node, const char *value, uint32_t most, uint32_t wait_ms,
               struct outcome *outcome);

/* With patience, and it must be taken. */
void append(int node, const char *value, uint32_t most, struct outcome *outcome);

/* "n<node>.<number>" for each number. */
void append_numbers(int node, int from, int to, uint32_t most, struct outcome *outcome);

/* Asserts that a read gives these entries, with spaces. */
void reads(int node, uint32_t offset, uint32_t limit, const char *expected);

/* A read while the server is away is refused at once. */
void read_is_refused(int node);

#endif

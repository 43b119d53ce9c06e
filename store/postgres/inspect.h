/* SPDX-License-Identifier: MIT */
/* postgres inspect: what a server says of itself, for a person. */
#ifndef MUSTER_STORE_POSTGRES_INSPECT_H
#define MUSTER_STORE_POSTGRES_INSPECT_H

#include <stddef.h>
#include <stdint.h>

struct postgres_facts {
    int number; /* 150018 is 15.18 */
    char version[32];
    int64_t ahead_us;  /* its clock before ours */
    char missing[256]; /* rights that a sink needs and this role has not, for a person; "": none */
    char alone[64]; /* synchronous_standby_names, where no such standby is there; "": all is well */
    int sessions;   /* that it allows */
};

/* Asks; blocks. 0, or -1 with a message in `error`. */
int postgres_inspect(const char *uri, struct postgres_facts *facts, char *error, size_t error_size)
    __attribute__((warn_unused_result));

#endif

/* SPDX-License-Identifier: MIT */
#include "store/base/check.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t failures;
static char last[256];

void check_failed(const char *file, int line, const char *text)
{
    failures++;
    snprintf(last, sizeof(last), "%s:%d: %s", file, line, text);
#ifdef MUSTER_CHECKS
    fprintf(stderr, "muster: this does not hold: %s\n", last);
    abort();
#endif
}

uint64_t check_failures(void)
{
    return failures;
}

const char *check_last(void)
{
    return last;
}

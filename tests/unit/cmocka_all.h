/* SPDX-License-Identifier: MIT */
/* cmocka and what it needs before it. */
#ifndef MUSTER_TESTS_UNIT_CMOCKA_ALL_H
#define MUSTER_TESTS_UNIT_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif

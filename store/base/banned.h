/* SPDX-License-Identifier: MIT */
/* Included before every file: what writes without knowing how much room there is does not compile.
 */
#ifndef MUSTER_STORE_BASE_BANNED_H
#define MUSTER_STORE_BASE_BANNED_H

#include <stdio.h>
#include <string.h>

/* Some are macros where the library checks them at run time. */
#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef sprintf
#undef vsprintf
#undef gets
#undef strtok
#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf gets strtok

#endif

/* SPDX-License-Identifier: MIT */
/* The .sql files of migrations/, embedded at build time (cmake/embed_migrations.cmake), in order.
 */
#ifndef MUSTER_STORE_POSTGRES_MIGRATIONS_H
#define MUSTER_STORE_POSTGRES_MIGRATIONS_H

struct migration {
    int number;
    const char *name;   /* of the file, without .sql */
    const char *sha256; /* of the file, in hexadecimal */
    const char *sql;
};

/* Ended by a number of 0. */
extern const struct migration migrations[];

#endif

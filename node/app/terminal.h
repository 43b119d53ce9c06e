/* SPDX-License-Identifier: MIT */
/* terminal: the verbs for a person at a terminal. They need no settings of a node and have flags of
 * their own:
 *
 *     muster status     the fleet's page in text       verb_status.c
 *     muster tail       live log lines                  verb_tail.c
 *     muster token      a token for development         verb_token.c
 *     muster version    what this binary is made of     verb_version.c
 *     muster help VERB  flags, manual, completions      verb_help.c */
#ifndef MUSTER_NODE_APP_TERMINAL_H
#define MUSTER_NODE_APP_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Runs the verb args[1] when it is one of these; then *status is what the process ends with. */
bool terminal_run(char *const args[], int *status);

/* ------------------------------------------------------------------------------------ for the verbs */

enum terminal_kind { TERMINAL_TEXT, TERMINAL_SWITCH, TERMINAL_TIME };

struct terminal_flag {
    const char *name; /* without the dashes */
    enum terminal_kind kind;
    void *value; /* of TEXT a const char *, of SWITCH a bool, of TIME an int64_t of milliseconds */
    const char *what; /* for help: the value's name, NULL for a switch */
    const char *help;
    const char *env; /* variable that is read where the flag is missing, or NULL */
};

/* Reads flags from `args` (NULL-ended; "--name value" or "--name=value"), into an array that ends with a
 * name of NULL. False: *status is 0 after --help, 2 after a mistake; both were printed. */
bool terminal_flags(const char *verb, char *const args[], const struct terminal_flag *flags,
                    int *status);

/* Is stdout a terminal that shows colours? */
bool terminal_has_colours(void);

/* Prints untrusted `text` to stdout: control characters, which could move the cursor or more, are
 * shown as \xNN; a new line goes on behind `indent` blanks. False: the reader of stdout has closed
 * it. */
bool terminal_print(const char *text, size_t len, int indent);

/* The same to stderr, with a new line behind it. */
void terminal_complain(const char *text, size_t len);

/* At most `most` bytes of untrusted `text` to stdout, on one line, and blanks up to `width` characters. */
void terminal_print_column(const char *text, int width, size_t most);

/* How wide that is without blanks. */
int terminal_width(const char *text, size_t most);

/* `value` as a whole number that is not below 0; 0 where there is none such below 2^53. */
uint64_t terminal_number(double value);

/* The time of `ms` (unix, below 2^53) in UTC, or here. */
struct tm terminal_time(uint64_t ms, bool utc);

/* "http://host:port" of what --http says: host:port, or a URL, as it is. Appends "/" and `path`. The host
 * may be a name. New, for free(). */
char *terminal_url(const char *http, const char *path);

int verb_status(char *const args[]);
int verb_tail(char *const args[]);
int verb_token(char *const args[]);
int verb_version(char *const args[]);
int verb_help(char *const args[]);

/* Prints how `verb` is called and what its flags are, as its --help does; false: there is no such verb. */
bool terminal_help(const char *verb);

#endif

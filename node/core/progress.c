/* SPDX-License-Identifier: MIT */
#include "node/core/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CLEAR_LINE "\r\033[K" /* ECMA-48: carriage return, erase to the end of the line */

enum { PROGRESS_COLUMNS = 80 };

void progress_init(struct progress *progress, bool wanted)
{
    const char *terminal = getenv("TERM");
    bool able = terminal != NULL && terminal[0] != '\0' && strcmp(terminal, "dumb") != 0;
    *progress = (struct progress){.live = wanted && able && isatty(STDERR_FILENO)};
}

static int width(void)
{
    struct winsize size;
    bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    return known ? size.ws_col - 1 : PROGRESS_COLUMNS - 1;
}

void progress_show(struct progress *progress, const char *text)
{
    if (progress->live) {
        fprintf(stderr, CLEAR_LINE "%.*s", width(), text);
        fflush(stderr);
        progress->shown = true;
    }
}

void progress_clear(struct progress *progress)
{
    if (progress->shown) {
        fputs(CLEAR_LINE, stderr);
        fflush(stderr);
        progress->shown = false;
    }
}

/* SPDX-License-Identifier: MIT */
/* muster version: what this binary is made of, for a report. */
#include "node/app/terminal.h"
#include "store/base/buf.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <hiredis.h>
#include <jansson.h>
#include <libpq-fe.h>
#include <nettle/version.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <wslay/wslay.h>
#include <zlib.h>

int verb_version(char *const args[])
{
    const struct terminal_flag flags[] = {{NULL, TERMINAL_TEXT, NULL, NULL, NULL, NULL}};
    int status, pq = PQlibVersion();
    if (!terminal_flags("version", args, flags, &status)) {
        return status;
    }
    printf("muster %s, commit %s\n", MUSTER_VERSION, MUSTER_COMMIT);
    printf("libevent %s\nhiredis %d.%d.%d\nlibpq %d.%d\n%s\n", event_get_version(), HIREDIS_MAJOR,
           HIREDIS_MINOR, HIREDIS_PATCH, pq / 10000, pq % 10000, OpenSSL_version(OPENSSL_VERSION));
    printf("curl %s\nwslay %s\nzlib %s\njansson %s\nnettle %d.%d\n",
           curl_version_info(CURLVERSION_NOW)->version, WSLAY_VERSION, zlibVersion(),
           JANSSON_VERSION, NETTLE_VERSION_MAJOR, NETTLE_VERSION_MINOR);
    return 0;
}

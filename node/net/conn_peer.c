/* SPDX-License-Identifier: MIT */
#include "node/net/conn_peer.h"

#include "node/net/conn_impl.h"

#include <string.h>

bool conn_peer_may_be(const struct conn *conn, const struct address *peer)
{
    return memcmp(conn->peer.ip, peer->ip, sizeof(peer->ip)) == 0 ||
           !admission_is_crowded(&conn->net->admission, peer);
}

void conn_peer_set(struct conn *conn, const struct address *peer)
{
    admission_remove(&conn->net->admission, &conn->peer);
    conn->peer = *peer;
    admission_add(&conn->net->admission, &conn->peer);
}

/* SPDX-License-Identifier: MIT */
#include "node/net/conn_peer.h"

#include "node/net/conn_impl.h"

#include <string.h>

bool conn_peer_may_be(const struct conn *conn, const struct address *peer)
{
    return address_same_source(&conn->peer, peer) ||
           !admission_is_crowded(&conn->net->admission, peer);
}

void conn_peer_set(struct conn *conn, const struct address *peer)
{
    admission_remove(&conn->net->admission, &conn->peer);
    conn->peer = *peer;
    admission_add(&conn->net->admission, &conn->peer);
}

/* SPDX-License-Identifier: MIT */
/* conn peer: a trusted proxy said which client it connects for. */
#ifndef MUSTER_NODE_NET_CONN_PEER_H
#define MUSTER_NODE_NET_CONN_PEER_H

#include "node/net/conn.h"

/* Could the connection be that client's? false: the client has as many as one address may. */
bool conn_peer_may_be(const struct conn *conn, const struct address *peer);

/* It is that client's from now on, and counts as one of its connections. */
void conn_peer_set(struct conn *conn, const struct address *peer);

#endif

/* SPDX-License-Identifier: MIT */
/* The one table of metrics: METRIC(id, type, name, labels, help). Rows of one name stand together;
 * the first one's help counts. A service adds its rows here. */
#ifndef MUSTER_NODE_CORE_METRICS_TABLE_H
#define MUSTER_NODE_CORE_METRICS_TABLE_H

#define METRICS_TABLE(METRIC)                                                                      \
    METRIC(CONNS_OPENED, counter, "muster_connections_opened_total", "",                           \
           "TCP connections accepted")                                                             \
    METRIC(CONNS_REFUSED, counter, "muster_connections_refused_total", "",                         \
           "TCP connections turned away by a limit")                                               \
    METRIC(CONNS, gauge, "muster_connections", "", "TCP connections open now")                     \
    METRIC(BYTES_IN, counter, "muster_received_bytes_total", "", "Bytes read from clients")        \
    METRIC(BYTES_OUT, counter, "muster_sent_bytes_total", "", "Bytes written to clients")          \
    METRIC(WRITES, counter, "muster_writes_total", "", "Write calls to client sockets")            \
    METRIC(QUEUE_DROPPED_SLOW, counter, "muster_queue_dropped_total", "{reason=\"slow\"}",         \
           "Messages queued for a client and never sent: it read too slowly, or had gone")         \
    METRIC(QUEUE_DROPPED_GONE, counter, "muster_queue_dropped_total", "{reason=\"gone\"}", "")     \
    METRIC(UDP_IN, counter, "muster_udp_received_total", "", "Datagrams received")                 \
    METRIC(UDP_OUT, counter, "muster_udp_sent_total", "", "Datagrams sent")                        \
    METRIC(UDP_DROPPED, counter, "muster_udp_dropped_total", "",                                   \
           "Datagrams not sent: no room, too large, or refused by the system")                     \
    METRIC(HTTP_REQUESTS, counter, "muster_http_requests_total", "", "HTTP requests answered")     \
    METRIC(HTTP_ERRORS, counter, "muster_http_errors_total", "",                                   \
           "HTTP requests answered with 400 or more")                                              \
    METRIC(HTTP_URL_TOKENS, counter, "muster_http_url_tokens_total", "",                           \
           "Right tokens that stood in an address, where access logs keep them")                   \
    METRIC(WS, gauge, "muster_websockets", "", "WebSockets open now")                              \
    METRIC(WS_MESSAGES_IN, counter, "muster_websocket_messages_received_total", "",                \
           "WebSocket messages received whole")                                                    \
    METRIC(WS_MESSAGES_OUT, counter, "muster_websocket_messages_sent_total", "",                   \
           "WebSocket messages queued to clients")                                                 \
    METRIC(WS_PROTOCOL_ERRORS, counter, "muster_websocket_protocol_errors_total", "",              \
           "WebSockets closed because the peer broke the protocol")                                \
    METRIC(WS_OVERFLOWS, counter, "muster_websocket_overflows_total", "",                          \
           "WebSockets closed because the peer read too slowly")                                   \
    METRIC(WS_UNANSWERED, counter, "muster_websocket_unanswered_total", "",                        \
           "WebSockets closed because no answer to a ping came")                                   \
    METRIC(DELIVERIES, counter, "muster_deliveries_total", "",                                     \
           "Messages queued to members of rooms")                                                  \
    METRIC(PACED_DROPPED, counter, "muster_paced_dropped_total", "",                               \
           "Messages dropped for a paced peer: more is said than it can be told")                  \
    METRIC(PACED_CUT, counter, "muster_paced_cut_total", "",                                       \
           "Connections of raw TCP peers closed because the peer read too slowly")                 \
    METRIC(SYNC_SESSIONS, gauge, "muster_sync_sessions", "",                                       \
           "Sync sessions with a member on this node")                                             \
    METRIC(SYNC_SESSIONS_FIRST, gauge, "muster_sync_sessions_first", "",                           \
           "Sync sessions whose first node by name is this one: their sum is the fleet's number")  \
    METRIC(SYNC_MEMBERS, gauge, "muster_sync_members", "", "Sync connections bound to a session")  \
    METRIC(SYNC_SOCKETS, gauge, "muster_sync_connections", "", "Sync connections open now")        \
    METRIC(SYNC_PUSHES, counter, "muster_sync_pushes_total", "",                                   \
           "Pushes accepted from leaders on this node")                                            \
    METRIC(SYNC_PUSHES_REFUSED, counter, "muster_sync_pushes_refused_total", "",                   \
           "Pushes refused: sender not the leader of the session")                                 \
    METRIC(SYNC_PUSHED_BYTES, counter, "muster_sync_pushed_bytes_total", "",                       \
           "Bytes of pushes delivered to members on this node")                                    \
    METRIC(LOGS_ADDED, counter, "muster_logs_added_total", "", "Log entries stored in the stream") \
    METRIC(LOGS_REFUSED, counter, "muster_logs_refused_total", "",                                 \
           "Log entries turned away with 503")                                                     \
    METRIC(LOGS_TOO_LARGE, counter, "muster_logs_too_large_total", "",                             \
           "Log entries left out, and requests refused with 413, because they are too large")      \
    METRIC(LOGS_MALFORMED, counter, "muster_logs_malformed_total", "",                             \
           "Requests with log entries refused with 400 or 415, and HTTP requests to a port of "    \
           "syslog")                                                                               \
    METRIC(LOGS_TOO_FAST, counter, "muster_logs_too_fast_total", "",                               \
           "Log entries refused with 429")                                                         \
    METRIC(LOGS_LISTENERS, gauge, "muster_logs_listeners", "", "Live listeners open now")          \
    METRIC(LOGS_DELIVERED, counter, "muster_logs_delivered_total", "",                             \
           "Log entries sent to listeners")                                                        \
    METRIC(LOGS_SKIPPED, counter, "muster_logs_skipped_total", "",                                 \
           "Log entries not sent to listeners that read too slowly")                               \
    METRIC(LOGS_MISSED, counter, "muster_logs_missed_total", "",                                   \
           "Log entries gone from the stream before this node read them")                          \
    METRIC(LOGS_OWN_LOST, counter, "muster_logs_own_lost_total", "",                               \
           "Own log lines that did not reach the stream")                                          \
    METRIC(LOGS_STREAM, gauge, "muster_logs_stream_entries", "",                                   \
           "Log entries kept in the fleet's stream, the same on every node")                       \
    METRIC(LOGS_UNSTORED, gauge, "muster_logs_unstored_entries", "",                               \
           "Those of them that no sink has stored, the same on every node")                        \
    METRIC(SINK_ROWS, counter, "muster_sink_rows_total", "", "Log entries stored in PostgreSQL")   \
    METRIC(SINK_BYTES, counter, "muster_sink_bytes_total", "", "Bytes of rows stored")             \
    METRIC(SINK_BATCHES, counter, "muster_sink_batches_total", "",                                 \
           "Transactions that stored log entries")                                                 \
    METRIC(SINK_REJECTED, counter, "muster_sink_rejected_total", "",                               \
           "Log entries put into log_entry_rejected")                                              \
    METRIC(SINK_ERRORS, counter, "muster_sink_errors_total", "",                                   \
           "Transactions that PostgreSQL refused")                                                 \
    METRIC(SINK_LOST, counter, "muster_sink_lost_total", "",                                       \
           "Sessions lost with a transaction under way")                                           \
    METRIC(SINK_REPEATED, counter, "muster_sink_repeated_total", "",                               \
           "Log entries read again after a fail-over that were stored before")                     \
    METRIC(SINK_MISSED, counter, "muster_sink_missed_total", "",                                   \
           "Log entries gone from the stream before a sink read them")                             \
    METRIC(SINK_LANES, gauge, "muster_sink_lanes", "", "Lanes that this sink serves now")          \
    METRIC(SINK_LAG, gauge, "muster_sink_lag_entries", "", "Log entries not stored yet")           \
    METRIC(SINK_LAG_MS, gauge, "muster_sink_lag_milliseconds", "",                                 \
           "Age of the oldest log entry not stored yet")                                           \
    METRIC(                                                                                        \
        SINK_DUE, gauge, "muster_sink_days_due", "",                                               \
        "Days of stored log entries past sink-retention that somebody's open transaction keeps")   \
    METRIC(SINK_POSTGRES_UP, gauge, "muster_sink_postgres_up", "",                                 \
           "1 while this sink has a session with PostgreSQL")                                      \
    METRIC(DISPATCH_DRIVERS, gauge, "muster_dispatch_drivers", "", "Drivers connected here")       \
    METRIC(DISPATCH_DEVICES, gauge, "muster_dispatch_devices", "",                                 \
           "TCP devices connected here that a driver accepts")                                     \
    METRIC(DISPATCH_REFUSED, counter, "muster_dispatch_refused_total", "",                         \
           "TCP devices closed because no driver accepts their address")                           \
    METRIC(DISPATCH_CUT, counter, "muster_dispatch_cut_total", "",                                 \
           "TCP devices closed because bytes may have been lost between nodes")                    \
    METRIC(DISPATCH_STALLED, counter, "muster_dispatch_stalled_total", "",                         \
           "TCP devices closed because they did not read what drivers wrote")                      \
    METRIC(DISPATCH_DROPPED, counter, "muster_dispatch_dropped_total", "",                         \
           "UDP datagrams dropped because a driver, a node or the system had no room")             \
    METRIC(DISPATCH_BYTES_IN, counter, "muster_dispatch_received_bytes_total", "",                 \
           "Bytes from devices connected here")                                                    \
    METRIC(DISPATCH_BYTES_OUT, counter, "muster_dispatch_sent_bytes_total", "",                    \
           "Bytes for devices connected here")                                                     \
    METRIC(DISPATCH_UNBOUND, gauge, "muster_dispatch_unbound_ports", "",                           \
           "Ports that drivers registered and that cannot be opened here")                         \
    METRIC(RELAY_SERVERS, gauge, "muster_relay_servers", "",                                       \
           "Game servers admitted to the relay on this node")                                      \
    METRIC(RELAY_PACKETS, counter, "muster_relay_packets_total", "",                               \
           "Packets accepted from game servers on this node")                                      \
    METRIC(RELAY_REFUSED, counter, "muster_relay_refused_total", "",                               \
           "Relay connections closed because the peer broke the protocol")                         \
    METRIC(RELAY_IGNORED, counter, "muster_relay_ignored_total", "", "Packets of an unknown type") \
    METRIC(RELAY_HELD, counter, "muster_relay_held_total", "",                                     \
           "Packets of other nodes kept until their sender is known here")                         \
    METRIC(RELAY_UNKNOWN, counter, "muster_relay_unknown_total", "",                               \
           "Kept packets dropped: their sender was gone, or there were too many")                  \
    METRIC(RELAY_UNSENT, counter, "muster_relay_unsent_total", "",                                 \
           "Packets that reached only this node: the store could not be reached")                  \
    METRIC(TRACKER_ANNOUNCES, counter, "muster_tracker_requests_total", "{action=\"announce\"}",   \
           "Tracker requests taken")                                                               \
    METRIC(TRACKER_PULSES, counter, "muster_tracker_requests_total", "{action=\"pulse\"}", "")     \
    METRIC(TRACKER_ALIVES, counter, "muster_tracker_requests_total", "{action=\"alive\"}", "")     \
    METRIC(TRACKER_PUSHES, counter, "muster_tracker_requests_total", "{action=\"push\"}", "")      \
    METRIC(TRACKER_REFUSED_RATE, counter, "muster_tracker_refused_total", "{reason=\"rate\"}",     \
           "Datagrams to the tracker that got no answer")                                          \
    METRIC(TRACKER_REFUSED_SIZE, counter, "muster_tracker_refused_total", "{reason=\"size\"}", "") \
    METRIC(TRACKER_REFUSED_JSON, counter, "muster_tracker_refused_total", "{reason=\"json\"}", "") \
    METRIC(TRACKER_REFUSED_ACTION, counter, "muster_tracker_refused_total", "{reason=\"action\"}", \
           "")                                                                                     \
    METRIC(TRACKER_REFUSED_LOAD, counter, "muster_tracker_refused_total", "{reason=\"load\"}", "") \
    METRIC(TRACKER_REFUSED_LARGE, counter, "muster_tracker_refused_total",                         \
           "{reason=\"amplification\"}", "")                                                       \
    METRIC(TRACKER_PEERS, gauge, "muster_tracker_peers", "",                                       \
           "Peers that this node answered within tracker-expiry; about: within 2 percent")         \
    METRIC(TRACKER_UNKNOWN, counter, "muster_tracker_unknown_ids_total", "",                       \
           "Pushes for share ids that nobody has")                                                 \
    METRIC(TRACKER_INCOMES, counter, "muster_tracker_incomes_total", "",                           \
           "Incomes sent to peers from this node's socket")                                        \
    METRIC(TRACKER_HANDED_OVER, counter, "muster_tracker_incomes_handed_over_total", "",           \
           "Incomes handed to the node that the peer last talked to")                              \
    METRIC(TRACKER_RETURNED, counter, "muster_tracker_returned_total", "",                         \
           "Peers that were silent too long and got their share id again")                         \
    METRIC(TRACKER_FORWARDED, counter, "muster_tracker_forwarded_total", "{result=\"found\"}",     \
           "Unknown share ids for which the older tracker had an address")                         \
    METRIC(TRACKER_UNFORWARDED, counter, "muster_tracker_forwarded_total",                         \
           "{result=\"too_many\"}", "")                                                            \
    METRIC(TRACKER_STORE_FAILURES, counter, "muster_tracker_store_failures_total", "",             \
           "Tracker requests answered with an error because the store could not be reached")       \
    METRIC(CHAT_SOCKETS, gauge, "muster_chat_connections", "", "Chat connections open now")        \
    METRIC(CHAT_USERS, gauge, "muster_chat_logged_in", "", "Chat connections logged in")           \
    METRIC(CHAT_LOGINS, counter, "muster_chat_logins_total", "", "Chat logins that succeeded")     \
    METRIC(CHAT_LOGINS_FAILED, counter, "muster_chat_logins_failed_total", "",                     \
           "Chat logins that failed")                                                              \
    METRIC(CHAT_MESSAGES, counter, "muster_chat_messages_total", "",                               \
           "Chat messages accepted from clients of this node")                                     \
    METRIC(CHAT_RATE_LIMITED, counter, "muster_chat_rate_limited_total", "",                       \
           "Chat requests refused: more than the rate allows")                                     \
    METRIC(CHAT_UNDELIVERED, counter, "muster_chat_undelivered_total", "",                         \
           "Chat messages given up: the store could not be reached in time")                       \
    METRIC(CHAT_LOST, counter, "muster_chat_lost_total", "",                                       \
           "Chat messages gone from the store before this node's clients heard them, at most")     \
    METRIC(MINIGAME_SOCKETS, gauge, "muster_minigame_connections", "",                             \
           "Minigame connections open now")                                                        \
    METRIC(STORE_UP, gauge, "muster_store_up", "",                                                 \
           "1 while every store server has proved itself lately")                                  \
    METRIC(STORE_AWAY, gauge, "muster_store_partitions_away", "",                                  \
           "Of 256 partitions of the store, those that this node cannot serve now")                \
    METRIC(STORE_WAITING, gauge, "muster_store_partitions_waiting", "",                            \
           "Partitions that have still to go to another server of a list that changes")            \
    METRIC(STORE_COMMANDS, counter, "muster_store_commands_total", "",                             \
           "Commands sent to the store")                                                           \
    METRIC(STORE_ERRORS, counter, "muster_store_errors_total", "",                                 \
           "Store commands that failed or were lost with their link")                              \
    METRIC(                                                                                        \
        STORE_MOVES, counter, "muster_store_moves_total", "",                                      \
        "Partitions that another server took over: of a Redis Cluster, or of a list that changes") \
    METRIC(STORE_RECONNECTS, counter, "muster_store_reconnects_total", "",                         \
           "Links to the store built again after a loss")                                          \
    METRIC(STORE_RENEWALS, counter, "muster_roster_renewals_total", "",                            \
           "Leases renewed: about one a second for each server")                                   \
    METRIC(STORE_RESNAPSHOTS, counter, "muster_roster_resnapshots_total", "",                      \
           "Rosters read again because a change may have been missed")                             \
    METRIC(STREAM_BROUGHT, counter, "muster_stream_brought_back_total", "",                        \
           "Calls written again to a Redis server that had lost them")                             \
    METRIC(STREAM_LOST, counter, "muster_stream_lost_total", "",                                   \
           "Log entries that Redis had accepted and lost, and no node kept")                       \
    METRIC(REPLICA_WAITS, counter, "muster_store_replica_waits_total", "",                         \
           "Times replicas of a Redis server were waited for, each for all appends before it")     \
    METRIC(REPLICA_TIMEOUTS, counter, "muster_store_replica_timeouts_total", "",                   \
           "Times too few replicas had what was appended: it was not accepted")                    \
    METRIC(STORE_REFETCHED, counter, "muster_history_refetched_total", "",                         \
           "History entries fetched because they had been missed")                                 \
    METRIC(BUS_PUBLISHED, counter, "muster_bus_published_total", "",                               \
           "Messages published to the bus")                                                        \
    METRIC(BUS_RECEIVED, counter, "muster_bus_received_total", "",                                 \
           "Messages received from the bus")                                                       \
    METRIC(BUS_UNPUBLISHED, counter, "muster_bus_unpublished_total", "",                           \
           "Messages the bus could not take: link down or queue full")                             \
    METRIC(BUS_PARCELS, counter, "muster_bus_parcels_total", "",                                   \
           "Messages to other nodes, each with all that one turn of the loop had for a node")      \
    METRIC(BUS_REPEATS, counter, "muster_bus_repeats_total", "",                                   \
           "Messages told again to a node that was heard of after they were published")            \
    METRIC(BUS_GAPS, counter, "muster_bus_gaps_total", "",                                         \
           "Times a message of another node to this one was missed")                               \
    METRIC(BUS_LATE, counter, "muster_bus_late_total", "",                                         \
           "Messages dropped: their node had given up the link they came over")                    \
    METRIC(WIRE_UNREAD_NODE, counter, "muster_wire_unread_total", "{what=\"node\"}",               \
           "What another release says and this node cannot read, or the fleet not this node")      \
    METRIC(WIRE_UNREAD_MESSAGE, counter, "muster_wire_unread_total", "{what=\"message\"}", "")     \
    METRIC(WIRE_UNREAD_KEY, counter, "muster_wire_unread_total", "{what=\"key\"}", "")             \
    METRIC(WIRE_UNREAD_MESH, counter, "muster_wire_unread_total", "{what=\"mesh\"}", "")           \
    METRIC(MEMORY_LIMIT, gauge, "muster_memory_limit_bytes", "",                                   \
           "Memory from which on clients are turned away and closed; 0: no limit")                 \
    METRIC(MEMORY_CLOSED, counter, "muster_memory_closed_total", "",                               \
           "Connections closed because memory was short: those with the most to read")             \
    METRIC(BUILD_NODE, gauge, "muster_build_info", "{role=\"node\"}",                              \
           "1 for what this process is")                                                           \
    METRIC(BUILD_SINK, gauge, "muster_build_info", "{role=\"sink\"}", "")                          \
    METRIC(LOGS_SINK, gauge, "muster_logs_sink_expected", "",                                      \
           "1 while log entries wait for a sink to store them (logs-sink)")                        \
    METRIC(LOG_DROPPED, counter, "muster_log_dropped_total", "",                                   \
           "Log lines dropped: stderr is read too slowly")                                         \
    METRIC(CHECKS_FAILED, counter, "muster_checks_failed_total", "",                               \
           "Checks of the program on itself that did not hold: a fault of Muster")                 \
    METRIC(START_TIME, gauge, "process_start_time_seconds", "",                                    \
           "Unix time at which the process started")                                               \
    METRIC(RSS, gauge, "process_resident_memory_bytes", "", "Resident memory")                     \
    METRIC(FDS, gauge, "process_open_fds", "", "Open file descriptors")                            \
    METRIC(CPU_MS, counter, "muster_cpu_milliseconds_total", "", "CPU time used, user and system")

#define HISTOGRAMS_TABLE(HISTOGRAM)                                                                \
    HISTOGRAM(BUS_LAG, "muster_bus_lag_seconds", "Time for a message to come back over the bus")   \
    HISTOGRAM(STORE_TIME, "muster_store_command_seconds",                                          \
              "Time for the store to answer a command")                                            \
    HISTOGRAM(LOOP_TURN, "muster_loop_turn_seconds",                                               \
              "Time of one turn of the event loop, in which all other clients wait")               \
    HISTOGRAM(LOOP_TURN_CPU, "muster_loop_turn_cpu_seconds",                                       \
              "CPU time of one turn of the event loop: what the machine takes away is not in it")

#endif

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Makes the Grafana dashboard, helm/muster/files/dashboard.json, from the panels below; with --check, only says whether
it is up to date. A line of a panel whose metric the program has not got (node/core/metrics_table.h) is left out."""
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MADE = ROOT / "helm/muster/files/dashboard.json"
SELECT = '{job=~"$job",instance=~"$instance"}'
EACH = "{{instance}}"
COLUMNS, WIDTH, HEIGHT = 3, 8, 8


def per_node(metric):
    return f"sum by (instance) ({metric}{SELECT})"


def fleet(metric):
    return f"sum({metric}{SELECT})"


def most(metric):
    return f"max({metric}{SELECT})"


def least(metric):
    return f"min({metric}{SELECT} > 0)"


def by_role(role):
    return f'sum(muster_build_info{SELECT[:-1]},role="{role}"}})'


def rate(metric):
    return f"sum(rate({metric}{SELECT}[$__rate_interval]))"


def node_rate(metric):
    return f"sum by (instance) (rate({metric}{SELECT}[$__rate_interval]))"


def by(label, metric):
    return f"sum by ({label}) (rate({metric}{SELECT}[$__rate_interval]))"


def quantile(share, metric):
    return f"histogram_quantile({share}, sum by (le) (rate({metric}_bucket{SELECT}[$__rate_interval])))"


# Row: panels; a panel: title, unit, lines of (legend, expression), what a reader may need to know.
ROWS = {
    "Fleet": [
        ("Nodes and sinks", "none", [("nodes", by_role("node")), ("sinks", by_role("sink")),
                                     ("with the store", fleet("muster_store_up"))],
         "The third below the sum of the others: somebody has lost the store"),
        ("Connections", "short", [(EACH, per_node("muster_connections"))], "All client connections, of every service"),
        ("Opened and refused", "cps", [("opened", rate("muster_connections_opened_total")),
                                       ("refused by a limit", rate("muster_connections_refused_total"))],
         "A wave of opened ones at a deployment is the drain at work"),
        ("CPU", "percentunit", [(EACH, f"rate(muster_cpu_milliseconds_total{SELECT}[$__rate_interval]) / 1000")],
         "A node is one thread: 100 % is all it can use"),
        ("Turn of the loop", "s", [("median", quantile(0.5, "muster_loop_turn_seconds")),
                                   ("99.9 %", quantile(0.999, "muster_loop_turn_seconds")),
                                   ("99.9 %, CPU time", quantile(0.999, "muster_loop_turn_cpu_seconds"))],
         "While one client is served all others of its node wait. What is more than the CPU time was taken by the machine"),
        ("Memory", "bytes", [(EACH, f"process_resident_memory_bytes{SELECT}"), ("limit", least("muster_memory_limit_bytes"))],
         "At the limit nobody new is let in, and the clients with the most to read are closed"),
        ("Log lines dropped", "short", [(EACH, f"rate(muster_log_dropped_total{SELECT}[$__rate_interval])")],
         "What reads stderr is too slow."),
        ("Checks that failed", "short", [(EACH, f"increase(muster_checks_failed_total{SELECT}[$__rate_interval])")],
         "The program was wrong about itself and went on: please report the log line."),
        ("File descriptors", "short", [(EACH, f"process_open_fds{SELECT}")], ""),
    ],
    "Traffic": [
        ("Bytes in", "Bps", [(EACH, node_rate("muster_received_bytes_total"))], ""),
        ("Bytes out", "Bps", [(EACH, node_rate("muster_sent_bytes_total"))], ""),
        ("Messages", "mps", [("WebSocket, in", rate("muster_websocket_messages_received_total")),
                             ("WebSocket, out", rate("muster_websocket_messages_sent_total")),
                             ("deliveries", rate("muster_deliveries_total")),
                             ("cross-server chat, in", rate("muster_relay_packets_total")),
                             ("datagrams, in", rate("muster_udp_received_total")),
                             ("datagrams, out", rate("muster_udp_sent_total"))],
         "A delivery is one message queued to one member"),
        ("Connections by kind", "short", [("WebSocket", fleet("muster_websockets")), ("sync", fleet("muster_sync_connections")),
                                          ("chat", fleet("muster_chat_connections")),
                                          ("minigame", fleet("muster_minigame_connections")),
                                          ("cross-server chat", fleet("muster_relay_servers")),
                                          ("drivers", fleet("muster_dispatch_drivers")),
                                          ("devices", fleet("muster_dispatch_devices")),
                                          ("log listeners", fleet("muster_logs_listeners"))], ""),
        ("Dropped and cut, by reason", "cps", [
            ("closed: read too slowly", rate("muster_websocket_overflows_total")),
            ("closed: memory was short", rate("muster_memory_closed_total")),
            ("closed: broke the protocol", rate("muster_websocket_protocol_errors_total")),
            ("closed: no answer to a ping", rate("muster_websocket_unanswered_total")),
            ("cross-server chat: dropped", rate("muster_paced_dropped_total")),
            ("cross-server chat: closed, read too slowly", rate("muster_paced_cut_total")),
            ("datagrams not sent", rate("muster_udp_dropped_total")),
            ("device datagrams dropped", rate("muster_dispatch_dropped_total")),
            ("device closed: read too slowly", rate("muster_dispatch_stalled_total")),
            ("device closed: bytes may be lost", rate("muster_dispatch_cut_total")),
            ("log entries skipped", rate("muster_logs_skipped_total"))], ""),
        ("Queued and never sent", "cps", [("{{reason}}", by("reason", "muster_queue_dropped_total"))],
         "slow: read too slowly; gone: had gone"),
        ("HTTP", "reqps", [("requests", rate("muster_http_requests_total")),
                           ("answered with 400 or more", rate("muster_http_errors_total")),
                           ("with a token in the address", rate("muster_http_url_tokens_total"))], ""),
        ("Writes for a delivery", "none", [
            ("writes per delivery", f"{rate('muster_writes_total')} / {rate('muster_deliveries_total')}")],
         "Below 1: bursts become few system calls"),
    ],
    "Store": [
        ("Commands", "ops", [(EACH, node_rate("muster_store_commands_total"))], ""),
        ("Command time", "s", [("median", quantile(0.5, "muster_store_command_seconds")),
                               ("99 %", quantile(0.99, "muster_store_command_seconds"))], ""),
        ("Bus lag", "s", [("median", quantile(0.5, "muster_bus_lag_seconds")),
                          ("99 %", quantile(0.99, "muster_bus_lag_seconds"))],
         "Time for a node's own message to come back: how late messages between nodes are"),
        ("Bus", "mps", [("published", rate("muster_bus_published_total")), ("received", rate("muster_bus_received_total")),
                        ("to other nodes", rate("muster_bus_parcels_total")),
                        ("told again", rate("muster_bus_repeats_total")),
                        ("missed", rate("muster_bus_gaps_total")),
                        ("not taken", rate("muster_bus_unpublished_total")),
                        ("dropped: late", rate("muster_bus_late_total"))],
         "What is late came over a link that its node had given up: told to nobody, so that order holds"),
        ("Servers that a node can use", "none", [(EACH, per_node("muster_store_server_up"))], "As many as `store` names"),
        ("Partitions away", "none", [(EACH, per_node("muster_store_partitions_away"))], "Of 256, on servers that a node cannot use now"),
        ("Partitions that wait to move", "none", [(EACH, per_node("muster_store_partitions_waiting"))], "To another server, while the list of `store` changes"),
        ("Store trouble", "cps", [("errors", rate("muster_store_errors_total")),
                                  ("reconnects", rate("muster_store_reconnects_total")),
                                  ("partitions moved", rate("muster_store_moves_total")),
                                  ("not read: another release", rate("muster_wire_unread_total")),
                                  ("rosters read again", rate("muster_roster_resnapshots_total")),
                                  ("missed history fetched", rate("muster_history_refetched_total")),
                                  ("log calls written again", rate("muster_stream_brought_back_total")),
                                  ("log entries lost by Redis", rate("muster_stream_lost_total")),
                                  ("without enough replicas", rate("muster_store_replica_timeouts_total"))], ""),
        ("Waits for replicas", "ops", [("waits", rate("muster_store_replica_waits_total"))],
         "With store-replicas: one is for all that was appended before it"),
        ("Roster renewals", "ops", [(EACH, node_rate("muster_roster_renewals_total"))],
         "Grows with what is claimed, not with its changes"),
    ],
    "Sync": [
        ("Sessions and members", "short", [("sessions", fleet("muster_sync_sessions_first")),
                                           ("members", fleet("muster_sync_members"))], ""),
        ("Pushes", "mps", [("accepted", rate("muster_sync_pushes_total")),
                           ("refused", rate("muster_sync_pushes_refused_total"))], ""),
        ("Pushed bytes", "Bps", [("delivered", rate("muster_sync_pushed_bytes_total"))], ""),
    ],
    "Chat": [
        ("Chat connections", "short", [("connected", fleet("muster_chat_connections")),
                                       ("logged in", fleet("muster_chat_logged_in"))], ""),
        ("Logins", "cps", [("good", rate("muster_chat_logins_total")), ("failed", rate("muster_chat_logins_failed_total"))], ""),
        ("Chat messages", "mps", [("accepted", rate("muster_chat_messages_total")),
                                  ("over the rate", rate("muster_chat_rate_limited_total")),
                                  ("given up", rate("muster_chat_undelivered_total")),
                                  ("gone before they were heard", rate("muster_chat_lost_total"))], ""),
    ],
    "Cross-server chat": [
        ("Game servers", "short", [(EACH, per_node("muster_relay_servers"))], ""),
        ("Packets", "mps", [("accepted", rate("muster_relay_packets_total")),
                            ("of unknown type", rate("muster_relay_ignored_total")),
                            ("kept until their sender is known", rate("muster_relay_held_total"))], ""),
        ("Relay trouble", "cps", [("closed: broke the protocol", rate("muster_relay_refused_total")),
                                  ("reached only this node", rate("muster_relay_unsent_total")),
                                  ("sender never known", rate("muster_relay_unknown_total"))], ""),
    ],
    "Peer tracker": [
        ("Peers", "short", [("peers", fleet("muster_tracker_peers"))], "An estimate, within 2 %; one that moves to another node is in both for a while"),
        ("Requests", "reqps", [("{{action}}", by("action", "muster_tracker_requests_total"))], ""),
        ("Not answered", "cps", [("{{reason}}", by("reason", "muster_tracker_refused_total"))], ""),
        ("Tracker trouble", "cps", [("unknown share ids", rate("muster_tracker_unknown_ids_total")),
                                    ("store not reached", rate("muster_tracker_store_failures_total"))], ""),
        ("Incomes", "cps", [("sent", rate("muster_tracker_incomes_total")),
                            ("handed to another node", rate("muster_tracker_incomes_handed_over_total"))], ""),
        ("Back, or found elsewhere", "cps", [("slept, and got their share id again", rate("muster_tracker_returned_total")),
                                             ("asked of the older tracker: {{result}}", by("result", "muster_tracker_forwarded_total"))], ""),
    ],
    "Dispatch": [
        ("Drivers and devices", "short", [("drivers", fleet("muster_dispatch_drivers")),
                                          ("devices", fleet("muster_dispatch_devices")),
                                          ("ports that cannot be opened", fleet("muster_dispatch_unbound_ports"))], ""),
        ("Device bytes", "Bps", [("from devices", rate("muster_dispatch_received_bytes_total")),
                                 ("to devices", rate("muster_dispatch_sent_bytes_total"))], ""),
        ("Dispatch trouble", "cps", [("refused: no driver accepts them", rate("muster_dispatch_refused_total")),
                                     ("cut: bytes may be lost", rate("muster_dispatch_cut_total")),
                                     ("closed: read too slowly", rate("muster_dispatch_stalled_total")),
                                     ("datagrams dropped", rate("muster_dispatch_dropped_total"))], ""),
    ],
    "Logs": [
        ("Entries", "cps", [("taken", rate("muster_logs_added_total")), ("refused with 503", rate("muster_logs_refused_total")),
                            ("too large", rate("muster_logs_too_large_total")),
                            ("malformed requests", rate("muster_logs_malformed_total")),
                            ("faster than logs-rate", rate("muster_logs_too_fast_total")),
                            ("stored in PostgreSQL", rate("muster_sink_rows_total")),
                            ("dead letters", rate("muster_sink_rejected_total"))], ""),
        ("In the stream", "short", [("entries", most("muster_logs_stream_entries")), ("not stored yet", most("muster_logs_unstored_entries"))],
         "Every node says the same"),
        ("Not in PostgreSQL yet", "short", [(EACH, per_node("muster_sink_lag_entries"))], ""),
        ("Age of the oldest of them", "ms", [(EACH, per_node("muster_sink_lag_milliseconds"))], ""),
        ("Batches", "cps", [("transactions", rate("muster_sink_batches_total"))], "Few and large ones when there is much to store"),
        ("Bytes stored", "Bps", [("rows", rate("muster_sink_bytes_total"))], ""),
        ("Sinks with PostgreSQL", "none", [("sinks", fleet("muster_sink_postgres_up")),
                                           ("wanted by nodes", fleet("muster_logs_sink_expected"))],
         "Nodes that let entries wait for a sink, and sinks that can store them"),
        ("Lanes", "none", [(EACH, per_node("muster_sink_lanes"))], "Together as many as `logs-lanes`; none at a node"),
        ("Sink trouble", "cps", [("transactions refused", rate("muster_sink_errors_total")),
                                 ("sessions lost", rate("muster_sink_lost_total")),
                                 ("entries gone before they were read", rate("muster_sink_missed_total")),
                                 ("entries read again after a fail-over", rate("muster_sink_repeated_total"))], ""),
        ("Days past the retention", "none", [("kept by an open transaction", most("muster_sink_days_due"))], ""),
        ("To listeners", "cps", [("delivered", rate("muster_logs_delivered_total")),
                                 ("skipped: they read too slowly", rate("muster_logs_skipped_total")),
                                 ("gone before this node read them", rate("muster_logs_missed_total")),
                                 ("own lines lost", rate("muster_logs_own_lost_total"))], ""),
    ],
}


def existing_metrics():
    """Names of samples, as the table in the code has them."""
    names = set(re.findall(r'"((?:muster|process)_[a-z_]+)"', (ROOT / "node/core/metrics_table.h").read_text()))
    names |= set(re.findall(r"# TYPE (muster_[a-z_]+)", (ROOT / "node/app/health.c").read_text()))  # one for each server
    return names | {name + "_bucket" for name in names}


def source():
    return {"type": "prometheus", "uid": "${datasource}"}


def panel(number, at, row_y, title, unit, lines, note):
    return {
        "id": number, "type": "timeseries", "title": title, "description": note, "datasource": source(),
        "gridPos": {"h": HEIGHT, "w": WIDTH, "x": at % COLUMNS * WIDTH, "y": row_y + at // COLUMNS * HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": {"fillOpacity": 8, "showPoints": "never"}},
                        "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [{"refId": chr(ord("A") + i), "expr": expr, "legendFormat": legend} for i, (legend, expr) in enumerate(lines)],
    }


def there(lines, metrics):
    return [line for line in lines if set(re.findall(r"\b(?:muster|process)_[a-z_]+", line[1])) <= metrics]


def panels(metrics):
    made, y = [], 0
    for row, candidates in ROWS.items():
        kept = [(title, unit, there(lines, metrics), note) for title, unit, lines, note in candidates]
        kept = [one for one in kept if one[2]]
        if not kept:
            continue
        made.append({"id": len(made) + 1, "type": "row", "title": row, "collapsed": False,
                     "gridPos": {"h": 1, "w": COLUMNS * WIDTH, "x": 0, "y": y}, "panels": []})
        for at, one in enumerate(kept):
            made.append(panel(len(made) + 1, at, y + 1, *one))
        y += 1 + -(-len(kept) // COLUMNS) * HEIGHT
    return made


def variable(name, label, query):
    return {"name": name, "label": label, "type": "query", "datasource": source(), "query": {"query": query, "refId": name},
            "refresh": 2, "includeAll": True, "multi": True, "allValue": ".*", "sort": 1,
            "current": {"text": "All", "value": "$__all"}}


def dashboard():
    return {
        "uid": "muster", "title": "Muster", "tags": ["muster"], "schemaVersion": 39, "version": 1, "editable": True,
        "graphTooltip": 1, "refresh": "15s", "timezone": "", "time": {"from": "now-3h", "to": "now"},
        "annotations": {"list": []},
        "templating": {"list": [
            {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {}},
            variable("job", "Job", "label_values(muster_store_up, job)"),
            variable("instance", "Instance", 'label_values(muster_store_up{job=~"$job"}, instance)'),
        ]},
        "panels": panels(existing_metrics()),
    }


def text():
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(None if MADE.read_text() == text() else "dashboard.json is stale: run `make manifests`")
    MADE.write_text(text())

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Makes the Grafana dashboard over PostgreSQL, helm/muster/files/logs-dashboard.json, from the questions below; with
--check, only says whether it is up to date. Its data source is Grafana's own for PostgreSQL, as a member of muster_reader."""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MADE = ROOT / "helm/muster/files/logs-dashboard.json"
SOURCE = {"type": "grafana-postgresql-datasource", "uid": "${datasource}"}
WIDTH = 24

# What the boxes at the top of the page choose; an empty box chooses all.
CHOSEN = """$__timeFilter(server_time)
    and (${room:sqlstring} = '' or room = ${room:sqlstring})
    and (${user:sqlstring} = '' or user_name = ${user:sqlstring})
    and (${level:sqlstring} = '' or level = ${level:sqlstring})
    and (${words:sqlstring} = '' or coalesce(text, msg) ilike '%' || ${words:sqlstring} || '%')"""

# Title, kind of panel, width and height, question, what a reader may need to know.
PANELS = [
    ("Lines by level", "timeseries", 16, 8, f"""select $__timeGroupAlias(server_time, $__interval), coalesce(level, 'none') as metric, count(*) as value
from log_entry where {CHOSEN}
group by 1, 2 order by 1""", "All that the boxes above choose"),
    ("Errors", "timeseries", 8, 8, """select $__timeGroupAlias(server_time, $__interval), level as metric, count(*) as value
from log_entry where $__timeFilter(server_time) and level in ('error', 'fatal')
group by 1, 2 order by 1""", "Of all rooms and users"),
    ("Rooms with the most lines", "table", 8, 9, """select room, count(*) as lines, count(*) filter (where level in ('error', 'fatal')) as errors
from log_entry where $__timeFilter(server_time) and room is not null
group by room order by lines desc limit 20""", "Reads the whole time that the page shows"),
    ("Rooms with errors", "table", 8, 9, """select room, count(*) as errors, max(server_time) as last
from log_entry where $__timeFilter(server_time) and level in ('error', 'fatal') and room is not null
group by room order by errors desc limit 20""", "By the index of errors: quick over any time"),
    ("Users with the most lines", "table", 8, 9, """select user_name, count(*) as lines
from log_entry where $__timeFilter(server_time) and user_name is not null
group by user_name order by lines desc limit 20""", "Reads the whole time that the page shows"),
    ("Lines", "table", 24, 14, f"""select server_time, level, room, user_name, text
from log_line where {CHOSEN}
order by server_time desc, seq_number desc limit 500""", "The newest 500"),
    ("Not taken as rows", "table", 24, 7, """select rejected_at, reason, raw
from log_entry_rejected where $__timeFilter(rejected_at) order by rejected_at desc limit 100""", "Dead letters: should be empty"),
]


def panel(number, x, y, title, kind, width, height, question, note):
    options = {"timeseries": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}},
               "table": {"showHeader": True, "cellHeight": "sm"}}[kind]
    custom = {"drawStyle": "bars", "fillOpacity": 60, "stacking": {"mode": "normal"}} if kind == "timeseries" else {}
    return {
        "id": number, "type": kind, "title": title, "description": note, "datasource": SOURCE,
        "gridPos": {"h": height, "w": width, "x": x, "y": y}, "options": options,
        "fieldConfig": {"defaults": {"custom": custom}, "overrides": []},
        "targets": [{"refId": "A", "datasource": SOURCE, "editorMode": "code", "rawQuery": True, "rawSql": question,
                     "format": "time_series" if kind == "timeseries" else "table"}],
    }


def panels():
    made, x, y, row = [], 0, 0, 0
    for title, kind, width, height, question, note in PANELS:
        if x + width > WIDTH:
            x, y = 0, y + row
        made.append(panel(len(made) + 1, x, y, title, kind, width, height, question, note))
        x, row = x + width, height
    return made


def box(name, label):
    return {"name": name, "label": label, "type": "textbox", "query": "", "current": {"text": "", "value": ""}}


def choice(name, label, values):
    options = [{"text": value or "all", "value": value, "selected": not value} for value in values]
    return {"name": name, "label": label, "type": "custom", "query": ",".join(f"{one['text']} : {one['value']}" for one in options),
            "options": options, "current": options[0], "includeAll": False, "multi": False}


def dashboard():
    return {
        "uid": "muster-logs", "title": "Muster: logs in PostgreSQL", "tags": ["muster"], "schemaVersion": 39, "version": 1, "editable": True,
        "graphTooltip": 1, "refresh": "", "timezone": "", "time": {"from": "now-3h", "to": "now"}, "annotations": {"list": []},
        "templating": {"list": [
            {"name": "datasource", "label": "Data source", "type": "datasource", "query": "grafana-postgresql-datasource", "current": {}},
            box("room", "Room"), box("user", "User"), choice("level", "Level", ["", "trace", "debug", "info", "warn", "error", "fatal"]),
            box("words", "Text"),
        ]},
        "panels": panels(),
    }


def text():
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(None if MADE.read_text() == text() else "logs-dashboard.json is stale: run `make manifests`")
    MADE.write_text(text())

# SPDX-License-Identifier: MIT
"""Grafana's panels over PostgreSQL: each question runs as muster_reader, as Grafana would write it out."""

import json
import re

import pytest

from lib.process import ROOT

BOARD = json.loads((ROOT / "helm/muster/files/logs-dashboard.json").read_text())
PANELS = {panel["title"]: panel["targets"][0]["rawSql"] for panel in BOARD["panels"]}
ALL = {"room": "", "user": "", "level": "", "words": ""}


@pytest.fixture(scope="module")
def server(module_yard):
    postgres = module_yard.postgres()
    postgres.psql("""select log_partition_make((now() at time zone 'UTC')::date), log_partition_make((now() at time zone 'UTC')::date - 1);
        insert into log_entry (server_time, seq_number, level, msg, user_name, room)
        select now() - i * interval '1 second', i, (array['info', 'info', 'warn', 'error', null])[i % 5 + 1], 'it''s line ' || i, 'u' || i % 3,
            'r' || i % 4 from generate_series(1, 600) i;
        insert into log_entry_rejected (server_time, seq_number, reason, raw) values (now(), 1, 'why', '{}')""")
    return postgres


def written_out(question, chosen):
    """As Grafana's documentation of its macros and of ${name:sqlstring} says."""
    question = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 BETWEEN now() - interval '1 hour' AND now()", question)
    question = re.sub(r"\$__timeGroupAlias\((\w+), ?\$__interval\)", r'floor(extract(epoch from \1)/60)*60 AS "time"', question)
    for name, value in chosen.items():
        quoted = value.replace("'", "''")
        question = question.replace("${%s:sqlstring}" % name, f"'{quoted}'")
    assert "$" not in question
    return question


def rows(server, title, **chosen):
    question = written_out(PANELS[title], {**ALL, **chosen})
    return server.ask(f"set role muster_reader; {question}")


def test_every_box_is_in_the_questions():
    boxes = {one["name"] for one in BOARD["templating"]["list"]} - {"datasource"}
    assert boxes == set(ALL) == set(re.findall(r"\$\{(\w+):sqlstring\}", " ".join(PANELS.values())))


@pytest.mark.parametrize("title", PANELS)
def test_each_question_has_an_answer(server, title):
    assert rows(server, title)


def test_the_boxes_choose(server):
    assert len(rows(server, "Lines")) == 500
    assert {row[1] for row in rows(server, "Lines", level="error")} == {"error"}
    assert {row[2] for row in rows(server, "Lines", room="r1")} == {"r1"}
    assert {row[3] for row in rows(server, "Lines", user="u2")} == {"u2"}
    assert len(rows(server, "Lines", words="it's line 77")) == 1
    assert sum(int(row[2]) for row in rows(server, "Lines by level", room="r2")) == 150
    assert rows(server, "Lines", room="' or true --") == []

from __future__ import annotations

import json

import pytest

from xapi.datamodel.classes import SM


def test_the_whole(doors):
    answer = doors.get("/services")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    told = json.loads(answer.body)
    assert told["driver"] == "mux" and told["features"] == ["/services/SM"]


def test_every_storage_driver_is_told_of(doors):
    answer = doors.get("/services/SM")
    assert answer.status == 200
    told = {one["driver"]: one for one in json.loads(answer.body)}
    rows = {row.type: row for row in doors.db.all(SM)}
    assert rows and told.keys() == rows.keys()
    for kind, row in rows.items():
        assert told[kind]["features"] == sorted(row.features)
        assert (told[kind]["name"], told[kind]["version"]) == (row.name_label, row.version)
        alone = doors.get(f"/services/SM/{kind}")
        assert (alone.status, json.loads(alone.body)) == (200, told[kind])


def test_there_are_no_driver_domains(doors):
    assert json.loads(doors.get("/services/driver/").body) == []


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/services/SM/nosuch", "SR_UNKNOWN_DRIVER: nosuch"),
        ("GET", "/services/SM/file/more", "MESSAGE_METHOD_UNKNOWN: GET /services/SM/file/more"),
        ("GET", "/services/plugin/x", "MESSAGE_METHOD_UNKNOWN: GET /services/plugin/x"),
        ("GET", "/services/xenops", "MESSAGE_METHOD_UNKNOWN: GET /services/xenops"),
        ("POST", "/services/xenops/memory/x", "MESSAGE_METHOD_UNKNOWN: POST /services/xenops/memory/x"),
        ("PUT", "/services/SM/nbd/x/y/z", "MESSAGE_METHOD_UNKNOWN: PUT /services/SM/nbd/x/y/z"),
        ("POST", "/services/SM", "MESSAGE_METHOD_UNKNOWN: POST /services/SM"),
        ("POST", "/services", "MESSAGE_METHOD_UNKNOWN: POST /services"),
    ],
)
def test_what_is_not_served(doors, method, path, code):
    task = doors.task()
    answer = doors.request(method, f"{path}?session_id={doors.session}&task_id={task}", b"")
    assert answer.status == 404 and code.encode() in answer.body
    assert doors.ended(task) == ("failure", [code.partition(":")[0], code.partition(": ")[2]])

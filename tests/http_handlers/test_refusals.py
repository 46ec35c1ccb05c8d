from __future__ import annotations

import uuid
from contextlib import contextmanager

import pytest

from xapi.datamodel.classes import Pool, PoolUpdate


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("PUT", "/pool_patch_upload", 410, "MESSAGE_REMOVED"),
        ("GET", "/wlb_report", 400, "INVALID_VALUE: report, "),
        ("GET", "/wlb_report?report=pool_health", 503, "WLB_NOT_INITIALIZED"),
        ("GET", "/wlb_diagnostics", 503, "WLB_NOT_INITIALIZED"),
        ("GET", "/sync_config_files/2", 404, "MESSAGE_METHOD_UNKNOWN: GET /sync_config_files/2"),
        ("CONNECT", "/remotecmd", 404, "MESSAGE_METHOD_UNKNOWN: CONNECT /remotecmd"),
        ("POST", "/remote_db_access", 404, "MESSAGE_METHOD_UNKNOWN: POST /remote_db_access"),
        ("POST", "/remote_db_access_v2", 404, "MESSAGE_METHOD_UNKNOWN: POST /remote_db_access_v2"),
        ("POST", "/cli", 404, "MESSAGE_METHOD_UNKNOWN: POST /cli"),
        ("GET", "/update/nobody/repodata/repomd.xml", 404, "UUID_INVALID: pool_update, nobody"),
        ("GET", "/update/", 404, "UUID_INVALID: pool_update, "),
        ("GET", "/repository/x", 404, "NO_REPOSITORY_ENABLED"),
        ("GET", "/repository/enabled/x", 404, "NO_REPOSITORY_ENABLED"),
        ("GET", "/updates", 404, "NO_REPOSITORY_ENABLED"),
        ("GET", "/host_updates", 404, "NO_REPOSITORY_ENABLED"),
        ("PUT", "/bundle", 409, "BUNDLE_REPO_NOT_ENABLED"),
    ],
)
def test_a_door_that_leads_nowhere_says_why(doors, method, path, status, code):
    task = doors.task()
    join = "&" if "?" in path else "?"
    answer = doors.request(method, f"{path}{join}task_id={task}", None, local=True)
    assert answer.status == status
    assert code.encode() in answer.body
    ended, error = doors.ended(task)
    assert ended == "failure" and error[0] == code.partition(":")[0]


def test_an_update_that_is_known_has_no_files_here(doors):
    identity = str(uuid.uuid4())
    with doors.db.transaction() as transaction:
        made = transaction.create(PoolUpdate, uuid=identity, name_label="an update")
    answer = doors.get(f"/update/{identity}/repodata/repomd.xml")
    assert answer.status == 404 and b"CANNOT_FIND_UPDATE" in answer.body
    with doors.db.transaction() as transaction:
        transaction.delete(PoolUpdate, made)


@contextmanager
def enabled(doors, repository):
    pool = doors.toolstack.pool
    with doors.db.transaction() as transaction:
        transaction.update(Pool, pool.ref, repositories=(repository,))
    try:
        yield
    finally:
        with doors.db.transaction() as transaction:
            transaction.update(Pool, pool.ref, repositories=())
        doors.client.Repository.forget(repository)


def test_with_a_repository_on_the_web_it_is_the_fetching_that_fails(doors):
    repository = doors.client.Repository.introduce("base", "", "https://updates.example.com/", "", True, "")
    with enabled(doors, repository):
        for path, status, code in (
            ("/repository/x", 404, "REPOSYNC_FAILED"),
            ("/repository/enabled/x", 404, "REPOSYNC_FAILED"),
            ("/updates", 503, "GET_UPDATES_FAILED"),
            ("/host_updates", 503, f"GET_HOST_UPDATES_FAILED: {doors.toolstack.this_host}"),
        ):
            answer = doors.request("GET", path, local=True)
            assert answer.status == status and code.encode() in answer.body
        assert b"BUNDLE_REPO_NOT_ENABLED" in doors.put("/bundle", b"data").body


def test_a_bundle_is_not_unpacked(doors):
    repository = doors.client.Repository.introduce_bundle("bundle", "")
    with enabled(doors, repository):
        answer = doors.put("/bundle", b"data" * 1000)
        assert answer.status == 503 and b"BUNDLE_SYNC_FAILED" in answer.body

# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's instance actions against the sample that Nova publishes.

openstack/nova 00a03040, doc/api_samples/os-instance-actions/v2.84/instance-action-get-resp.json.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from kvmlog.history.model import Source
from kvmlog.history.views import instance_actions
from tests.support.history_model import PROJECT, action
from tests.support.schemas import validate

OURS = ("observed_at", "source", "request_id_generated", "instance_name")


def test_an_action_is_as_published() -> None:
    """Only its user is not known; ours is what was observed, and whose id it is."""
    found = instance_actions.detail(action(), "compute")
    validate(found, "instance-action-2.84")
    ours = {name: found.pop(name) for name in OURS}
    assert ours == {
        "observed_at": "2018-04-25T01:26:36.341290",
        "source": "event",
        "request_id_generated": True,
        "instance_name": "instance-4",
    }
    assert found == {
        "action": "stop",
        "events": [
            {
                "event": "compute_stop_instance",
                "finish_time": "2018-04-25T01:26:36.790544",
                "host": "compute",
                "hostId": hashlib.sha224(f"{PROJECT}compute".encode()).hexdigest(),
                "result": "Success",
                "start_time": "2018-04-25T01:26:36.539271",
                "traceback": None,
                "details": None,
            }
        ],
        "instance_uuid": "4bf3473b-d550-4b65-9409-292d44ab14a2",
        "message": None,
        "project_id": PROJECT,
        "request_id": "req-0d819d5c-1527-4669-bdf0-ffad31b5105b",
        "start_time": "2018-04-25T01:26:36.341290",
        "updated_at": "2018-04-25T01:26:36.790544",
        "user_id": None,
    }


def test_the_id_of_the_host_is_novas() -> None:
    """The published one: 56 digits of a SHA-224."""
    (event,) = instance_actions.detail(action(), "compute")["events"]
    assert event["hostId"] == "2091634baaccdc4c5a1d57069c833e402921df696b7f970791b12ec6"


def test_no_beginning_is_made_up() -> None:
    """Null where nobody saw it; the time of the first sign says that it was observed."""
    (event,) = action().events
    seen = action(
        start=None,
        source=Source.SAMPLE,
        project_id=None,
        events=(replace(event, start=None, result=None),),
    )
    found = instance_actions.detail(seen, "compute")
    validate(found, "instance-action-2.84")
    assert (found["start_time"], found["observed_at"]) == (None, "2018-04-25T01:26:36.341290")
    assert found["source"] == "sample"
    (event_found,) = found["events"]
    assert (event_found["start_time"], event_found["hostId"]) == (None, None)


def test_the_list_has_no_events() -> None:
    """The published instance-actions-list-resp.json has none either."""
    found = instance_actions.document(action())
    validate(found, "instance-action-2.84")
    assert "events" not in found

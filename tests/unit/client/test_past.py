# SPDX-License-Identifier: GPL-2.0-or-later
"""Documents over XML-RPC as they were: numbers that were text, and null that was empty."""

from __future__ import annotations

from typing import Any

import pytest

from kvmlog.client import past
from kvmlog.client.connection import RpcError
from kvmlog.config.owner_limits import OwnerLimits
from kvmlog.history.model import Owner
from kvmlog.history.views import faults, instance_actions, services, usage
from kvmlog.vmstats.views import hypervisor_253, hypervisor_statistics, limits
from tests.support import history_model as model
from tests.support.rpc_calls import as_received
from tests.support.vmstats_samples import NOW, host, snapshot

DAY = model.at("2012-10-09T00:00:00")
PERIOD = usage.Window(model.at("2012-10-08T00:00:00").realtime_ns, DAY.realtime_ns)


def usages(*names: str, project: str | None = "007") -> list[dict[str, Any]]:
    """The usage of an owner whose id looks like a number, of VMs whose names do."""
    owner = None if project is None else Owner(project, None, None, None)
    began = "2012-10-08T12:00:00"
    lives = [model.life(model.span(began, owner=owner, flavor_name="1"), name=one) for one in names]
    return usage.document(usage.servers(lives, PERIOD), PERIOD, DAY, detailed=True)


DOCUMENTS: dict[str, dict[str, Any]] = {
    "service": services.own(model.service(detail="17"), DAY),
    "action": instance_actions.detail(model.action(project_id="42", start=None), "1"),
    "fault": faults.document(model.fault(name="12", details={"reason": "5"})),
    "usage": usages("9")[0],
    "limits": limits.document(snapshot(), "3", limits.Rules({"3": OwnerLimits(1, 2, 3)}), NOW),
    "statistics": hypervisor_statistics.document(
        [hypervisor_253.document(host(disk=None), snapshot(), NOW)]
    ),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_are_as_before_they_were_sent(name: str) -> None:
    """Names and ids that look like numbers stay text."""
    assert past.document(as_received(DOCUMENTS[name])) == DOCUMENTS[name]
    assert past.documents(as_received([DOCUMENTS[name]])) == [DOCUMENTS[name]]


@pytest.mark.parametrize("reply", [None, "x", [], {"count": "x"}])
def test_another_reply_is_refused(reply: Any) -> None:
    """The error says what to do."""
    with pytest.raises(RpcError, match="use client and server of one version"):
        past.document(reply)
    with pytest.raises(RpcError, match="use client and server of one version"):
        past.documents({"a": 1})


def test_pages_of_usage_become_one() -> None:
    """An owner's sums add up, and its VMs are all there; the others stay as they are."""
    pages: list[dict[str, Any]] = [
        {"observed_since": "x", "next_marker": "y", "tenant_usages": usages("a")},
        {
            "observed_since": "x",
            "next_marker": None,
            "tenant_usages": [*usages("b"), *usages("c", project=None)],
        },
    ]
    whole = past.merged(pages)
    assert whole["next_marker"] is None
    first, other = whole["tenant_usages"]
    assert (first["tenant_id"], other["tenant_id"]) == ("007", None)
    assert [one["name"] for one in first["server_usages"]] == ["a", "b"]
    assert (first["total_hours"], first["total_memory_mb_usage"]) == (24.0, 24.0 * 512)
    assert pages[0]["tenant_usages"][0]["total_hours"] == 12.0

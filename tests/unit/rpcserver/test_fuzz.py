# SPDX-License-Identifier: GPL-2.0-or-later
"""Damaged bodies of XML-RPC calls, from parser to reply: a result or a fault, never a defect.

KVMLOG_FUZZ_CASES (10,000); in `make soak` a hundred times as many.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import defusedxml.xmlrpc
import pytest

from kvmlog.config.load import Config
from kvmlog.ring.statistics.reader import SUFFIX
from kvmlog.ring.statistics.writer import StatisticsWriter
from kvmlog.ring.writer import RingWriter
from kvmlog.rpcserver import log
from kvmlog.rpcserver.auth.credentials import Credentials
from kvmlog.rpcserver.limits import Limits
from kvmlog.rpcserver.methods import readers
from kvmlog.rpcserver.methods.call import HistoryPaths
from kvmlog.rpcserver.methods.table import METHODS
from kvmlog.rpcserver.service import RpcService
from kvmlog.vmstats.file import encode
from kvmlog.vmstats.moment import Moment
from tests.support import fuzzing, vmstats_samples
from tests.support.json_history import past
from tests.support.records import exit_bytes, switch_bytes
from tests.support.rpc_calls import answer
from tests.support.scale import FUZZ_CASES

SEED = 20_261_121


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RpcService]:
    """A service over a ring with records, without a bridge."""
    # As the server does: calls are unmarshalled by the stdlib's classes.
    defusedxml.xmlrpc.monkey_patch()
    path = tmp_path / "ring"
    with RingWriter(str(path), 1024) as writer:
        StatisticsWriter(f"{path}{SUFFIX}", writer, 1).close()
        writer.append(switch_bytes(on=1))
        for number in range(200):
            writer.append(exit_bytes(reason=0x78, exit_ns=1_000 * number, total_ns=number))
        collector = vmstats_samples.collector(written=Moment.now())
        snapshot = vmstats_samples.snapshot(collector=collector)
        Path(f"{path}.vms").write_bytes(encode(snapshot))
        switch = str(tmp_path / "switch")
        past(tmp_path)
        history = HistoryPaths(str(tmp_path / "history.db"), str(tmp_path / "history.socket"))
        yield RpcService(
            str(path),
            switch,
            f"{path}.vms",
            Credentials(Config().rpc),
            Limits().depth,
            log,
            history,
        )
    defusedxml.xmlrpc.unmonkey_patch()


def test_each_method_is_among_what_is_damaged() -> None:
    """The table holds no method that is not fuzzed."""
    assert METHODS.keys() <= fuzzing.METHODS


def test_any_body_is_answered_by_a_result_or_a_known_fault(service: RpcService) -> None:
    """No fault is a defect of the server, and no descriptor is left open."""
    readers.close_idle(older_than_s=0.0)
    before = fuzzing.descriptors()
    kinds: Counter[bool] = Counter()
    made = fuzzing.bodies(random.Random(SEED))
    for number, body in enumerate(itertools.islice(made, FUZZ_CASES)):
        reply = answer(service, body)
        try:
            fuzzing.check_reply(reply)
        except Exception as error:
            raise AssertionError(f"seed {SEED}, case {number}: {body!r} gave {reply!r}") from error
        kinds[b"<fault>" in reply] += 1
    # Both happen, often: what is damaged is neither all refused nor all taken.
    assert min(kinds[True], kinds[False]) > FUZZ_CASES // 20
    readers.close_idle(older_than_s=0.0)
    assert fuzzing.descriptors() == before

# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel under lockdown: neither source may read its memory, and the bridge says so."""

from __future__ import annotations

import pytest

from scripts.vm.kernels import SERIES
from scripts.vm.runner import run_vm

COMMAND = """
places="--switch /run/k/switch"
.venv/bin/kvmlog bridge --source bpf --ring /run/k/ring $places --udp 127.0.0.1:0 2>/run/log &
until grep -q ready: /run/log; do sleep 0.2; kill -0 $! || exit 9; done
.venv/bin/kvmlog switch on $places
echo "status $?"
kill %1
wait %1
insmod build/kmod/$(uname -r)/kvmlog.ko
"""


@pytest.mark.vm
@pytest.mark.parametrize("kernel", SERIES)
def test_under_lockdown_it_says_so(kernel: str) -> None:
    """lockdown=confidentiality: one sentence with the remedy, whatever the verifier calls it."""
    done = run_vm(kernel, COMMAND, append="lockdown=confidentiality", name="lockdown")
    assert done.stdout == "status 1\n"
    sentence, refused = done.stderr.splitlines()
    assert sentence.startswith("kvmlog: kernel lockdown (confidentiality) forbids BPF to read")
    assert "lockdown=integrity" in sentence
    assert "Operation not permitted" in refused

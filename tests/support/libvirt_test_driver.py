# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts of libvirt's test driver, within the process that connects: domains without processes."""

from __future__ import annotations

import uuid
from pathlib import Path

_DOMAIN = """
<domain type='test'>
  <name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>1024</memory><vcpu>2</vcpu>
  <os><type arch='x86_64'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <source file='/guest/{name}.img'/><target dev='vda' bus='virtio'/>
    </disk>
    <interface type='network'>
      <mac address='{mac}'/><source network='default'/><target dev='testnet{number}'/>
    </interface>
    <memballoon model='virtio'/>
  </devices>
</domain>
"""


def write_host(folder: Path, domains: int) -> str:
    """Write a host with that many running domains, vm0 and so on; return its URI."""
    texts = [
        _DOMAIN.format(
            name=f"vm{number}",
            uuid=uuid.UUID(int=number + 1),
            mac="52:54:00:{:02x}:{:02x}:{:02x}".format(*number.to_bytes(3, "big")),
            number=number,
        )
        for number in range(domains)
    ]
    file = folder / "host.xml"
    file.write_text(f"<node>{''.join(texts)}</node>")
    return f"test://{file}"

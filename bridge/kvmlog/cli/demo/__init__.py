# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog demo`: one whole tracing session of this host, with a guest of its own.

command: the session; rounds: --every; guest and image: the guest and its firmware; server: this
host's `kvmlog rpc`; services: a bridge and an RPC server of its own; visibility: what KVM reports
here; ending: ends by signals.
"""

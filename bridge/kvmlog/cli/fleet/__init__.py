# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog fleet`: one call on many hosts, what Prometheus scrapes of them, and their server."""

# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests of this host: processes, their names and UUIDs, and the sources' numbers for them.

model: Guest and the file of guests; names: GuestNames, which reads that file; lookup: the guests
that a word means; labels and view: guests as records show them; serialize: guests as JSON.
The bridge's side: registry: GuestRegistry; uevents: new and ended VMs; starting: processes with a
VM that are no guests yet; identity, cgroup, command_line and proc: the identity of a process;
store: the file on disk; sanitize: untrusted text.
"""

# SPDX-License-Identifier: GPL-2.0-or-later
"""Tools of all other packages.

closeable: context managers; errors: the exceptions; log: the log; loop: the bridge's event loop;
permissions: the group kvmlog and its files; users: which users may use kvmlog; ownership: files
that nobody else can have planted; secrets: files that hold keys; process: /proc/PID/stat;
sock_diag: the owners of sockets; ratelimit: token buckets; sdnotify: systemd's readiness and
watchdog; shortage: limits of the process that were hit; units: times and durations as text.
"""

# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog demo`: one whole tracing session of this host, with a guest of its own."""

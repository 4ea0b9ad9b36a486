# SPDX-License-Identifier: GPL-2.0-or-later
"""Authentication: who a caller is, how they prove it, and what they may do.

credentials: from a connection to a Caller; caller: roles; tokens; tls: certificates and the
names in them.
"""

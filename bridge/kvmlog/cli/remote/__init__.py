# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog remote`: the commands of another host, through its `kvmlog rpc`."""

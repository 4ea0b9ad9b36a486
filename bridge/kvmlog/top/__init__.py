# SPDX-License-Identifier: GPL-2.0-or-later
"""A live screen of the exits of a host's guests: `kvmlog top`.

model: what is shown, computed of reports and of the bridge's status, without a terminal; source:
where these come from, this host or another; ui: the screen (textual, which only this loads).
"""

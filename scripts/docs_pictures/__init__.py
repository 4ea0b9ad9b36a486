# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures for README and docs, made by the program itself: `make docs-pictures`.

__main__: what there is, by name; screen: those of kvmlog top; scene: the host that they show.
"""

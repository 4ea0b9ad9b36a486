# SPDX-License-Identifier: GPL-2.0-or-later
"""The source bpf: the same records with no module.

Only compiler.py uses bcc, in a process of its own.

    plan.py            what this kernel offers, and so which programs with which offsets
    headers.py         the kernel headers that bcc wants
    program_text.py    the programs' text (bridge/bpf/*.c)
    compiler.py        the child process: compiles, loads, hands the descriptors over
    loader.py          its parent's side
    maps.py            the maps that programs and log engine share
    cost.py            what the programs cost, measured by the kernel
    switch_record.py   the SWITCH records, which the module writes itself
    source.py          all of it as a Source
"""

# SPDX-License-Identifier: GPL-2.0-or-later
"""The source bpf: the same records with no module.

Only compiler.py uses bcc, in a process of its own.

    plan.py            what this kernel offers, and so which programs with which offsets
    program_text.py    the programs' text (bridge/bpf/*.c)
    compiled.py        compiled programs, and their file
    compiler.py        the child process that compiles
    cache.py           the folder in which compiled programs are kept
    loader.py          maps and programs in the kernel
    maps.py            the maps that programs and log engine share
    cost.py            what the programs cost, measured by the kernel
    switch_record.py   the SWITCH records, which the module writes itself
    source.py          all of it as a Source
"""

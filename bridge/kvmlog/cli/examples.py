# SPDX-License-Identifier: GPL-2.0-or-later
"""The examples at the end of each command's --help."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Final

# By command ("" is kvmlog itself), as they are typed, with a comment each.
EXAMPLES: Final[Mapping[str, Sequence[tuple[str, str]]]] = {
    "": (
        ("kvmlog switch on --vm web1 --for 5m", "trace one guest for five minutes"),
        ("kvmlog stat -i 1", "exits of each second, by guest and reason"),
        ("kvmlog dump -n 20", "the newest 20 records"),
        ("kvmlog explain npf", "the meaning of an exit reason, and remedies"),
    ),
    "bridge": (
        ("kvmlog bridge", "as /etc/kvmlog/kvmlog.toml has it"),
        ("kvmlog bridge --source bpf", "without the kernel module"),
        ("kvmlog bridge --ring /dev/shm/ring --slots 1048576", "a larger ring elsewhere"),
    ),
    "rpc": (
        ("kvmlog rpc", "as /etc/kvmlog/kvmlog.toml has it"),
        ("kvmlog rpc --listen 127.0.0.1:8080 --user root", "on another port, as root"),
    ),
    "notify": (
        ("kvmlog notify --webhook https://engine1/events", "each change, to a webhook"),
        ("kvmlog notify --exists day", "as configured, and daily which VMs there are"),
    ),
    "history": (
        ("kvmlog history", "as /etc/kvmlog/kvmlog.toml has it"),
        (
            "kvmlog history --history-file /tmp/h/db --history-socket /tmp/h/socket --user root",
            "to try it, as root",
        ),
        ("kvmlog history --keep-days 30 --max-mib 64", "on a small host"),
    ),
    "vmstats": (
        ("kvmlog vmstats", "as /etc/kvmlog/kvmlog.toml has it"),
        ("kvmlog vmstats --uri qemu+ssh://host2/system", "from another host"),
        (
            "kvmlog vmstats --uri test:///default --vmstats-file /tmp/v/vms.json --user root",
            "to try it, without libvirt's daemon",
        ),
    ),
    "metrics": (
        ("kvmlog metrics", "as /etc/kvmlog/kvmlog.toml has it"),
        ("kvmlog metrics --listen 127.0.0.1:9100 --user root", "on another port, as root"),
        ("kvmlog metrics --listen '' --otlp-url http://collector:4318/v1/metrics", "push only"),
    ),
    "status": (
        ("kvmlog status", "bridge, source and ring, and where every exit went"),
        ("kvmlog status --json", "the same for programs"),
    ),
    "switch": (
        ("kvmlog switch on", "trace all guests until switched off"),
        ("kvmlog switch on --vm web1 --for 5m", "one guest, off by itself after five minutes"),
        ("kvmlog switch on --max-per-s 10000", "sample where there are more exits than that"),
        ("kvmlog switch off", "for all guests, at once"),
    ),
    "dump": (
        ("kvmlog dump -n 20", "the newest 20 records"),
        ("kvmlog dump --vm web1 --reason npf --reason ept_violation", "page faults of one guest"),
        ("kvmlog dump --slower-than 1ms --json", "slow exits, for programs"),
    ),
    "tail": (
        ("kvmlog tail", "records as they come, until Ctrl-C"),
        ("kvmlog tail -n 0 --vm web1 --slower-than 500us", "only new and slow exits of one guest"),
    ),
    "stat": (
        ("kvmlog stat -i 1 --vm web1", "exits of each second, one guest"),
        ("kvmlog stat --by reason,detail --top 20", "the most expensive ports, addresses, MSRs"),
        ("kvmlog stat --hist --vm web1", "how long exits took, by powers of two"),
        ("kvmlog stat --json -o out.json -- sleep 10", "exits while a command runs"),
    ),
    "record": (
        ("kvmlog record -o boot.kvmlog --for 30s", "thirty seconds of all guests"),
        ("kvmlog record -o web1.kvmlog --vm web1 --size 100M", "one guest, 100 MiB at most"),
        ("kvmlog record -o test.kvmlog -- make test", "while a command runs"),
        (
            "kvmlog record -o slow.kvmlog --freeze-on 'slower-than 10ms' --before 5s --after 1s",
            "only what surrounds the first exit that takes as long",
        ),
    ),
    "top": (
        ("kvmlog top", "all guests, live; h shows the keys"),
        ("kvmlog top --vm web1 -i 5", "one guest, every five seconds"),
        ("kvmlog top --host https://host1:50080 --token-file token", "the guests of host1"),
    ),
    "guests": (
        ("kvmlog guests", "running guests"),
        ("kvmlog guests --all --json", "ended ones too, for programs"),
    ),
    "vms": (
        ("kvmlog vms", "each VM: state, CPU, memory, disks, network, exits"),
        ("kvmlog vms -i 10 --sort write", "every ten seconds, those that write most first"),
        ("kvmlog vms --vm web1 --json", "all figures of one VM, for programs"),
    ),
    "why": (
        ("kvmlog why web1", "watch it for ten seconds, and say what slows it down"),
        ("kvmlog why web1 --for 30s --trace", "with its exits, where tracing is off"),
        ("kvmlog why web1 --json", "with all figures, for programs"),
        ("kvmlog why web1 --from boot.kvmlog", "from the exits of a recording"),
    ),
    "events": (
        ("kvmlog events --since 1d", "what happened to VMs within the last day"),
        ("kvmlog events --vm web1 --json", "of one VM, for programs"),
    ),
    "services": (
        ("kvmlog services", "which run, and which an operator has disabled"),
        ("kvmlog services --json", "the same for programs"),
    ),
    "usage": (
        ("kvmlog usage --since 30d", "each owner's VMs, CPUs and memory, times hours"),
        ("kvmlog usage --since 2026-11-01 --until 2026-12-01 --csv", "each VM, for a bill"),
    ),
    "check": (
        ("kvmlog check cpu --vm web1 -w 80 -c 95", "one VM's CPU time"),
        ("kvmlog check latency -c 5 --over 10", "the slowest exits of all VMs, in ten seconds"),
        ("kvmlog check service -H https://host1:50080 --token-file token", "another host"),
    ),
    "pending": (
        ("kvmlog pending", "vCPUs that are in an exit now, longest first"),
        ("kvmlog pending --vm web1 --json", "those of one guest, for programs"),
    ),
    "report": (
        ("kvmlog report web1.kvmlog", "a page of a recording: report.html"),
        ("kvmlog report web1.kvmlog -o web1.html --force", "elsewhere, over an older one"),
        ("kvmlog report before.kvmlog after.kvmlog", "what changed, and a page of the second"),
    ),
    "explain": (
        ("kvmlog explain EPT_VIOLATION", "by name"),
        ("kvmlog explain 0x7b --isa svm", "by number"),
        ("kvmlog explain --gpa 0xb00fa000", "the device at an address; --port: behind a port"),
        ("kvmlog explain --list --isa vmx", "all reasons of Intel CPUs"),
    ),
    "export": (
        ("kvmlog export web1.kvmlog -o web1.parquet", "a row per record, for data frames"),
        ("kvmlog export web1.kvmlog -o web1.pftrace", "open it in https://ui.perfetto.dev"),
        ("kvmlog export web1.kvmlog --vm web1 -o web1.folded", "stacks for flamegraph.pl"),
        ("kvmlog export web1.kvmlog --dataset s3://bucket/exits", "into a data set of many hosts"),
    ),
    "query": (
        ("kvmlog query web1.kvmlog 'select * from by_reason'", "exits and times by reason"),
        (
            "kvmlog query web1.kvmlog 'select * from slow limit 10' --format json",
            "the slowest exits, for programs",
        ),
        (
            "kvmlog query s3://bucket/exits 'select host, sum(exits) from by_guest group by host'",
            "of many hosts",
        ),
    ),
    "remote": (
        ("kvmlog remote host1 stat -i 1", "exits of each second on host1"),
        (
            "kvmlog remote https://host1:50080 --token-file token switch on --vm web1 --for 5m",
            "trace one guest there",
        ),
        ("kvmlog remote host1 dump --slower-than 1ms", "its newest slow exits"),
    ),
    "demo": (
        ("kvmlog demo", "five seconds of exits"),
        ("kvmlog demo --seconds 1m", "a minute of them"),
    ),
    "bpf": (
        ("kvmlog bpf build", "compile for this host, for it and for others like it"),
        ("kvmlog bpf list", "what is kept, and whether it fits this host"),
        ("kvmlog bpf build --bpf-cache /root/fleet", "into a folder of its own, to be shipped"),
    ),
    "config": (
        ("kvmlog config check", "report what is wrong with the configuration"),
        ("kvmlog config show", "each key, its value and where it comes from"),
        ("kvmlog config default", "print a file with all keys and their meanings"),
    ),
    "remote status": (
        ("kvmlog remote host1 status", "its bridge, source and ring"),
        ("kvmlog remote host1 status --json", "the same for programs"),
    ),
    "remote switch": (
        ("kvmlog remote host1 switch on --vm web1 --for 5m", "one guest for five minutes"),
        ("kvmlog remote host1 switch off", "for all guests, at once"),
    ),
    "remote dump": (
        ("kvmlog remote host1 dump -n 20", "its newest 20 records"),
        ("kvmlog remote host1 dump --reason hlt --json", "halts only, for programs"),
    ),
    "remote tail": (
        ("kvmlog remote host1 tail", "records as they come, until Ctrl-C"),
        ("kvmlog remote host1 tail --vm web1 --slower-than 1ms", "slow exits of one guest"),
    ),
    "remote stat": (
        ("kvmlog remote host1 stat", "all its guests, since the statistics began"),
        ("kvmlog remote host1 stat -i 1 -n 10 --csv", "ten seconds, one by one, as CSV"),
    ),
    "remote guests": (
        ("kvmlog remote host1 guests", "its running guests"),
        ("kvmlog remote host1 guests --all --json", "ended ones too, for programs"),
    ),
    "remote vms": (
        ("kvmlog remote host1 vms", "each of its VMs: use and exits"),
        ("kvmlog remote host1 vms -i 10 --sort exits", "every ten seconds, most exits first"),
    ),
    "remote why": (
        ("kvmlog remote host1 why web1", "what slows down a VM there"),
        ("kvmlog remote host1 why web1 --for 30s --trace", "for longer, with its exits"),
    ),
    "remote events": (
        ("kvmlog remote host1 events --since 1d", "what happened to its VMs"),
        ("kvmlog remote host1 events --vm web1", "to one of them"),
    ),
    "remote services": (
        ("kvmlog remote host1 services", "which of its services run"),
        (
            "kvmlog remote host1 services --disable kvmlog-vmstats --reason disks",
            "take it out of use, and say why",
        ),
    ),
    "remote usage": (
        ("kvmlog remote host1 usage --since 30d", "what owners used there"),
        ("kvmlog remote host1 usage --since 30d --vms", "the same, by each VM"),
    ),
    "remote pending": (
        ("kvmlog remote host1 pending", "its vCPUs that are in an exit now"),
        ("kvmlog remote host1 pending --vm web1", "those of one guest"),
    ),
    "remote explain": (
        ("kvmlog remote host1 explain npf", "a reason, as that host's version explains it"),
        ("kvmlog remote host1 explain --list", "all reasons it knows"),
    ),
    "fleet": (
        ("kvmlog fleet hypervisors --hosts hosts.txt", "hosts, their VMs, and what is used"),
        ("kvmlog fleet status --hosts hosts.txt --parallel 64", "what each bridge does"),
    ),
    "fleet targets": (
        (
            "kvmlog fleet targets --hosts hosts.txt -o /etc/prometheus/kvmlog.json",
            "for Prometheus' file_sd_configs",
        ),
        ("kvmlog fleet targets --srv _kvmlog-metrics._tcp.example.net", "from DNS"),
    ),
    "fleet serve": (
        ("kvmlog fleet serve", "as /etc/kvmlog/kvmlog.toml has it"),
        ("kvmlog fleet serve --hosts /root/hosts.txt --user root", "to try it, as root"),
    ),
    "fleet hypervisors": (
        ("kvmlog fleet hypervisors --hosts hosts.txt", "each host, and what of it is used"),
        ("kvmlog fleet hypervisors --hosts hosts.txt --search rack7 --servers", "VMs of some"),
    ),
    "fleet totals": (
        ("kvmlog fleet totals --hosts hosts.txt", "all hosts together"),
        ("kvmlog fleet totals --hosts hosts.txt --json", "the same for programs"),
    ),
    "fleet services": (
        ("kvmlog fleet services --hosts hosts.txt", "all services; UNKNOWN: no answer"),
        ("kvmlog fleet services --hosts hosts.txt --json", "the same for programs"),
    ),
    "fleet usage": (
        ("kvmlog fleet usage --hosts hosts.txt --since 30d", "what owners used, of all hosts"),
        ("kvmlog fleet usage --hosts hosts.txt --since 30d --csv", "a line for each VM"),
    ),
    "fleet limits": (
        ("kvmlog fleet limits --hosts hosts.txt --project c1a2b3d4", "of one owner"),
        ("kvmlog fleet limits --hosts hosts.txt --json", "of all VMs, for programs"),
    ),
    "fleet status": (
        ("kvmlog fleet status --hosts hosts.txt", "bridge and ring of each host"),
        ("kvmlog fleet status --hosts hosts.txt --json", "a JSON object for each host"),
    ),
    "fleet switch": (
        (
            "kvmlog fleet switch on --hosts hosts.txt --for 5m --max-per-s 1000 --yes",
            "trace everywhere, for five minutes, bounded",
        ),
        ("kvmlog fleet switch off --hosts hosts.txt --yes", "everywhere"),
    ),
    "fleet dump": (
        ("kvmlog fleet dump --hosts hosts.txt --vm web1", "wherever web1 is"),
        ("kvmlog fleet dump --hosts hosts.txt -n 5", "the newest records of each host"),
    ),
    "fleet tail": (
        ("kvmlog fleet tail --hosts hosts.txt -n 0", "what comes, of all hosts"),
        ("kvmlog fleet tail --hosts hosts.txt --vm web1", "those of one guest"),
    ),
    "fleet stat": (
        ("kvmlog fleet stat --hosts hosts.txt --top 3", "the three largest groups of each"),
        ("kvmlog fleet stat --hosts hosts.txt --csv", "CSV with a column `host`"),
    ),
    "fleet guests": (
        ("kvmlog fleet guests --hosts hosts.txt", "the guests of all hosts"),
        ("kvmlog fleet guests --hosts hosts.txt --all --json", "ended ones too, for programs"),
    ),
    "fleet vms": (
        ("kvmlog fleet vms --hosts hosts.txt --csv", "all VMs, CSV with a column `host`"),
        ("kvmlog fleet vms --hosts hosts.txt --vm web1", "one, wherever it is"),
    ),
    "fleet events": (
        ("kvmlog fleet events --hosts hosts.txt --since 1h", "what happened in the last hour"),
        ("kvmlog fleet events --hosts hosts.txt --vm web1", "to one VM, on all of its hosts"),
    ),
    "fleet why": (
        ("kvmlog fleet why web1 --hosts hosts.txt", "what slows a VM down, wherever it is"),
        ("kvmlog fleet why web1 --hosts hosts.txt --for 30s", "for longer"),
    ),
    "fleet pending": (
        ("kvmlog fleet pending --hosts hosts.txt", "vCPUs in an exit now"),
        ("kvmlog fleet pending --hosts hosts.txt --json", "the same for programs"),
    ),
    "fleet explain": (
        ("kvmlog fleet explain npf --hosts hosts.txt", "a reason, as each version explains it"),
        ("kvmlog fleet explain --list --hosts hosts.txt", "all reasons that each knows"),
    ),
}


def add_examples(parser: argparse.ArgumentParser, command: str) -> None:
    """End the parser's --help with the command's examples, below its epilogue if it has one."""
    lines = ["examples:"]
    for typed, comment in EXAMPLES[command]:
        lines += [f"  # {comment}", f"  {typed}"]
    parts = [parser.epilog, "\n".join(lines)]
    parser.epilog = "\n\n".join(part for part in parts if part)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter

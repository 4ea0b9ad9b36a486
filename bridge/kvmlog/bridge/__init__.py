# SPDX-License-Identifier: GPL-2.0-or-later
"""The bridge process: the sockets of the switch around one log engine.

main: `kvmlog bridge`; dispatch: Dispatcher, which carries commands out; datagram_server: the part
that both sockets share; unix_server and udp_server: the two; udp_peer: who sent a plain datagram;
preflight: the problems for which the bridge would not start; names: the names of its files, kept;
recorder: the standing order of the flight recorder.
"""

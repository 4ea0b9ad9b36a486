# SPDX-License-Identifier: GPL-2.0-or-later
"""The client side of the switch.

protocol: the commands and their limits; sampling: which exits are recorded; client: SwitchClient,
over the local socket; udp_client: UdpClient, to another host; udp_auth: the signed datagrams;
udp_address: addresses as text.
"""

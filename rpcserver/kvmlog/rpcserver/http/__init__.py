# SPDX-License-Identifier: GPL-2.0-or-later
"""Transport and protocol: sockets, TLS, HTTP and XML as clients send them.

peers, connections   who is at the other end, and how many may be
stream, head, parse  a request: its bytes, its head, the call in its body
turns, memory, work  what a request may take, shared fairly among callers
handshake, handler, server   TLS, a connection in its thread, all of them

What is served is a Service (http.service): nothing here knows credentials or methods.
"""

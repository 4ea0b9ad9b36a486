# SPDX-License-Identifier: GPL-2.0-or-later
"""Transport and protocol: sockets, TLS, HTTP and XML as clients send them.

What is served is a Service (http.service): nothing here knows credentials or methods.
"""

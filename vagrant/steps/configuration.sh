# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154 # variables of common.sh
# Sourced by provision.sh: configuration, certificate, and the token for the developer's machine.

config=/etc/kvmlog/kvmlog.toml
tls=/etc/kvmlog/tls
tokens=/etc/kvmlog/tokens
# Of whoever works in the VM; make vm has no user but root.
access=/root/access
access_owner=root
if getent passwd vagrant >/dev/null; then
	access=/home/vagrant/access
	access_owner=vagrant
fi

configuration() {
	cat <<-END
		# Written by vagrant/provision.sh; once it is changed by hand, it stays as it is.
		[rpc]
		listen = "0.0.0.0:50080"
		tls_cert = "$tls/cert.pem"
		tls_key = "$tls/key.pem"
		token_file = "$tokens"

		[budget]
		# No limit: guests that are made to exit cost more than any host's do, and in emulation all the more.
		cpu_percent = 0
	END
}

write_configuration() {
	mkdir -p /etc/kvmlog
	if configuration | cmp -s - "$config"; then
		say "configuration: as it should be ($config)"
	# What make install has written, or an earlier run.
	elif [[ ! -e $config ]] || cmp -s "$config" "$state/kvmlog.toml" || ! grep -qvE '^[[:space:]]*(#|\[|$)' "$config"; then
		put 0644 root:root "$config" < <(configuration)
		did "configuration: wrote $config"
	else
		say "configuration: $config was changed by hand and stays as it is"
	fi
	configuration >"$state/kvmlog.toml"
}

# The RPC server reads key and tokens again while it runs, and takes none that others can read: they are its own.
make_certificate() {
	install -d -m 750 -g kvmlog "$tls"
	if [[ -s $tls/key.pem ]] && openssl x509 -in "$tls/cert.pem" -noout -checkend 2592000 >/dev/null 2>&1; then
		say "certificate: good"
		return
	fi
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -days 3650 \
		-keyout "$tls/key.new" -out "$tls/cert.new" -subj "/CN=$(hostname)" \
		-addext "subjectAltName=DNS:localhost,DNS:$(hostname),IP:127.0.0.1" \
		-addext keyUsage=critical,digitalSignature,keyCertSign -addext extendedKeyUsage=serverAuth 2>/dev/null ||
		die "certificate: openssl does not make it"
	chmod 600 "$tls/key.new"
	chown kvmlog-rpc "$tls/key.new"
	mv -f "$tls/key.new" "$tls/key.pem"
	mv -f "$tls/cert.new" "$tls/cert.pem"
	did "certificate: made for localhost, $(hostname) and 127.0.0.1, self-signed"
}

# digest: SHA-256 of the token that the developer has.
digest() {
	tr -d '\n' <"$access/token" | sha256sum | cut -d' ' -f1
}

make_token() {
	install -d -m 700 -o "$access_owner" "$access"
	put 0600 "$access_owner": "$access/ca.pem" <"$tls/cert.pem"
	if [[ -s $access/token ]] && grep -qsx "switch developer $(digest)" "$tokens"; then
		say "token: $access/token is good"
		return
	fi
	# As kvmlog rpc --new-token does it (docs/access.md), which in emulation takes seconds to start.
	openssl rand -hex 32 | put 0600 "$access_owner": "$access/token"
	# Nobody knows one that an interrupted run has made.
	{ grep -sv "^[a-z]* developer " "$tokens" || true; echo "switch developer $(digest)"; } |
		put 0600 kvmlog-rpc:root "$tokens"
	did "token: made a new one of role switch, $access/token"
}

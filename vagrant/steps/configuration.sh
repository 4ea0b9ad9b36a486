# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154 # variables of common.sh
# Sourced by provision.sh: configuration, certificate, and the token for the developer's machine.

config=/etc/kvmlog/kvmlog.toml
tls=/etc/kvmlog/tls
tokens=/etc/kvmlog/tokens
token_name=developer
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

# is_ours: whether nobody has changed the configuration since make install or provisioning wrote it.
is_ours() {
	[[ ! -e $config ]] || cmp -s "$config" "$state/kvmlog.toml" || ! grep -qvE '^[[:space:]]*(#|\[|$)' "$config"
}

write_configuration() {
	mkdir -p /etc/kvmlog
	if configuration | cmp -s - "$config"; then
		say "configuration: as it should be ($config)"
	elif is_ours; then
		put 0644 root "$config" < <(configuration)
		did "configuration: wrote $config"
	else
		say "configuration: $config was changed by hand and stays as it is"
	fi
	put 0644 root "$state/kvmlog.toml" < <(configuration) || true
}

# check_configuration: one that was changed by hand, once the files are there that it may name.
check_configuration() {
	is_ours || kvmlog config check ||
		die "configuration: $config is wrong, as said above; mend it, or remove it and run this again"
}

# own_secrets: the RPC server's, which reads them again while it runs, and nobody else's: it takes no others.
own_secrets() {
	local file
	for file in "$tls/key.pem" "$tokens"; do
		[[ ! -e $file || $(stat -c '%a %U' "$file") == "600 kvmlog-rpc" ]] ||
			{ chmod 600 "$file" && chown kvmlog-rpc "$file"; } || die "$file cannot be given to kvmlog-rpc"
	done
}

# certificate_is_good: of this host's name, with its key, for a month more at least.
certificate_is_good() {
	[[ -s $tls/cert.pem && -s $tls/key.pem ]] &&
		openssl x509 -in "$tls/cert.pem" -noout -checkend $((30 * 86400)) >/dev/null &&
		openssl x509 -in "$tls/cert.pem" -noout -checkhost "$(hostname)" | grep -q 'does match' &&
		[[ $(openssl x509 -in "$tls/cert.pem" -noout -pubkey) == "$(openssl pkey -in "$tls/key.pem" -pubout)" ]]
}

make_certificate() {
	install -d -m 750 -g kvmlog "$tls"
	rm -rf "$tls/new"
	if certificate_is_good 2>/dev/null; then
		say "certificate: good"
		return
	fi
	local fresh=$tls/new
	mkdir -m 700 "$fresh"
	logged openssl openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -days 3650 \
		-keyout "$fresh/key.pem" -out "$fresh/cert.pem" -subj "/CN=$(hostname)" \
		-addext "subjectAltName=DNS:localhost,DNS:$(hostname),IP:127.0.0.1" \
		-addext keyUsage=critical,digitalSignature,keyCertSign -addext extendedKeyUsage=serverAuth ||
		die "certificate: openssl does not make it, as shown above"
	put 0600 root "$tls/key.pem" <"$fresh/key.pem" || true
	put 0644 root "$tls/cert.pem" <"$fresh/cert.pem" || true
	rm -rf "$fresh"
	did "certificate: made for localhost, $(hostname) and 127.0.0.1, by itself signed"
}

# digest_of FILE: the SHA-256 of the token in it.
digest_of() {
	local digest
	digest=$(tr -d '\n' <"$1" | sha256sum)
	echo "${digest%% *}"
}

# token_is_good: the one that the developer has is one that the server takes.
token_is_good() {
	[[ -s $access/token && -f $tokens ]] || return
	grep -qx "switch $token_name $(digest_of "$access/token")" "$tokens"
}

make_token() {
	install -d -m 700 -o "$access_owner" "$access"
	if token_is_good; then
		say "token: $access/token is good"
	else
		# As kvmlog rpc --new-token does it (docs/access.md), which in emulation takes seconds to start.
		rm -f "$access/token.new"
		(umask 077 && openssl rand -hex 32 >"$access/token.new") || die "token: openssl makes none"
		# One that a run made which was interrupted nobody knows any more.
		put 0600 root "$tokens" < <(
			grep -sv "^[a-z]* $token_name " "$tokens" || true
			echo "switch $token_name $(digest_of "$access/token.new")"
		) || true
		chown "$access_owner" "$access/token.new"
		mv -f "$access/token.new" "$access/token"
		did "token: made a new one of role switch, $access/token"
	fi
	if ! cmp -s "$tls/cert.pem" "$access/ca.pem"; then
		install -m 600 -o "$access_owner" "$tls/cert.pem" "$access/ca.pem.new"
		mv -f "$access/ca.pem.new" "$access/ca.pem"
	fi
}

#!/bin/bash
# Installs what the black-box tests drive: a real Dovecot and real clients. On
# Debian as root it installs what is missing; elsewhere it says what is missing.
set -euo pipefail

# program:package; the C compiler is for the race detector
wanted=(
	dovecot:dovecot-imapd
	curl:curl
	mbsync:isync
	openssl:openssl
	socat:socat
	haproxy:haproxy
	prlimit:util-linux
	ip:iproute2
	gcc:build-essential
)

programs=() packages=()
for w in "${wanted[@]}"; do
	PATH=$PATH:/usr/sbin:/sbin command -v "${w%%:*}" >/dev/null && continue
	programs+=("${w%%:*}") packages+=("${w##*:}")
done
# Dovecot's core alone has no IMAP.
if [ ! -x /usr/lib/dovecot/imap ] && [ -x /usr/sbin/dovecot ]; then
	programs+=(imap) packages+=(dovecot-imapd)
fi
[ ${#packages[@]} -eq 0 ] && exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "The tests need these programs: ${programs[*]}" >&2
	echo "Debian's packages: apt-get install ${packages[*]}" >&2
	exit 1
fi

# Debian starts a service when it is installed. The tests start their own
# Dovecot, and another one in their way is no use.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends "${packages[@]}"

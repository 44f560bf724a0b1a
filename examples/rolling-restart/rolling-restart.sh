#!/bin/sh
# Restarts the servers of a backend one after the other, without a failed login
# and with nobody on two servers at once:
#
#   rolling-restart.sh BACKEND COMMAND SERVER...
#
# COMMAND is run with the name of a server as its argument when nobody is on that
# server any more. An example:
#
#   rolling-restart.sh mail /usr/local/sbin/restart-dovecot mail1 mail2 mail3
#
# where restart-dovecot is: ssh "root@$1" systemctl restart dovecot
#
# The next one is drained when a health check has found this one up again.
#
# IMAPLB_SOCKET is the runtime socket of any of the peers; PARALLEL how many
# users are moved at once.
set -eu
[ $# -ge 3 ] || { echo "usage: $0 BACKEND COMMAND SERVER..." >&2; exit 2; }
backend=$1 command=$2
shift 2

# users is how many users have sessions on a server, at whatever peer. It is counted
# from the right: the state may be two words, as in "DRAIN 2/3".
users() { imaplb ctl show servers "$backend" | awk -v server="$1" '$2 == server { print $(NF - 4) }'; }

# is_up: a check since the maintenance has found a server up, or there are no checks.
is_up() { imaplb ctl show servers health "$backend" | grep -Eq "^$backend/$1 status=\"(no check|UP\" .*check=)"; }

for server; do
	echo "$server: drain"
	imaplb ctl set server "$backend/$server" state drain
	imaplb ctl flush server "$backend/$server" max-parallel "${PARALLEL:-100}"
	while left=$(users "$server"); [ "$left" != 0 ]; do
		echo "$server: $left users left"
		sleep 1
	done
	imaplb ctl set server "$backend/$server" state maint
	echo "$server: restart"
	"$command" "$server" || { echo "$server: $command failed, it stays in maint" >&2; exit 1; }
	imaplb ctl set server "$backend/$server" state ready
	until is_up "$server"; do
		echo "$server: not up yet"
		sleep 1
	done
	echo "$server: ready"
done

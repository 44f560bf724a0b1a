#!/bin/sh
# Shows rolling-restart.sh at work: starts three Dovecots and two peers, lets 200
# users log in through both and work, restarts each Dovecot in turn, and checks
# the clients (no login failed) and the Dovecots' logs (nobody was on two at
# once). It needs Go and Dovecot.
cd "$(dirname "$0")/../.."
exec go test ./tests -run '^TestRollingRestart$' -count=1 -v

package tests

import (
	"net"
	"strings"
	"testing"
)

// Dovecot's log shows the client's address and the id that imaplb's own log
// has for the session.
func TestRealAddress(t *testing.T) {
	t.Parallel()
	d := sharedDovecots(t)[0]
	six := freeSix(t)
	l := runLB(t, options{
		servers: serversOf(d),
		more:    "[frontend.six]\nbind = [\"" + six + "\"]\ntls = \"none\"\nbackend = \"mail\"\n",
	})
	for _, from := range []struct{ ip, to string }{{"127.0.0.77", l.plain}, {"::1", six}} {
		user := newUser()
		c := dialFrom(t, from.ip, from.to)
		c.expect("* OK")
		c.ok("LOGIN %s %s", user, password)
		c.logout()
		line := d.loginLine(t, user)
		if !strings.Contains(line, "rip="+from.ip+",") {
			t.Errorf("Dovecot logged %q, want rip=%s", line, from.ip)
		}
		end := l.sessionEnd("user=" + user)
		if end["sess"] == "" || !strings.Contains(line, "session=<"+end["sess"]+">") {
			t.Errorf("Dovecot logged %q, want our session id %q", line, end["sess"])
		}
		for key, want := range map[string]string{"be": "mail", "srv": "s1"} {
			if end[key] != want {
				t.Errorf("the session's end has %s=%q, want %q", key, end[key], want)
			}
		}
		for _, key := range []string{"reason", "state", "in", "out", "dur"} {
			if end[key] == "" {
				t.Errorf("the session's end has no %s: %v", key, end)
			}
		}
	}
}

// A client cannot lie about its address: what begins with x- in its ID is
// dropped, the rest is passed on.
func TestRealAddressForged(t *testing.T) {
	t.Parallel()
	d := sharedDovecots(t)[0]
	l := runLB(t, options{servers: serversOf(d)})
	user := newUser()
	c := greeted(t, l.plain)
	c.ok(`ID ("name" "Mail Reader" "x-originating-ip" "203.0.113.9" "X-Session-ID" "forged" "x-proxy-ttl" "99")`)
	c.ok("LOGIN %s %s", user, password)
	c.logout()
	if line := d.loginLine(t, user); !strings.Contains(line, "rip=127.0.0.1,") || strings.Contains(line, "forged") {
		t.Errorf("Dovecot logged %q, want rip=127.0.0.1 and our session id", line)
	}
}

// What is sent to the server in front of the login, to one that trusts us and
// to one that does not.
func TestRealAddressID(t *testing.T) {
	t.Parallel()
	for _, trusted := range []string{"true", "false"} {
		t.Run("trusted "+trusted, func(t *testing.T) {
			d := runIMAPd(t, acceptAll)
			l := runLB(t, options{servers: []server{{"s1", d.addr, "trusted = " + trusted}}})
			c := greeted(t, l.plain)
			c.ok(`ID ("name" "Mail Reader" "version" "1" "x-originating-ip" "203.0.113.9")`)
			c.ok("LOGIN %s %s", newUser(), password)
			c.logout()
			said := strings.Join(d.said(), "\n")
			if strings.Contains(said, "203.0.113.9") {
				t.Errorf("the forged address went on: %q", said)
			}
			for _, want := range []string{`"x-originating-ip" "127.0.0.1"`, `"x-originating-port" "`, `"x-connected-ip" "127.0.0.1"`, `"x-session-id" "`, `"x-proxy-ttl" "`} {
				if got := strings.Contains(said, want); got != (trusted == "true") {
					t.Errorf("the server was sent %s: %v, want %s: %q", want, got, trusted, said)
				}
			}
			if trusted == "true" && !strings.Contains(said, `"name" "Mail Reader"`) {
				t.Errorf("the client's own pairs are missing: %q", said)
			}
		})
	}
}

// dialFrom connects from an address of this machine.
func dialFrom(t *testing.T, ip, to string) *client {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Timeout: patience}
	conn, err := d.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, conn)
}

// freeSix is a free address of IPv6; without IPv6 the test is skipped.
func freeSix(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}

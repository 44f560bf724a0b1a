package tests

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// slowClients is how many hostile clients of a kind there are at once, and
// most is what each may cost imaplb.
const (
	slowClients = 200
	most        = 16 << 10 // bytes of heap
)

// Clients that get nowhere are thrown out in time, with the BYE that fits,
// and cost neither a goroutine nor much memory while they are there.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	tlsHello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
	kinds := []struct {
		name string
		tls  bool
		say  string
		want string // part of the last words; "" when there are none
	}{
		{"silence", false, "", "* BYE"},
		{"half a line", false, "a LOGIN ali", "* BYE"},
		{"half a literal", false, "a LOGIN {100+}\r\nali", "* BYE"},
		{"half a SASL exchange", false, "a AUTHENTICATE PLAIN\r\nAGFs", "* BYE"},
		{"literal never sent", false, "a LOGIN {5}\r\n", "* BYE"},
		{"no TLS at all", true, "", ""},
		{"half a TLS record", true, tlsHello, ""},
	}
	l := runLB(t, options{
		servers: serversOf(sharedDovecots(t)[0]),
		global:  "login_timeout = \"4s\"\nhandshake_timeout = \"4s\"",
	})
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			before, came := l.debugGC("heap"), l.info("CumConns")
			addr := l.plain
			if k.tls {
				addr = l.implicit
			}
			var all []*client
			began := time.Now()
			for range slowClients {
				c := dial(t, addr)
				if !k.tls {
					c.expect("* OK")
				}
				if k.say != "" {
					c.send(k.say)
				}
				all = append(all, c)
			}
			// Clients of TLS hear nothing and may not have been accepted yet. Where the
			// machine is slow the first are out before the last are in.
			within(t, patience, "all were accepted", func() bool { return l.info("CumConns") == came+slowClients })
			if n := l.info("CurrConns"); n != slowClients && time.Since(began) < 3*time.Second {
				t.Errorf("CurrConns = %d, want %d", n, slowClients)
			}
			if now := l.usage(); now.goroutines > l.start.goroutines+5 {
				t.Errorf("%d slow clients: %d goroutines, without them %d", slowClients, now.goroutines, l.start.goroutines)
			}
			if grown := l.debugGC("heap") - before; grown > slowClients*most {
				t.Errorf("%d slow clients cost %d bytes of heap, want at most %d each", slowClients, grown, most)
			}
			for _, c := range all {
				if said := c.closed(patience); !strings.Contains(said, k.want) {
					t.Fatalf("the last words were %q, want %q", said, k.want)
				}
				c.close()
			}
			if spent := time.Since(began); spent < 3*time.Second {
				t.Errorf("thrown out after %v, want 4s", spent)
			}
		})
	}
}

// Traffic is no login: a client that sends a byte now and then is thrown out
// as well.
func TestSlowByteByByte(t *testing.T) {
	t.Parallel()
	l := runLB(t, options{servers: serversOf(sharedDovecots(t)[0]), global: `login_timeout = "3s"`})
	c := greeted(t, l.plain)
	tls := dialTLS(t, l.implicit, trust(t, "imap.test"))
	tls.expect("* OK")
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for _, c := range []*client{c, tls} {
		writers.Go(func() { trickle(c.conn, stop) }) // ends when stop is closed
	}
	for _, c := range []*client{c, tls} {
		c.bye(patience, "")
	}
	close(stop)
	writers.Wait()
}

// trickle writes a command that never ends, a byte at a time.
func trickle(conn net.Conn, stop <-chan struct{}) {
	ticker := time.NewTicker(300 * time.Millisecond)
	defer ticker.Stop()
	for _, b := range []byte("a LOGIN " + strings.Repeat("x", 1000)) {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		if _, err := conn.Write([]byte{b}); err != nil {
			return
		}
	}
}

// Clients that send without end are thrown out at once, long before the login
// timeout.
func TestSlowEndless(t *testing.T) {
	t.Parallel()
	l := runLB(t, options{servers: serversOf(sharedDovecots(t)[0]), global: `login_timeout = "10m"`})
	for name, start := range map[string]string{
		"line":            "a LOGIN ",
		"junk":            "",
		"literal":         "a LOGIN {4000000000+}\r\n",
		"literal of ID":   "a ID (\"name\" {4000000000+}\r\n",
		"SASL":            "a AUTHENTICATE PLAIN\r\n",
		"SASL with token": "a AUTHENTICATE XOAUTH2 ",
		"many literals":   "a LOGIN {4096+}\r\n" + strings.Repeat("x", 4096) + " {4096+}\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := greeted(t, l.plain)
			c.send(start)
			sent := flood(c.conn, 64<<20)
			if sent > 8<<20 {
				t.Errorf("%d bytes were taken", sent)
			}
			c.closed(patience) // a reset may have overtaken the BYE
		})
	}
	if n := l.debugGC("heap"); n > 64<<20 {
		t.Errorf("heap after the floods = %d", n)
	}

	// A literal that waits for its invitation is refused before it is sent.
	c := greeted(t, l.plain)
	for _, size := range []int{4000000000, 1 << 20, 99999999999999} {
		c.send(fmt.Sprintf("a LOGIN {%d}\r\n", size))
		if line := c.line(); strings.HasPrefix(line, "+") {
			t.Errorf("a literal of %d bytes was invited: %q", size, line)
		}
		c.close()
		c = greeted(t, l.plain)
	}
	c.close()
}

// flood writes until the other side has enough, and counts.
func flood(conn net.Conn, limit int) (sent int) {
	block := []byte(strings.Repeat("x", 32<<10))
	for sent < limit {
		conn.SetWriteDeadline(time.Now().Add(2 * time.Second))
		n, err := conn.Write(block)
		sent += n
		if err != nil {
			break
		}
	}
	return sent
}

// Half a record under TLS is as half a line.
func TestSlowRecordUnderTLS(t *testing.T) {
	t.Parallel()
	l := runLB(t, options{servers: serversOf(sharedDovecots(t)[0]), global: `login_timeout = "3s"`})
	var all []*client
	for range 50 {
		c := dialTLS(t, l.implicit, trust(t, "imap.test"))
		c.expect("* OK")
		raw := c.conn.(*tls.Conn).NetConn()
		if _, err := raw.Write([]byte("\x17\x03\x03\x00\x40half of it")); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	if now := l.usage(); now.goroutines > l.start.goroutines+5 {
		t.Errorf("50 half records: %d goroutines, without them %d", now.goroutines, l.start.goroutines)
	}
	for _, c := range all {
		c.bye(patience, "")
	}
}

// The third wrong password is answered late; others do not wait with it.
func TestSlowAnswers(t *testing.T) {
	t.Parallel()
	l := runLB(t, options{servers: serversOf(sharedDovecots(t)[0])})
	c := greeted(t, l.plain)
	user := newUser()
	c.refused("NO [AUTHENTICATIONFAILED]", "LOGIN %s wrong", user)
	c.refused("NO [AUTHENTICATIONFAILED]", "LOGIN %s wrong", user)
	began := time.Now()
	c.send("late LOGIN " + user + " wrong\r\n")
	if err := login(l.plain, newUser()); err != nil {
		t.Error(err)
	}
	if spent := time.Since(began); spent > 1500*time.Millisecond {
		t.Logf("another's login took %v meanwhile: the machine is slow", spent)
	}
	c.expect("late NO [AUTHENTICATIONFAILED]")
	if spent := time.Since(began); spent < 1900*time.Millisecond {
		t.Errorf("the third failure was answered after %v, want 2s", spent)
	}
	c.ok("LOGIN %s %s", user, password)
	c.logout()
}

package tests

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// A mail program's day: five connections of one user, one of them in IDLE, a
// delivery by another that the first hears of, and everybody works on.
func TestRelayMailProgram(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, to endpoint) {
		user := newUser()
		var all []*client
		for range 5 {
			c := dialTLS(t, to.implicit, trust(t, to.name))
			c.expect("* OK")
			c.ok("LOGIN %s %s", user, password)
			c.ok("SELECT INBOX")
			all = append(all, c)
		}
		idle := all[0]
		idle.send("i IDLE\r\n")
		idle.until("+ ")
		text := mail("news", 1000)
		all[1].ok("APPEND INBOX {%d+}\r\n%s", len(text), text)
		idle.until("* 1 EXISTS")
		idle.send("DONE\r\n")
		idle.until("i OK")
		for _, c := range all[1:] {
			c.ok("NOOP") // here the others hear of it
			if got := strings.Join(c.ok("FETCH 1 (UID BODY[HEADER.FIELDS (SUBJECT)])"), "\n"); !strings.Contains(got, "news") {
				t.Errorf("FETCH found %q, want the subject", got)
			}
		}
		for _, c := range all {
			c.logout()
		}
	})
}

// A big message goes in and comes out with every byte, plain and under TLS.
func TestRelayBigMessage(t *testing.T) {
	t.Parallel()
	const size = 20 << 20
	bothWays(t, func(t *testing.T, to endpoint) {
		text := bigMail(size)
		want := sha256.Sum256(text)
		for _, secure := range []bool{false, true} {
			c := dial(t, to.plain)
			if secure {
				c = dialTLS(t, to.implicit, trust(t, to.name))
			}
			c.expect("* OK")
			c.ok("LOGIN %s %s", newUser(), password)
			c.send(fmt.Sprintf("a APPEND INBOX {%d}\r\n", len(text)))
			c.expect("+ ")
			c.send(string(text) + "\r\n")
			c.expect("a OK")
			c.ok("SELECT INBOX")
			c.send("f FETCH 1 BODY.PEEK[]\r\n")
			got := c.fetched()
			if sum := sha256.Sum256(got); sum != want {
				t.Errorf("TLS %v: fetched %d bytes that differ from the %d appended", secure, len(got), len(text))
			}
			c.until("f OK")
			c.logout()
		}
	})
}

// bigMail is a message with random text, so that no byte can be taken for its
// neighbour.
func bigMail(size int) []byte {
	raw := make([]byte, size*3/4)
	rand.Read(raw)
	text := base64.StdEncoding.AppendEncode(nil, raw)
	b := bytes.NewBufferString("Subject: big\r\n\r\n")
	for len(text) > 0 {
		n := min(76, len(text))
		b.Write(text[:n])
		b.WriteString("\r\n")
		text = text[n:]
	}
	return b.Bytes()
}

// fetched reads the one literal of a FETCH.
func (c *client) fetched() []byte {
	c.t.Helper()
	line, _ := c.until("* 1 FETCH")
	m := literal.FindStringSubmatch(line)
	if m == nil {
		c.t.Fatalf("got %q, want a literal", line)
	}
	var size int
	fmt.Sscan(m[1], &size)
	b := make([]byte, size)
	c.conn.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.ReadFull(c.r, b); err != nil {
		c.t.Fatal(err)
	}
	return b
}

// The end of one direction is passed on; the other still works.
func TestRelayHalfClose(t *testing.T) {
	t.Parallel()
	d := runIMAPd(t, func(v *visit) {
		if !v.accepted() {
			return
		}
		for line := v.hear(); line != ""; line = v.hear() {
			v.say("* heard " + line)
		}
		v.say("* and that was the end")
	})
	l := runLB(t, options{servers: []server{{name: "s1", addr: d.addr}}})
	user := newUser()
	c := loggedIn(t, l.plain, user)
	c.send("x one\r\ny two\r\n")
	if err := c.conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, want := c.closed(patience), "* heard x one\r\n* heard y two\r\n* and that was the end\r\n"; got != want {
		t.Errorf("after the client's end came %q, want %q", got, want)
	}
	l.sessionEnd("user=" + user)
}

// The server ends its direction: what it said arrives, and what the client
// then says still reaches it.
func TestRelayServerHalfClose(t *testing.T) {
	t.Parallel()
	heard := make(chan string, 1)
	d := runIMAPd(t, func(v *visit) {
		if v.accepted() {
			v.hear()
			v.say("* last words")
			_ = v.conn.(*net.TCPConn).CloseWrite()
			heard <- v.hear()
		}
	})
	l := runLB(t, options{servers: []server{{name: "s1", addr: d.addr}}})
	c := loggedIn(t, l.plain, newUser())
	c.send("x first\r\n")
	c.expect("* last words")
	c.send("y second\r\n")
	select {
	case got := <-heard:
		if got != "y second" && got != "" {
			t.Errorf("the server heard %q", got)
		}
	case <-time.After(patience):
		t.Error("the server heard neither the client nor its end")
	}
	c.close()
}

// A server that dies is announced to the client, but only where a line may
// begin.
func TestRelayServerDies(t *testing.T) {
	t.Parallel()
	for _, end := range []struct {
		name, say, want string
	}{
		{"between lines", "* 3 EXISTS\r\n", "* 3 EXISTS\r\n* BYE [UNAVAILABLE]"},
		{"within a line", "* 3 EXI", "* 3 EXI"},
		{"within a literal", "* 1 FETCH (BODY[] {1000}\r\nline\r\n", "* 1 FETCH (BODY[] {1000}\r\nline\r\n"},
	} {
		t.Run(end.name, func(t *testing.T) {
			d := runIMAPd(t, func(v *visit) {
				if v.accepted() {
					v.hear()
					_, _ = io.WriteString(v.conn, end.say)
					v.hear()
					v.reset()
				}
			})
			l := runLB(t, options{servers: []server{{name: "s1", addr: d.addr}}})
			user := newUser()
			c := loggedIn(t, l.plain, user)
			c.send("x NOOP\r\n")
			got := make([]byte, len(end.say))
			c.conn.SetReadDeadline(time.Now().Add(patience))
			if _, err := io.ReadFull(c.r, got); err != nil {
				t.Fatal(err)
			}
			c.send("y NOOP\r\n")
			all := string(got) + c.closed(patience)
			if !strings.HasPrefix(all, end.want) || strings.Contains(all, "BYE") != strings.Contains(end.want, "BYE") {
				t.Errorf("the client got %q, want %q and no other BYE", all, end.want)
			}
			if state := l.sessionEnd("user=" + user)["state"]; state != "SD" {
				t.Errorf("state = %q, want SD: the server aborted during data", state)
			}
		})
	}
}

// A client that does not read stops its server, not the memory of imaplb; and
// when it reads at last it gets every byte. So it is the other way round.
func TestRelaySlowReader(t *testing.T) {
	t.Parallel()
	const (
		size  = 200 << 20
		grows = 24 << 20 // the race detector's own included
	)
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", secure), func(t *testing.T) {
			written := make(chan int, 1)
			d := runIMAPd(t, func(v *visit) {
				if v.accepted() {
					v.hear()
					v.say(fmt.Sprintf("* 1 FETCH (BODY[] {%d}", size))
					written <- v.stream("0123456789abcdef", size)
					v.say(")", "x OK done")
					v.hear()
				}
			})
			l := runLB(t, options{servers: []server{{name: "s1", addr: d.addr}}})
			c := dial(t, l.plain)
			if secure {
				c = dialTLS(t, l.implicit, trust(t, "imap.test"))
			}
			c.expect("* OK")
			c.ok("LOGIN %s %s", newUser(), password)
			before := l.rss()
			c.send("x FETCH 1 BODY[]\r\n")
			c.settled(l)
			if len(written) > 0 {
				t.Error("the server could write everything, nobody held it back")
			}
			if grown := l.rss() - before; grown > grows {
				t.Errorf("a client that does not read costs %d MB, want at most %d", grown>>20, grows>>20)
			}
			b := c.fetched()
			if want := bytes.Repeat([]byte("0123456789abcdef"), size/16); !bytes.Equal(b, want) {
				t.Error("what came at last is not what was sent")
			}
			c.until("x OK")
			c.close()
		})
	}
}

// settled waits until imaplb moves no more bytes.
func (c *client) settled(l *lb) {
	c.t.Helper()
	last, since := -1, time.Now()
	within(c.t, 30*time.Second, "the bytes come to a halt", func() bool {
		now := l.info("TotalBytesOut")
		if now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 500*time.Millisecond
	})
}

// A server that does not read stops its client.
func TestRelaySlowServer(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	d := runIMAPd(t, func(v *visit) {
		if v.accepted() {
			<-stop
		}
	})
	l := runLB(t, options{servers: []server{{name: "s1", addr: d.addr}}})
	c := loggedIn(t, l.plain, newUser())
	before := l.rss()
	c.send("x APPEND INBOX {200000000+}\r\n")
	if sent := flood(c.conn, 200<<20); sent > 64<<20 {
		t.Errorf("the client could send %d MB to a server that does not read", sent>>20)
	}
	if grown := l.rss() - before; grown > 24<<20 {
		t.Errorf("a server that does not read costs %d MB", grown>>20)
	}
	c.close()
	close(stop) // what the client sent is still on its way, so the server must end it
}

// A silent session ends after the time of its side; traffic begins it anew.
func TestRelayIdleTimeout(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{
		"client": {frontend: `timeout_client = "3s"`},
		"server": {backend: `timeout_server = "3s"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := runIMAPd(t, acceptAll)
			o.servers = []server{{name: "s1", addr: d.addr}}
			l := runLB(t, o)
			user := newUser()
			busy, silent := loggedIn(t, l.plain, user), loggedIn(t, l.plain, newUser())
			began := time.Now()
			ticker := time.NewTicker(250 * time.Millisecond) // what a slow machine adds to it is far from the limit
			defer ticker.Stop()
			for time.Since(began) < 4500*time.Millisecond {
				<-ticker.C
				busy.alive()
			}
			silent.bye(patience, "")
			began = time.Now()
			busy.alive()
			busy.bye(patience, "")
			if spent := time.Since(began); spent < 2500*time.Millisecond {
				t.Errorf("ended %v after the last word, want 3s", spent)
			}
			want := map[string]string{"client": "cD", "server": "sD"}[name]
			if state := l.sessionEnd("user=" + user)["state"]; state != want {
				t.Errorf("state = %q, want %q", state, want)
			}
		})
	}
}

// What the server sends with its OK, in the same segment, arrives behind it.
func TestRelayEarlyData(t *testing.T) {
	t.Parallel()
	d := runIMAPd(t, func(v *visit) {
		tag, ok := v.login(banner)
		if ok {
			_, _ = io.WriteString(v.conn, tag+" OK [CAPABILITY IMAP4rev1] in\r\n* OK [ALERT] early\r\n* 1 EXI")
			v.hear()
			_, _ = io.WriteString(v.conn, "STS\r\n")
			v.hear()
		}
	})
	l := runLB(t, options{servers: []server{{name: "s1", addr: d.addr}}})
	c := greeted(t, l.plain)
	c.send("a LOGIN " + newUser() + " " + password + "\r\nb NOOP\r\n")
	c.expect("a OK")
	c.expect("* OK [ALERT] early")
	c.expect("* 1 EXISTS")
	if said := strings.Join(d.said(), "\n"); !strings.HasSuffix(said, "b NOOP") {
		t.Errorf("the server heard %q, want the pipelined command last", said)
	}
	c.close()
}

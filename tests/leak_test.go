package tests

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	leakLogins  = 5000    // IMAPLB_LEAK sets another number
	leakClients = 16      // at once
	leakBytes   = 2 << 20 // of heap that a warm process may still grow by
)

// Many logins, good and bad, plain and under TLS, ended by either side, leave
// nothing behind: no goroutine, no descriptor, no memory.
func TestLeak(t *testing.T) {
	t.Parallel()
	total := leakLogins
	if s := os.Getenv("IMAPLB_LEAK"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		total = n
	}
	pair := sharedDovecots(t)
	l := runLB(t, options{servers: serversOf(pair[:]...), frontend: trusting})
	// The same users again and again: an entry of the table is no leak.
	var users []string
	for range 50 {
		users = append(users, newUser())
	}
	storm(t, l, users, 500) // buffers and tables get their size
	quiet(t, l)
	heap := l.debugGC("heap")
	l.start = l.usage() // finish waits until it is no more than that: a check may be under way here or there
	began := time.Now()
	storm(t, l, users, total)
	t.Logf("%d logins in %v", total, time.Since(began))
	quiet(t, l)
	if got := l.debugGC("heap"); got > heap+leakBytes {
		t.Errorf("heap after %d logins = %d, before %d", total, got, heap)
	}
	for _, server := range []string{"s1", "s2"} {
		if got := l.stat("mail", server, "scur"); got != "0" {
			t.Errorf("scur of %s = %s, want 0", server, got)
		}
	}
}

// storm does n logins.
func storm(t *testing.T, l *lb, users []string, n int) {
	t.Helper()
	var next atomic.Int64
	var clients sync.WaitGroup
	config := trust(t, "imap.test")
	config.ClientSessionCache = tls.NewLRUClientSessionCache(leakClients)
	for range leakClients {
		clients.Go(func() { // ends when n logins were done
			for i := int(next.Add(1)); i <= n && !t.Failed(); i = int(next.Add(1)) {
				if err := visitAs(l, users[i%len(users)], i, config); err != nil {
					t.Errorf("login %d: %v", i, err)
				}
			}
		})
	}
	clients.Wait()
}

// visitAs is one client of the storm; i chooses its manners.
func visitAs(l *lb, user string, i int, config *tls.Config) error {
	d := &net.Dialer{Timeout: patience}
	var conn net.Conn
	var err error
	if i%4 == 0 {
		conn, err = tls.DialWithDialer(d, "tcp", l.implicit, config)
	} else {
		conn, err = d.Dial("tcp", l.plain)
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(conn)
	if err := skipTo(r, "* OK"); err != nil {
		return err
	}
	secret, want := password, "a OK"
	if i%10 == 1 {
		secret, want = "wrong", "a NO"
	}
	if _, err := fmt.Fprintf(conn, "a LOGIN %s %s\r\n", user, secret); err != nil {
		return err
	}
	switch i % 20 {
	case 2:
		return nil // leaves in the middle of the login
	case 3:
		if c, ok := conn.(*net.TCPConn); ok {
			_ = c.SetLinger(0) // and not politely
		}
		return nil
	}
	if err := skipTo(r, want); err != nil {
		return err
	}
	if i%3 == 0 {
		return nil // leaves without a word
	}
	if _, err := io.WriteString(conn, "b LOGOUT\r\n"); err != nil {
		return err
	}
	return skipTo(r, "b OK")
}

// quiet waits until nobody is left.
func quiet(t *testing.T, l *lb) {
	t.Helper()
	within(t, 30*time.Second, "all sessions have ended", func() bool {
		return l.info("CurrConns") == 0 && strings.Count(l.ask("show sess"), "proto=") == 0
	})
}

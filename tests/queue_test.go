package tests

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// busyServer is a server whose logins take some time. It knows how many were
// under way at once.
type busyServer struct {
	*imapd
	now, most atomic.Int64
}

func runBusyServer(t *testing.T, each time.Duration) *busyServer {
	b := new(busyServer)
	b.imapd = runIMAPd(t, func(v *visit) {
		tag, ok := v.login(banner)
		if !ok { // a check
			return
		}
		n := b.now.Add(1)
		for old := b.most.Load(); n > old && !b.most.CompareAndSwap(old, n); old = b.most.Load() {
		}
		pause := time.NewTimer(each)
		<-pause.C
		b.now.Add(-1)
		v.say(tag + " OK [CAPABILITY IMAP4rev1 IDLE LITERAL+] Logged in")
		v.serve()
	})
	return b
}

// returning is a client that comes back whenever it loses its session, until
// stop is closed. in counts those that are in.
func returning(addr, user string, in *atomic.Int64, stop <-chan struct{}) {
	for {
		if conn, err := enter(addr, user); err == nil {
			in.Add(1)
			read := make(chan struct{})
			go readToEnd(conn, read) // ends with the connection
			select {
			case <-stop:
				_, _ = io.WriteString(conn, "z LOGOUT\r\n")
				<-read
				return
			case <-read:
				in.Add(-1)
			}
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}

func readToEnd(conn net.Conn, done chan<- struct{}) {
	defer close(done)
	_ = conn.SetDeadline(time.Time{})
	_, _ = io.Copy(io.Discard, bufio.NewReader(conn))
	conn.Close()
}

// A limit that is raised at run time lets in who waits; one that is lowered
// ends nobody's session.
func TestSetMaxconn(t *testing.T) {
	t.Parallel()
	d := sharedDovecots(t)[0]
	l := runLB(t, options{servers: []server{{"s1", d.addr, "maxconn = 1"}}})
	a := loggedIn(t, l.plain, newUser())
	b := greeted(t, l.plain)
	b.send("q LOGIN " + newUser() + " " + password + "\r\n")
	within(t, patience, "it waits", func() bool { return l.stat("mail", "BACKEND", "qcur") == "1" })
	l.ask("set maxconn server mail/s1 2")
	b.expect("q OK")
	l.ask("set maxconn server mail/s1 1")
	a.alive()
	b.alive()
	for set, back := range map[string]string{
		"set maxconn frontend plain 2": "set maxconn frontend plain 0",
		"set maxconn global 2":         "set maxconn global 0",
	} {
		l.ask(set)
		c := dial(t, l.plain)
		if c.hears(300 * time.Millisecond) {
			t.Errorf("%s: the third client was greeted", set)
		}
		l.ask(back)
		c.expect("* OK")
		c.close()
		within(t, patience, "it is gone", func() bool { return l.info("CurrConns") == 2 })
	}
	if got := l.stat("mail", "s1", "slim"); got != "1" {
		t.Errorf("slim %s, want 1", got)
	}
	a.logout()
	b.logout()
}

// A login that waits costs little, and when there is room all get in.
func TestQueueCostsLittle(t *testing.T) {
	const waiting, bytesEach = 4000, 4 << 10
	d := runIMAPd(t, acceptAll)
	l := runLB(t, options{
		global: `login_timeout = "5m"`, backend: `timeout_queue = "5m"`,
		servers: []server{{"s1", d.addr, "maxconn = 1"}},
	})
	first := loggedIn(t, l.plain, newUser())
	before := l.debugGC("heap")
	all := make([]*client, waiting)
	for i := range all {
		all[i] = greeted(t, l.plain)
		all[i].send("q LOGIN " + newUser() + " " + password + "\r\n")
	}
	within(t, patience, "all wait", func() bool { return l.stat("mail", "BACKEND", "qcur") == fmt.Sprint(waiting) })
	each := (l.debugGC("heap") - before) / waiting
	t.Logf("%d bytes of heap for each login that waits", each)
	if each > bytesEach {
		t.Errorf("a login that waits costs %d bytes, at most %d", each, bytesEach)
	}
	l.ask("set maxconn server mail/s1 0")
	for _, c := range all {
		c.expect("q OK")
	}
	for _, c := range all {
		c.close()
	}
	first.logout()
}

package tests

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// nameserver is a DNS server on loopback whose answers a test changes. Shared.
type nameserver struct {
	addr string

	mu    sync.Mutex
	names map[string][]netip.Addr
	mute  bool // it fails
}

// runNameserver starts one that knows no name.
func runNameserver(t *testing.T) *nameserver {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	n, done := &nameserver{addr: c.LocalAddr().String(), names: map[string][]netip.Addr{}}, make(chan struct{})
	go func() { // ends when the cleanup closes the socket
		defer close(done)
		b := make([]byte, 2048)
		for {
			size, from, err := c.ReadFromUDP(b)
			if err != nil {
				return
			}
			if answer := n.answer(b[:size]); answer != nil {
				_, _ = c.WriteToUDP(answer, from)
			}
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return n
}

// set lets a name stand for addresses, none is no such name.
func (n *nameserver) set(name string, addrs ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names[name] = nil
	for _, a := range addrs {
		n.names[name] = append(n.names[name], netip.MustParseAddr(a))
	}
}

func (n *nameserver) fail(fails bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mute = fails
}

// answer is the answer to a question, with a TTL of 0 s.
func (n *nameserver) answer(query []byte) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	a := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
	addrs := n.names[strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))]
	switch {
	case n.mute:
		a.RCode = dnsmessage.RCodeServerFailure
	case len(addrs) == 0:
		a.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA:
		for _, ip := range addrs {
			h := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET}
			a.Answers = append(a.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: ip.As4()}})
		}
	}
	b, err := a.Pack()
	if err != nil {
		return nil
	}
	return b
}

// forward passes connections to addr on to a Dovecot, so that it has several
// addresses of the same port.
func forward(t *testing.T, addr, to string) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() { // ends when the cleanup closes the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", to)
			if err != nil {
				c.Close()
				continue
			}
			go pump(c, s)
			go pump(s, c)
		}
	}()
}

// pump copies until one side ends.
func pump(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 4096)
	for {
		n, err := from.Read(b)
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// A name that stands for nothing does not stop the start; its server is there
// when it has an address. One that moves to another address keeps its name and
// its users, whose sessions at the old address end; and a nameserver that
// fails, or has lost the name, changes nothing.
func TestNameOfAServer(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	ns := runNameserver(t)
	addr := freeAddr(t)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	forward(t, "127.0.0.2:"+port, pair[0].addr)
	forward(t, "127.0.0.3:"+port, pair[0].addr)
	o := options{
		servers: []server{{"s1", "imap.disc.test:" + port, ""}},
		global:  `nameservers = ["` + ns.addr + `"]` + "\nshutdown_spread = \"0s\"",
	}
	l := newLB(t, o)
	l.wantErrors = true // no server is available at the start
	l.run()
	want := func(column, value string) {
		t.Helper()
		within(t, patience, column+" is "+value, func() bool { return l.stat("mail", "s1", column) == value })
	}
	want("status", "MAINT (resolution)")
	ns.set("imap.disc.test", "127.0.0.3")
	want("status", "UP")
	want("addr", "127.0.0.3:"+port)
	user := newUser()
	c := loggedIn(t, l.plain, user)
	l.tell("set server mail/s1 weight 7")

	ns.fail(true)
	within(t, patience, "a failing look-up in the log", func() bool {
		return strings.Contains(l.log(), "name not resolved, its last addresses stay\" name=imap.disc.test addrs=[127.0.0.3]")
	})
	c.alive()
	l.ask("reload")
	want("addr", "127.0.0.3:"+port)
	c.alive()
	l.tell("set server mail/s1 weight 7")

	ns.set("imap.disc.test", "127.0.0.3", "127.0.0.2")
	ns.fail(false)
	c.bye(patience, "")
	want("addr", "127.0.0.2:"+port)
	want("status", "UP")
	if w := l.stat("mail", "s1", "uweight"); w != "7" {
		t.Errorf("the weight set at run time is %s, want 7", w)
	}
	c = loggedIn(t, l.plain, user)
	if home := l.home(user); home != "s1" {
		t.Errorf("home is %s, want s1", home)
	}
	ns.set("imap.disc.test")
	within(t, patience, "no such name", func() bool { return strings.Count(l.log(), "name not resolved, its last addresses stay") == 3 })
	c.alive()
}

// With resolve = "all" each address of a name is a server, named by it; one
// that comes or goes leaves the others alone.
func TestAllAddressesOfAName(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	ns := runNameserver(t)
	_, port, err := net.SplitHostPort(freeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	forward(t, "127.0.0.2:"+port, pair[0].addr)
	forward(t, "127.0.0.3:"+port, pair[1].addr)
	ns.set("all.disc.test", "127.0.0.2")
	l := newLB(t, options{
		servers: []server{{"d", "all.disc.test:" + port, `resolve = "all"`}},
		global:  `nameservers = ["` + ns.addr + `"]` + "\nshutdown_spread = \"0s\"",
	})
	l.wantErrors = true // no server takes new users while the only one has weight 0
	l.run()
	up := func(name string) {
		t.Helper()
		within(t, patience, name+" is up", func() bool {
			return strings.Contains(l.ask("show stat"), "mail,"+name+",") && l.stat("mail", name, "status") == "UP"
		})
	}
	up("d-127.0.0.2")
	user := newUser()
	c := loggedIn(t, l.plain, user)
	l.tell("set server mail/d-127.0.0.2 weight 0")
	ns.set("all.disc.test", "127.0.0.3", "127.0.0.2")
	up("d-127.0.0.3")
	c.alive()
	other := newUser()
	loggedIn(t, l.plain, other)
	if home := l.home(other); home != "d-127.0.0.3" {
		t.Errorf("a new user is on %s, though the other server has weight 0", home)
	}
	ns.set("all.disc.test", "127.0.0.3")
	within(t, patience, "the server is gone", func() bool { return !strings.Contains(l.ask("show stat"), "mail,d-127.0.0.2,") })
	c.alive()
	loggedIn(t, l.plain, user)
	c.bye(patience, "")
	if home := l.home(user); home != "d-127.0.0.3" {
		t.Errorf("home is %s, want the server that is left", home)
	}
}

package tests

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mesh is three peers and three Dovecots, each on a host of its own: what
// breaks between machines can be broken. Owned by the goroutine of its test.
type mesh struct {
	*fleet
	net      *network
	dovecots []*dovecot
	outer    testing.TB // what the processes end with
	cut      []string   // peers whose cable to the others is out
	blocked  [][2]int   // Dovecots that do not answer a peer
	stopped  []*lb      // by SIGSTOP
}

// meshSize is how many peers there are, and how many Dovecots.
const meshSize = 3

func runMesh(t testing.TB) *mesh {
	t.Helper()
	need(t, "dovecot")
	m := &mesh{net: newNetwork(t), outer: t}
	o := options{
		peers: `peer_grace = "10s"`,
		backend: "timeout_connect = \"1s\"\nretries = 1\n" +
			`check = { inter = "1s", fastinter = "500ms", downinter = "500ms", rise = 2, fall = 3, timeout = "1s" }`,
	}
	for i := range meshSize {
		at := m.net.add(fmt.Sprintf("dovecot%d", i+1), dovecotHost+i, "mail")
		m.dovecots = append(m.dovecots, startDovecotAt(t, at, manySessions))
	}
	o.servers = serversOf(m.dovecots...)
	m.fleet = &fleet{t: t, key: newKey(), o: o}
	for i := range meshSize {
		m.addrs = append(m.addrs, m.net.addr("peers", lbHost+i)+":7946")
	}
	for i := range meshSize {
		o.at = m.net.add(fmt.Sprintf("lb%d", i+1), lbHost+i, "mail", "peers")
		m.add(i, o).begin()
	}
	for _, l := range m.lbs {
		l.ready()
	}
	m.met(m.lbs...)
	return m
}

// run runs a test of the mesh, and repairs what it has broken.
func (m *mesh) run(t *testing.T, name string, f func(t *testing.T, m *mesh)) {
	t.Run(name, func(t *testing.T) {
		m.use(t)
		defer m.use(m.outer)
		defer m.repair()
		f(t, m)
	})
}

// use has failures end that test.
func (m *mesh) use(t testing.TB) {
	m.fleet.use(t)
	m.net.t = t
}

func (m *mesh) repair() {
	for _, l := range m.stopped {
		_ = l.cmd.Process.Signal(syscall.SIGCONT) // it may have been killed since
	}
	for _, name := range m.cut {
		m.net.cable(name, "peers", "up")
	}
	for _, b := range m.blocked {
		m.unblock(b[0], b[1])
	}
	m.stopped, m.cut, m.blocked = nil, nil, nil
	for _, l := range m.lbs {
		if l.dead() {
			l.run()
		}
	}
	m.met(m.lbs...)
}

// stop halts a peer as a machine that swaps does; resume ends it.
func (m *mesh) stop(l *lb) {
	m.stopped = append(m.stopped, l)
	l.signal(syscall.SIGSTOP)
}

func (m *mesh) resume(l *lb) { l.signal(syscall.SIGCONT) }

// part cuts a peer off from the other peers, not from clients and servers.
func (m *mesh) part(i int) {
	name := fmt.Sprintf("lb%d", i+1)
	m.cut = append(m.cut, name)
	m.net.cable(name, "peers", "down")
}

// block has a Dovecot not answer one peer any more.
func (m *mesh) block(dovecot, lb int) {
	m.blocked = append(m.blocked, [2]int{dovecot, lb})
	m.net.block(fmt.Sprintf("dovecot%d", dovecot+1), m.lbs[lb].at.host)
}

func (m *mesh) unblock(dovecot, lb int) {
	m.net.unblock(fmt.Sprintf("dovecot%d", dovecot+1), m.lbs[lb].at.host)
}

// logins counts a user's logins at each Dovecot.
func (m *mesh) logins() (counts []map[string]int) {
	for _, d := range m.dovecots {
		count := map[string]int{}
		for _, s := range d.stays(m.t) {
			count[s.user]++
		}
		counts = append(counts, count)
	}
	return counts
}

// wantLogins waits until the Dovecots have logged n logins of each user, and
// fails the test if one was not at his home.
func (m *mesh) wantLogins(homes map[string]string, n int) {
	m.t.Helper()
	within(m.t, patience, "all logins in the logs", func() bool {
		counts := m.logins()
		for user := range homes {
			sum := 0
			for _, c := range counts {
				sum += c[user]
			}
			if sum < n {
				return false
			}
		}
		return true
	})
	strayed := 0
	for i, count := range m.logins() {
		for user, home := range homes {
			if home != m.o.servers[i].name {
				strayed += count[user]
			}
		}
	}
	if strayed > 0 {
		m.t.Errorf("%d of %d logins were not at the user's home", strayed, n*len(homes))
	}
}

// enterAll opens each sessions of every user, by turns through these peers,
// some at once; it returns the connections and the errors.
func enterAll(users []string, each int, lbs ...*lb) (conns []net.Conn, errs []error) {
	const atOnce = 8
	type entry struct {
		conn net.Conn
		err  error
	}
	jobs, results := make(chan [2]string, len(users)*each), make(chan entry, len(users)*each)
	for i := range len(users) * each {
		jobs <- [2]string{lbs[i%len(lbs)].plain, users[i/each]}
	}
	close(jobs)
	for range atOnce {
		go func() { // ends with the jobs
			for j := range jobs {
				conn, err := enter(j[0], j[1])
				results <- entry{conn, err}
			}
		}()
	}
	for range len(users) * each {
		if e := <-results; e.err != nil {
			errs = append(errs, e.err)
		} else {
			conns = append(conns, e.conn)
		}
	}
	return conns, errs
}

// enter is enterAll for logins that must succeed. The sessions end with the
// test.
func (m *mesh) enter(homes map[string]string, each int, lbs ...*lb) []net.Conn {
	m.t.Helper()
	conns, errs := enterAll(slices.Sorted(maps.Keys(homes)), each, lbs...)
	m.t.Cleanup(func() { closeAll(conns) })
	if len(errs) > 0 {
		m.t.Fatalf("%d of %d logins failed, the first with: %v", len(errs), len(homes)*each, errs[0])
	}
	return conns
}

func closeAll(conns []net.Conn) {
	for _, c := range conns {
		c.Close()
	}
}

// ended waits until the other side has ended these sessions, and returns how
// many did not within limit.
func ended(conns []net.Conn, limit time.Duration) (left int) {
	deadline := time.Now().Add(limit)
	var b [512]byte
	for _, c := range conns {
		c.SetReadDeadline(deadline)
		var err error
		for err == nil {
			_, err = c.Read(b[:])
		}
		if e, ok := err.(net.Error); ok && e.Timeout() {
			left++
		}
	}
	return left
}

// sees tells what peer l says of the state of another one.
func (m *mesh) sees(l *lb, name, state string) func() bool {
	return func() bool { return l.peer(name)["state"] == state }
}

// other is a server that is not this one.
func (m *mesh) other(home string) string {
	for _, s := range m.o.servers {
		if s.name != home {
			return s.name
		}
	}
	return ""
}

// frozen tells whether a peer moves nobody.
func frozen(l *lb) bool { return strings.Contains(l.ask("show peers"), "; frozen: ") }

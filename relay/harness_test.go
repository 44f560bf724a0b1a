package relay

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"testing"
	"time"

	"imaplb/loop"
)

// patient is how long a test waits for what must happen. It passes in full
// only if the test fails.
const patient = 15 * time.Second

// security says how the client or the server is reached.
type security struct{ client, server bool }

// hours are limits that no test reaches.
var hours = Timeouts{Client: time.Hour, Server: time.Hour}

// joined is a pair between a client and a server of the test.
type joined struct {
	Pair
	client, server net.Conn
	group          *loop.Group
	ended          chan Reason
	started        chan bool
}

// PairEnded implements Owner.
func (j *joined) PairEnded(p *Pair, why Reason) {
	if p != &j.Pair {
		why = numReasons
	}
	j.ended <- why
}

// room is what pairs are made in: a loop, a listener and a server.
type room struct {
	group   *loop.Group
	clients *loop.Listener
	servers net.Listener
	next    chan *joined // to be joined with the next client
	limits  *Timeouts
	waiting Waiting
	slots   *loop.Handshakes
	sec     security
	// tls of the server's and the client's side of a connection.
	serverTLS, clientTLS *tls.Config
}

// newRoom gives pairs with those limits. The zero limits are long ones.
func newRoom(tb testing.TB, limits Timeouts, sec security) *room {
	tb.Helper()
	if limits == (Timeouts{}) {
		limits = hours
	}
	g, err := loop.NewGroup(1, loop.Auto, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	g.Start()
	r := &room{group: g, next: make(chan *joined, 1), limits: &limits, sec: sec, slots: loop.NewHandshakes(4, 2)}
	tb.Cleanup(func() { g.Stop(); r.slots.Close() })
	if sec.client || sec.server {
		r.serverTLS, r.clientTLS = tlsConfigs(tb)
	}
	if r.servers, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = r.servers.Close() })
	if r.clients, err = loop.Listen(tb.Context(), "127.0.0.1:0", &loop.SocketConfig{}); err != nil {
		tb.Fatal(err)
	}
	if err := r.clients.Start(g, r); err != nil {
		tb.Fatal(err)
	}
	return r
}

func (r *room) Admit() bool            { return true }
func (r *room) Opened()                {}
func (r *room) Exhausted(error) []byte { return nil }

// Accepted dials the server for a client.
func (r *room) Accepted(c *loop.Conn, _ netip.AddrPort) loop.Handler {
	j := <-r.next // put there before the client dialled
	connect := func(error) {
		c.Pause()
		to := loop.AddrFrom(r.servers.Addr().(*net.TCPAddr).AddrPort())
		if _, err := c.Loop().Dial(to, netip.Addr{}, &loop.SocketConfig{}, &dialled{r: r, j: j, client: c}); err != nil {
			c.Close()
		}
	}
	if r.sec.client {
		c.StartServerTLS(r.serverTLS, r.slots, connect)
	} else {
		connect(nil)
	}
	return idle{}
}

// idle is a handler that hears nothing.
type idle struct{}

func (idle) Data(*loop.Conn, []byte)  {}
func (idle) EOF(*loop.Conn)           {}
func (idle) Drained(*loop.Conn)       {}
func (idle) Closed(*loop.Conn, error) {}

// dialled starts the pair when the server's connection stands.
type dialled struct {
	idle
	r      *room
	j      *joined
	client *loop.Conn
}

func (d *dialled) Connected(c *loop.Conn) {
	start := func(error) {
		d.j.Start(d.client, c, d.r.limits, d.j, d.r.waiting)
		d.j.started <- true
	}
	if d.r.sec.server {
		c.StartClientTLS(d.r.clientTLS, d.r.slots, start)
	} else {
		start(nil)
	}
}

// join makes a pair. It returns when the pair has started.
func (r *room) join(tb testing.TB) *joined {
	tb.Helper()
	j := &joined{group: r.group, ended: make(chan Reason, 10), started: make(chan bool, 1)}
	r.next <- j
	var err error
	if j.client, err = net.DialTimeout("tcp", r.clients.Addr(), patient); err != nil {
		tb.Fatal(err)
	}
	if r.sec.client {
		s := tls.Client(j.client, r.clientTLS)
		if err := s.Handshake(); err != nil {
			tb.Fatal(err)
		}
		j.client = s
	}
	if j.server, err = r.servers.Accept(); err != nil {
		tb.Fatal(err)
	}
	if r.sec.server {
		s := tls.Server(j.server, r.serverTLS)
		if err := s.Handshake(); err != nil {
			tb.Fatal(err)
		}
		j.server = s
	}
	wait(tb, j.started, "the pair")
	for _, c := range []net.Conn{j.client, j.server} {
		tb.Cleanup(func() { _ = c.Close() })
		if _, ok := tb.(*testing.T); ok {
			_ = c.SetDeadline(time.Now().Add(2 * patient))
		}
	}
	return j
}

// do runs f on the pair's loop.
func (j *joined) do(f func()) { j.group.Loops[0].Do(f) }

func wait[T any](tb testing.TB, ch <-chan T, what string) T {
	tb.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patient):
		tb.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// eventually waits until ok, for what has no channel to wait on.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patient); !ok(); <-tick.C {
		if time.Now().After(end) {
			tb.Fatalf("waited in vain until %s", what)
		}
	}
}

// endsOnce waits for the end, for both connections to be closed, and that it
// was told once, with that reason.
func (j *joined) endsOnce(tb testing.TB, want Reason) {
	tb.Helper()
	if got := wait(tb, j.ended, "PairEnded"); got != want {
		tb.Errorf("ended with %q, want %q", got, want)
	}
	j.over(tb)
}

// over checks that nothing is left and nothing more is told.
func (j *joined) over(tb testing.TB) {
	tb.Helper()
	_ = j.client.Close()
	_ = j.server.Close()
	eventually(tb, "both connections are closed", func() bool { return j.group.Loops[0].Conns() == 0 })
	j.do(func() { j.Kill(Killed) }) // an operator may be late
	select {
	case why := <-j.ended:
		tb.Errorf("ended again, with %q", why)
	default:
	}
}

func send(tb testing.TB, c io.Writer, s string) {
	tb.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		tb.Fatal(err)
	}
}

func expect(tb testing.TB, c io.Reader, want string) {
	tb.Helper()
	b := make([]byte, len(want))
	if n, err := io.ReadFull(c, b); err != nil || string(b) != want {
		tb.Fatalf("read %.80q, %v; want %.80q", b[:n], err, want)
	}
}

// rest reads until the end, which has to be an orderly one.
func rest(tb testing.TB, c io.Reader) string {
	tb.Helper()
	b, err := io.ReadAll(c)
	if err != nil {
		tb.Errorf("after %.80q: %v", b, err)
	}
	return string(b)
}

// tcp is the connection below TLS.
func tcp(c net.Conn) *net.TCPConn {
	if s, ok := c.(*tls.Conn); ok {
		c = s.NetConn()
	}
	return c.(*net.TCPConn)
}

// reset closes a connection so that the other side gets a reset.
func reset(c net.Conn) {
	_ = tcp(c).SetLinger(0)
	_ = tcp(c).Close()
}

// tlsConfigs are a server's and a client's, that fit each other.
func tlsConfigs(tb testing.TB) (server, client *tls.Config) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"imap.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, DynamicRecordSizingDisabled: true}
	client = &tls.Config{RootCAs: pool, ServerName: "imap.test"}
	return server, client
}

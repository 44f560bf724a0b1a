package stats

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imaplb/sticktable"
)

// noon is when everything in these tests happens.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// A snapshot is a Node whose numbers stand still. It notes what it is told.
type snapshot struct {
	info     Info
	proxies  []Proxy
	tables   []*sticktable.Table
	sessions []Session
	fail     error // what changes answer
	calls    []string
	cluster  Cluster
	events   []string
	ready    bool
	why      string
}

func (n *snapshot) Info() Info                  { return n.info }
func (n *snapshot) Ready() (bool, string)       { return n.ready, n.why }
func (n *snapshot) Proxies() []Proxy            { return n.proxies }
func (n *snapshot) Tables() []*sticktable.Table { return n.tables }

func (n *snapshot) Sessions(f func(Session) bool) {
	for _, s := range n.sessions {
		if !f(s) {
			return
		}
	}
}

func (n *snapshot) UserSessions(user string, f func(Session) bool) {
	n.Sessions(func(s Session) bool { return s.User != user || f(s) })
}

func (n *snapshot) note(format string, a ...any) {
	n.calls = append(n.calls, fmt.Sprintf(format, a...))
}

func (n *snapshot) SetState(o Order, backend, server, state string) error {
	n.note("state %s/%s %s%s", backend, server, state, scope(o))
	return n.fail
}

func (n *snapshot) SetWeight(o Order, backend, server string, weight int) error {
	n.note("weight %s/%s %d%s", backend, server, weight, scope(o))
	return n.fail
}

func (n *snapshot) SetGlobalMaxconn(o Order, max int) error {
	n.note("maxconn global %d%s", max, scope(o))
	return n.fail
}

func (n *snapshot) SetFrontendMaxconn(o Order, frontend string, max int) error {
	n.note("maxconn frontend %s %d%s", frontend, max, scope(o))
	return n.fail
}

func (n *snapshot) SetServerMaxconn(o Order, backend, server string, max int) error {
	n.note("maxconn server %s/%s %d%s", backend, server, max, scope(o))
	return n.fail
}

func (n *snapshot) Limits() []Limit {
	return []Limit{
		{Backend: "mail", Server: "mail1", Kind: "maxconn", All: 500, Here: 300, UsedHere: 2, Used: 5, Parts: []LimitPart{{"lb1", 300, 2, 2}, {"lb 2", 200, 3, 9}}},
		{Backend: "mail", Server: "mail1", Kind: "login_rate", All: 50, Here: 50, UsedHere: 1, Used: 1},
		{Backend: "other", Server: "o1", Kind: "maxlogins", All: 10, Here: 10},
	}
}

func (n *snapshot) Shutdown(id uint64) bool {
	n.note("shutdown %d", id)
	for _, s := range n.sessions {
		if s.ID == id {
			return true
		}
	}
	return false
}

func (n *snapshot) ShutdownServer(backend, server string) (int, error) {
	n.note("shutdown %s/%s", backend, server)
	return 2, n.fail
}

func (n *snapshot) ClearTable(o Order, table, key string) error {
	n.note("clear %s%s%s", table, strings.TrimRight(" "+key, " "), scope(o))
	if key == "" {
		n.tables[0].Clear()
	} else {
		n.tables[0].Delete(key)
	}
	return n.fail
}

func (n *snapshot) Move(_ context.Context, o Order, m Move) error {
	n.note("move %s of %s to %s/%s%s", m.User, m.Table, m.Backend, m.Server, scope(o))
	return n.fail
}

func (n *snapshot) Cluster() Cluster { return n.cluster }

func (n *snapshot) Events(k int) []string {
	return n.events[max(len(n.events)-k, 0):]
}

func (n *snapshot) ForgetPeer(_ Order, name string) error {
	n.note("forget %s", name)
	return n.fail
}

func (n *snapshot) AddKeys(_ Order) (int, error) {
	n.note("add keys")
	return 1, n.fail
}

func (n *snapshot) UseKey(_ Order, fingerprint string) error {
	n.note("use key %s", fingerprint)
	return n.fail
}

func (n *snapshot) RemoveKey(_ Order, fingerprint string) error {
	n.note("remove key %s", fingerprint)
	return n.fail
}

// scope tells in a note for whom an order is.
func scope(o Order) string {
	if o.Local {
		return " local"
	}
	return ""
}

func (n *snapshot) Reload() (string, error) {
	n.note("reload")
	return "certificates: 1 new\n\nservers: mail3 added", n.fail
}

var errFaults = errors.New("imaplb.toml:3: frontend.imaps.backend: no backend \"mial\"\nimaplb.toml:9: backend.mail: no servers")

// newSnapshot is one frontend, two backends, a table and three sessions.
func newSnapshot() *snapshot {
	table := sticktable.New("users", sticktable.Config{Size: 102400, Expire: 30 * time.Minute}, "lb1")
	at := noon.Add(-90 * time.Second)
	for _, u := range [...]struct{ user, server string }{{"alice@example.org", "mail1"}, {"bob@example.org", "mail2"}, {"carol x", "mail1"}} {
		if err := table.Set(at, u.user, u.server); err != nil {
			panic(err)
		}
	}
	table.Enter(at, "alice@example.org", "mail1")
	table.Enter(noon.Add(-30*time.Second), "alice@example.org", "mail1")
	sources := sticktable.New("sources", sticktable.Config{
		Key: "src", Size: 1024, Expire: 30 * time.Minute, Store: []string{"conn_cnt", "conn_cur", "conn_rate(10s)", "bytes_in_cnt", "gpc0", "gpt0", "auth_fail_rate(60s)"},
	}, "lb1")
	var v sticktable.Values
	sources.Count(noon, "192.0.2.7", &sticktable.Counts{Conns: 3, Cur: 2, In: 900, AuthFails: 1}, &v)
	sources.Count(at, "2001:db8::", &sticktable.Counts{Conns: 1}, &v)
	return &snapshot{
		info:    snapshotInfo(),
		proxies: snapshotProxies(),
		cluster: snapshotCluster(),
		events:  []string{"2026-11-23T11:59:00Z lb2 admin uid=0: mail/mail2 drain", "2026-11-23T11:59:58Z lb1: peer lb3 is dead"},
		tables:  []*sticktable.Table{table, sources},
		sessions: []Session{
			{ID: 0x1a, Proto: "tcpv4", Src: "192.0.2.7:51000", Frontend: "imaps", Backend: "mail", Server: "mail1", User: "alice@example.org", State: "relay",
				TLS: "TLSv1.3", Start: noon.Add(-62 * time.Minute), Idle: 2 * time.Minute, Expires: 29 * time.Minute, BytesIn: 900, BytesOut: 81000, FDClient: 18, FDServer: 19},
			{ID: 0x1b, Proto: "tcpv6", Src: "[2001:db8::7]:51001", Frontend: "imaps", Backend: "mail", Server: "mail1", User: "alice@example.org", State: "relay",
				Start: noon.Add(-30 * time.Second), Expires: 31 * time.Minute, FDClient: 20, FDServer: 21},
			{ID: 0x1c, Proto: "unix", Src: "unix:1", Frontend: "imaps", State: "login", Start: noon.Add(-3 * time.Second), Expires: 57 * time.Second, FDClient: 22, FDServer: -1},
		},
	}
}

func snapshotCluster() Cluster {
	return Cluster{
		Name: "imaplb", Self: "lb1", Addr: "10.0.0.1:7946", Since: noon.Add(-time.Hour), Ready: true,
		Learned: "learned 3 entries from lb2 at the start", Alive: 2, Known: 3,
		Peers: []Peer{
			{Name: "lb2", Addr: "10.0.0.2:7946", State: "alive", Link: "up", Since: noon.Add(-10 * time.Minute), Lag: 310 * time.Microsecond,
				Offset: -2 * time.Millisecond, Agreed: noon.Add(-12 * time.Second), Version: 1, UpdatesSent: 40, UpdatesReceived: 50, Repaired: 3,
				Connects: 1, BytesIn: 7000, BytesOut: 6000, Unlike: []string{"sources", "users"}},
			{Name: "lb3", Addr: "10.0.0.3:7946", State: "dead", Link: "down", Since: noon.Add(-2 * time.Second), Dropped: 1, Connects: 2},
		},
		Votes:   []Vote{{Backend: "mail", Server: "mail1", Up: true, For: []string{"lb1"}, Against: []string{"lb2"}}},
		Missing: []Elsewhere{{Backend: "mail", Server: "mail9", Peers: []string{"lb2", "lb3"}}},
		Refused: Refused{Facts: 4, WrongKey: 1, Ahead: 2},
		Keys:    []Key{{"0a1b2c3d", true}, {"4e5f6071", false}},
	}
}

func snapshotInfo() Info {
	return Info{
		Version: "3.0.0-imaplb0.1.0", ReleaseDate: "2026/11/23", Start: noon.Add(-(26*time.Hour + 3*time.Minute + 4*time.Second)), Now: noon,
		Pid: 4711, Threads: 2, UlimitN: 20000, Maxconn: 9000, HardMaxconn: 9900, Node: "lb1", Listeners: 2,
		CurrConns: 3, CumConns: 150, CumReq: 120, CurrSSL: 1, CumSSL: 40, SSLReused: 10, ConnRate: 5, ConnRateMax: 50, SessRate: 4, SessRateMax: 40,
		SSLRate: 1, SSLRateMax: 9, BytesOut: 1 << 33, BytesIn: 1 << 20, BytesRate: 1000, Goroutines: 17, HeapBytes: 3 << 20, SysBytes: 12 << 20, MaxconnHits: 1,
	}
}

func snapshotProxies() []Proxy {
	return []Proxy{
		{Kind: KindFrontend, Name: "imaps", ID: 2, Mode: "imap", Row: Row{Name: "FRONTEND", Status: "OPEN", Scur: 3, Smax: 12, Slim: 9000, Stot: 150, Bin: 1 << 20, Bout: 1 << 33,
			Dreq: 2, Ereq: 3, Rate: 4, RateMax: 40, ConnRate: 5, ConnRateMax: 50, ConnTot: 151, Dcon: 1, AuthOK: 118, AuthFail: 2, TLS: 1}},
		{Kind: KindBackend, Name: "mail", ID: 3, Mode: "imap", Algo: "hash", Table: "users",
			Row: Row{Name: "BACKEND", Status: "UP", Weight: 100, Effective: 100, Act: 1, Scur: 2, Smax: 9, Stot: 118, Bin: 900, Bout: 81000, Lbtot: 118, ChkDown: 1, LastChange: 3261, Lastsess: 30, AuthOK: 118, AuthFail: 2},
			Servers: []Row{
				{Name: "mail1", ID: 1, Status: "UP", Addr: "10.0.0.11:143", Admin: "ready", Weight: 100, Effective: 100, InitialWeight: 100, Act: 1, Scur: 2, Smax: 9, Slim: 500, Stot: 118, Lbtot: 118, Tags: []string{"ssd", "archive"},
					Lastsess: 30, Ctime: 1, Ttime: 5000, CheckStatus: "L4OK", CheckDesc: "Layer4 check passed", CheckRise: 2, CheckFall: 3, CheckHealth: 4, LastChange: 3261, Connect: 120},
				{Name: "mail2", ID: 2, Status: "DOWN 1/2", Addr: "[2001:db8::12]:143", Admin: "ready", Weight: 100, Effective: 100, InitialWeight: 100, Act: 1, Lastsess: -1, CheckStatus: "L4CON",
					CheckDesc: "Layer4 connection problem", LastChk: "Connection refused, \"again\"\n", CheckRise: 2, CheckFall: 3, CheckHealth: 1, ChkFail: 4, ChkDown: 1, LastChange: 17, Downtime: 17},
				{Name: "mail3", ID: 3, Status: "MAINT", Addr: "10.0.0.13:143", Admin: "maint", FromFile: true, Weight: 1, Effective: 1, InitialWeight: 1, Bck: 1, Lastsess: -1, CheckStatus: "INI"},
			}},
		{Kind: KindBackend, Name: "other", ID: 4, Mode: "imap", Algo: "roundrobin", Row: Row{Name: "BACKEND", Status: "UP", Weight: 60, Effective: 60, Act: 2, Lastsess: -1},
			Servers: []Row{
				{Name: "o1", ID: 1, Status: "no check", Addr: "unix", Admin: "ready", Weight: 50, Effective: 50, InitialWeight: 100, Act: 1, Lastsess: -1},
				{Name: "o2", ID: 2, Status: "DRAIN", Addr: "10.0.0.14:143", Admin: "drain", Weight: 10, InitialWeight: 10, Act: 1, Lastsess: -1, CheckStatus: "L4OK", CheckRise: 2, CheckFall: 3, CheckHealth: 4, Caps: "IMAP4rev1 IDLE",
					Effective: 2, Throttle: 20, Hanafail: 7, AgentStatus: "L7OK", AgentDuration: 3, AgentWord: "up", AgentDesc: "all \"well\"", AgentUp: true},
			}},
	}
}

// start runs a server for node in front of a fresh socket.
func start(t testing.TB, node Node, lvl string) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "stats") // t.TempDir is too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s, err := New(Config{Socket: filepath.Join(dir, "sock"), SocketMode: "0600", SocketLevel: lvl}, node, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return noon }
	s.idle.at, s.idle.pct = noon, 97 // measured just now
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

func dial(t testing.TB, s *Server) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// ask sends bytes on a connection of their own and returns all that comes
// until the server closes.
func ask(t testing.TB, s *Server, send string) string {
	t.Helper()
	conn := dial(t, s)
	if _, err := io.WriteString(conn, send); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("%q: %v", send, err)
	}
	return string(got)
}

// until reads up to and with the bytes that end an answer.
func until(t testing.TB, r *bufio.Reader, end string) string {
	t.Helper()
	var b strings.Builder
	for !strings.HasSuffix(b.String(), end) {
		c, err := r.ReadByte()
		if err != nil {
			t.Fatalf("after %q: %v", b.String(), err)
		}
		b.WriteByte(c)
	}
	return b.String()
}

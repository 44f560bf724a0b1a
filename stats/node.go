package stats

import (
	"context"
	"time"

	"imaplb/sticktable"
)

// Node is the running process as the runtime socket sees it. Any goroutine may
// call any method; none blocks for long. The owner of the parts implements it.
type Node interface {
	Operator
	Limiter

	// Info is the process as a whole, for "show info".
	Info() Info
	// Ready reports whether clients should be sent here, and why or why not.
	Ready() (ready bool, why string)
	// Proxies are the frontends, then the backends, each in the order of their
	// ids; the caller owns the result.
	Proxies() []Proxy
	// Tables are the stick tables, sorted by name.
	Tables() []*sticktable.Table
	// Sessions calls f for each client connection until f is false. It does not
	// stop the loops: a session may begin or end meanwhile.
	Sessions(f func(Session) bool)
	// UserSessions is Sessions for the sessions of one user (as the stick table
	// spells the name).
	UserSessions(user string, f func(Session) bool)

	// SetState changes the admin state of a server: "ready", "drain", "maint".
	SetState(o Order, backend, server, state string) error
	// SetWeight changes the weight of a server, 0 to 256.
	SetWeight(o Order, backend, server string, weight int) error
	// Shutdown ends the session with that id and reports whether there was one.
	Shutdown(id uint64) bool
	// ShutdownServer ends all sessions of a server at this peer and tells how many.
	ShutdownServer(backend, server string) (int, error)
	// ClearTable removes the entry of a key if it has no sessions, or all such
	// entries if key is empty.
	ClearTable(o Order, table, key string) error
	// Move gives a user, or his key of a table, to a server, once its sessions elsewhere have
	// ended at every peer. It blocks until then, or for the time a move may take.
	Move(ctx context.Context, o Order, m Move) error
	// Cluster is what is known of the peers.
	Cluster() Cluster
	// Events are the last n of what was ordered and what happened to the peers,
	// a line each, the newest last.
	Events(n int) []string
	// ForgetPeer takes a dead peer that will not come back off the list of those
	// that are waited for, at this peer.
	ForgetPeer(o Order, name string) error
	// The keys of the cluster: AddKeys reads the key file again and adds what is
	// new in it, UseKey makes the key with that fingerprint encrypt, RemoveKey
	// forgets it. They hold for this peer.
	AddKeys(o Order) (added int, err error)
	UseKey(o Order, fingerprint string) error
	RemoveKey(o Order, fingerprint string) error
	// Reload loads the configuration file again. The error lists every fault;
	// the text tells what changed.
	Reload() (changed string, err error)
}

// Info holds the numbers of "show info" that are not derived from others.
type Info struct {
	Version     string // "3.0.0-imaplb0.1.0": clients take the digits in front for HAProxy's
	ReleaseDate string // "2026/11/23"
	Start       time.Time
	Now         time.Time
	Pid         int
	Threads     int
	UlimitN     int
	Maxconn     int // client connections, as in force
	HardMaxconn int // as the descriptor limit allows
	Node        string
	Stopping    bool
	Ready       bool // as /readyz says
	Listeners   int

	CurrConns   int64 // client connections now
	CumConns    int64
	CumReq      int64 // logins asked for
	CurrSSL     int64 // client connections under TLS now
	CumSSL      int64
	SSLReused   int64 // TLS handshakes that resumed a session
	ConnRate    int64 // per second, last second
	ConnRateMax int64
	SessRate    int64 // logins per second, last second
	SessRateMax int64
	SSLRate     int64
	SSLRateMax  int64
	BytesOut    int64 // to clients
	BytesIn     int64 // from clients
	BytesRate   int64 // to clients, per second
	Goroutines  int
	HeapBytes   int64 // heap in use
	SysBytes    int64 // taken from the system
	MaxconnHits int64 // times accepting paused at maxconn
	Peers       int64 // connected
	PeersUp     int64 // connected, and neither has more to learn of the other
	DroppedLogs int64
}

// Kind is the "type" column of "show stat".
type Kind int

// The kinds of proxies, with HAProxy's numbers.
const (
	KindFrontend Kind = 0
	KindBackend  Kind = 1
	KindServer   Kind = 2
)

// Proxy is a frontend or a backend with its numbers.
type Proxy struct {
	Kind    Kind
	Name    string
	ID      int // iid, unique over frontends and backends, from 2
	Row     Row
	Servers []Row // of a backend, in the order of their ids
	Mode    string
	Algo    string // of a backend
	Table   string // stick table of a backend, "" if none
}

// Row is what one line of "show stat" is made of. Times in ms, ages in
// seconds; -1 is "no value" where zero would mean something.
type Row struct {
	Name     string // FRONTEND, BACKEND or the server's name
	ID       int    // sid: 0 for frontends and backends
	Status   string // "OPEN", "UP", "UP 1/3", "DOWN", "DRAIN", "MAINT", "no check" …
	Addr     string // "10.0.0.11:143", "[::1]:143" or "unix"
	Admin    string // of a server: "ready", "drain", "maint"
	FromFile bool   // of a server: the admin state is the file's

	Weight, InitialWeight int   // Weight is the one set
	Effective             int   // weight in force: with the agent's word and the slow start
	Throttle              int   // per cent of a slow start under way, 0 is none
	Act, Bck              int   // usable servers of a backend; 1/0 flags of a server
	Qcur, Qmax, Qlimit    int64 // logins that wait; Qlimit 0 is no limit
	Scur, Smax, Slim      int64 // Slim 0 is no limit
	Stot, Bin, Bout       int64
	Dreq, Ereq            int64 // refused (TLS required, bad commands …) and malformed
	Econ, Eresp           int64
	Wretr, Wredis         int64
	CliAbrt, SrvAbrt      int64
	Eint                  int64
	Lbtot, Connect        int64
	Rate, RateMax         int64 // sessions per second
	ConnRate, ConnRateMax int64 // of a frontend
	ConnTot, Dcon         int64 // of a frontend: accepted, refused
	Lastsess              int64 // seconds since the last session, -1 never
	Qtime, Ctime, Ttime   int64 // averages over the last 1024 sessions
	QtimeMax, CtimeMax    int64
	TtimeMax              int64

	// Of servers with checks; CheckStatus "" is none.
	CheckStatus          string // L4OK, L4TOUT, L4CON, INI, UNK
	CheckDuration        int64
	CheckDesc, LastChk   string
	CheckRise, CheckFall int
	CheckHealth          int
	ChkFail, ChkDown     int64
	AgentStatus          string // of a server with an agent: L7OK, L4CON … "" is none
	AgentDuration        int64
	AgentDesc            string
	AgentUp              bool
	AgentWord            string   // the last of "up", "down", "fail" and "stopped"
	Caps                 string   // capabilities that a check was told
	Tags                 []string // of the file
	Hanafail             int64    // failures of users' logins that checks were told of
	LastChange, Downtime int64    // seconds

	// Ours: logins by what came of them, and users with an entry.
	AuthOK, AuthFail, AuthTemp, AuthLimit int64
	LoginTimeout, LoginProto              int64
	Logins, LoginMax, LoginLimit          int64 // logins under way, of a server; LoginLimit 0 is no limit
	TLS                                   int64 // connections under TLS now, of a frontend
	TLSFailed, BadCerts                   int64 // handshakes that failed, and of them for the client's certificate
}

// Session is one client connection.
type Session struct {
	ID       uint64
	Proto    string // "tcpv4", "tcpv6", "unix"
	Src      string // client address
	Frontend string
	Backend  string // "" before login
	Server   string // "" before login
	User     string // "" before login
	State    string // "tls", "login", "connecting", "relay" …
	TLS      string // "TLSv1.3", "" if plain
	Start    time.Time
	Idle     time.Duration // since the last byte, either way
	Expires  time.Duration // until the idle timeout
	BytesIn  int64         // from the client
	BytesOut int64         // to the client
	FDClient int
	FDServer int // -1 before the server is dialled
}

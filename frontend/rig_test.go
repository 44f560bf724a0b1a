package frontend

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"imaplb/balancer"
	"imaplb/loop"
	"imaplb/sticktable"
	"imaplb/upstream"
)

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// secretWord is the password of every login in these tests.
const secretWord = "swordfish"

// TestMain fails the run if a goroutine or a descriptor is left at its end.
func TestMain(m *testing.M) {
	before := descriptors()
	goroutines := runtime.NumGoroutine()
	code := m.Run()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		os.Exit(code) // the fuzzer leaves what it likes
	}
	tick := time.NewTicker(10 * time.Millisecond)
	for end := time.Now().Add(patience); runtime.NumGoroutine() > goroutines || descriptors() > before; <-tick.C {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			stacks = stacks[:runtime.Stack(stacks, true)]
			fmt.Printf("left over: goroutines %d, before %d; descriptors %d, before %d\n%s\n",
				runtime.NumGoroutine(), goroutines, descriptors(), before, stacks)
			code = max(code, 1)
			break
		}
	}
	os.Exit(code)
}

// descriptors are those of sockets; the runtime opens others for itself.
func descriptors() (n int) {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if to, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// plan is what a rig is made of. Zero values are replaced by good ones.
type plan struct {
	tags    [][]string // of each server
	addrs   []string   // of servers s1, s2 …
	config  Config
	tls     *tls.Config
	limits  Limits
	retries int
	balance string
	key     string // of the stick table
	login   upstream.Config
	loops   int

	sendProxy string // to the servers
}

// rig is an engine with one frontend and one backend.
type rig struct {
	t     *testing.T
	e     *Engine
	fe    *Frontend
	be    *Backend
	table *sticktable.Table
	addr  string
	set   Settings
	logs  *logs

	quiet bool // the log need not have a line for each connection
}

func (p *plan) complete() {
	or := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	or(&p.limits.LoginTimeout, patience)
	or(&p.limits.HandshakeTimeout, patience)
	or(&p.login.TimeoutConnect, patience)
	or(&p.login.TimeoutLogin, patience)
	or(&p.login.TimeoutServer, time.Hour)
	or(&p.config.TimeoutClient, time.Hour)
	if p.limits.HardMaxconn == 0 {
		p.limits.HardMaxconn = 10_000
	}
	if p.limits.MaxHandshakes == 0 {
		p.limits.MaxHandshakes = 16
	}
	if p.config.TLS == "" {
		p.config.TLS = "none"
	}
	if p.key == "" {
		p.key = "user"
	}
	if p.balance == "" {
		p.balance = "hash"
	}
	p.loops = max(p.loops, 1)
}

func newRig(t *testing.T, p plan) *rig {
	t.Helper()
	p.complete()
	r := &rig{t: t, logs: new(logs)}
	log := slog.New(slog.NewJSONHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	socket := new(loop.SocketConfig)
	var err error
	if r.e, err = New(log, Loops{Threads: p.loops, Poller: loop.Auto, Socket: socket}, "lb", p.limits); err != nil {
		t.Fatal(err)
	}
	r.e.Start()
	r.table = sticktable.New("users", sticktable.Config{Key: p.key, Size: 10_000, Expire: time.Hour}, "lb")
	setup := balancer.Setup{Config: balancer.Config{Balance: p.balance, Retries: p.retries}, Table: r.table}
	for i := range p.addrs {
		setup.Servers = append(setup.Servers, balancer.ServerSpec{Name: fmt.Sprint("s", i+1), Config: balancer.DefaultServerConfig()})
		if p.tags != nil {
			setup.Servers[i].Config.Tags = p.tags[i]
		}
	}
	b := balancer.NewBackend(time.Now(), "mail", 3, setup)
	targets := map[*balancer.Server]*upstream.Target{}
	for i, addr := range p.addrs {
		sc := upstream.DefaultServerConfig()
		sc.Addr, sc.SendProxy = addr, p.sendProxy
		if targets[b.Servers()[i]], err = upstream.NewTarget(t.Context(), &p.login, &sc, socket); err != nil {
			t.Fatal(err)
		}
	}
	r.be = NewBackend(b, targets, p.login.TimeoutServer)
	r.set = Settings{Config: p.config, TLS: p.tls, Backend: r.be}
	r.fe = r.e.Add("imap", 2, r.set)
	r.addr = r.listen(r.fe, "127.0.0.1:0")
	t.Cleanup(r.stop)
	return r
}

func (r *rig) listen(f *Frontend, addr string) string {
	r.t.Helper()
	l, err := r.e.Listen(r.t.Context(), addr)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := f.AddListener(addr, l); err != nil {
		r.t.Fatal(err)
	}
	return l.Addr()
}

// stop checks that nothing is left when all clients have gone.
func (r *rig) stop() {
	defer func() {
		if r.t.Failed() {
			r.t.Logf("log:\n%s", r.logs.buf.Bytes())
		}
	}()
	r.eventually("no connection", func() bool { return r.e.Conns.Load() == 0 })
	r.eventually("no descriptor", func() bool {
		n := int64(0)
		for _, l := range r.e.loops.Loops {
			n += l.Conns()
		}
		return n == 0
	})
	r.eventually("no handshake", func() bool { return r.e.slots.Running() == 0 })
	zero := map[string]int64{
		"fe.Conns": r.fe.Conns.Load(), "fe.TLSNow": r.fe.TLSNow.Load(), "TLSNow": r.e.TLSNow.Load(),
		"refusing": r.e.refusing.Load(), "big": r.e.big.Load(), "be.Scur": r.be.Scur.Load(),
	}
	for _, s := range r.be.Servers() {
		zero[s.Name+".Scur"] = s.Scur.Load()
	}
	for i, w := range r.e.workers {
		w.loop.Do(func() {
			zero[fmt.Sprint("users ", i)], zero[fmt.Sprint("servers ", i)] = int64(len(w.users)), int64(len(w.servers))
			zero[fmt.Sprint("slots ", i)] = int64(len(w.slots) - len(w.free))
		})
	}
	r.table.Range(time.Now(), func(e sticktable.Entry) bool {
		zero["sessions of "+e.Key] = int64(e.Sessions)
		return true
	})
	for what, n := range zero {
		if n != 0 {
			r.t.Errorf("%s = %d at the end", what, n)
		}
	}
	r.fe.KeepListeners(nil)
	r.e.Stop()
	r.checkLogs()
}

// checkLogs wants one "session end" for each connection, with its keys, no
// error and no password.
func (r *rig) checkLogs() {
	if bytes.Contains(r.logs.buf.Bytes(), []byte(secretWord)) {
		r.t.Errorf("password in the log:\n%s", r.logs.buf.Bytes())
	}
	seen := map[string]bool{}
	for _, l := range r.logs.lines(r.t) {
		if l["level"] == "ERROR" {
			r.t.Errorf("logged an error: %v", l)
		}
		if l["msg"] != "session end" {
			continue
		}
		for _, key := range []string{"sess", "fe", "src", "reason", "state", "in", "out", "dur"} {
			if l[key] == nil {
				r.t.Errorf("no %s in %v", key, l)
			}
		}
		name := fmt.Sprint(l["sess"])
		if seen[name] {
			r.t.Errorf("%s ended twice", name)
		}
		seen[name] = true
	}
	if n := r.e.ConnsTot.Load(); !r.quiet && int64(len(seen)) != n {
		r.t.Errorf("%d connections, %d session ends logged", n, len(seen))
	}
}

// eventually asks until the answer is yes.
func (r *rig) eventually(what string, yes func() bool) {
	r.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !yes(); <-tick.C {
		if time.Now().After(end) {
			r.t.Errorf("not true in time: %s", what)
			return
		}
	}
}

// dial connects; the client is closed at the end of the test at the latest.
func (r *rig) dial() *client {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	r.t.Cleanup(func() { _ = c.Close() })
	return &client{t: r.t, Conn: c, in: bufio.NewReader(c)}
}

// greeted connects and reads the greeting.
func (r *rig) greeted() *client {
	r.t.Helper()
	c := r.dial()
	c.want("* OK ")
	return c
}

// secure does the client's side of a TLS handshake.
func (c *client) secure(cfg *tls.Config) *tls.Conn {
	c.t.Helper()
	s := tls.Client(c.Conn, cfg)
	if err := s.Handshake(); err != nil {
		c.t.Fatalf("handshake: %v", err)
	}
	c.Conn, c.in = s, bufio.NewReader(s)
	return s
}

// session is the one connection in the list that f likes.
func (r *rig) session(f func(Session) bool) (found Session, ok bool) {
	r.e.Sessions(func(s Session) bool {
		if f(s) {
			found, ok = s, true
		}
		return !ok
	})
	return found, ok
}

// logs is a log in memory.
type logs struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// lines are the lines so far.
func (l *logs) lines(t *testing.T) (all []map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range bytes.Lines(l.buf.Bytes()) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Errorf("log line %q: %v", line, err)
		}
		all = append(all, m)
	}
	return all
}

// ended waits for the log line of a session that ended for this reason.
func (r *rig) ended(reason string) map[string]any {
	r.t.Helper()
	var found map[string]any
	r.eventually("a session ends with "+reason, func() bool {
		all := r.logs.lines(r.t)
		i := slices.IndexFunc(all, func(l map[string]any) bool { return l["msg"] == "session end" && l["reason"] == reason })
		if i >= 0 {
			found = all[i]
		}
		return i >= 0
	})
	return found
}

// certificate writes a self-signed certificate for a name, loads it as the
// engine's owner does, and returns a client's side that trusts it.
func certificate(t *testing.T, name string) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	pair := Cert{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for file, block := range map[string]*pem.Block{pair.Cert: {Type: "CERTIFICATE", Bytes: der}, pair.Key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if server, err = LoadTLS([]Cert{pair}, "imap"); err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return server, &tls.Config{RootCAs: pool, ServerName: name}
}

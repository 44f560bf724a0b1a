package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"imaplb/cluster"
	"imaplb/conf"
	"imaplb/frontend"
	"imaplb/loop"
	"imaplb/stats"
	"imaplb/sticktable"
)

// node is the running process: the only place where the parts are joined.
type node struct {
	// Fixed at start.
	path     string
	start    time.Time
	host     string
	self     string // among the peers
	stateDir string
	log      *slog.Logger
	level    *slog.LevelVar
	logs     *logWriter
	engine   *frontend.Engine
	socket   *loop.SocketConfig
	cluster  *cluster.Cluster // of one, if there are no peers
	moves    *moves
	hooks    *hooks
	flushes  *flushes
	draining *draining
	kicks    chan cluster.Kick
	mesh     *mesh   // nil without peers
	claims   *claims // nil without peers
	names    *names

	stopping atomic.Bool
	serving  atomic.Bool // the listeners are open
	parts    atomic.Pointer[parts]

	gaveUp      bool   // a loop has failed; owned by run
	ordersSaved uint64 // what cluster.Orders was then; owned by keepTables

	checkers sync.Map // checkKey → *health.Checker
	agents   sync.Map // checkKey → *health.Agent

	mu     sync.Mutex // held by a reload; guards nextID
	nextID int
}

// parts are what a reload replaces. Immutable.
type parts struct {
	conf     *conf.Config
	tables   []*sticktable.Table // sorted by name
	backends []*backend          // in the order of the file
}

// backend is a backend with what the other parts need to know of it.
type backend struct {
	*frontend.Backend
	conf   *conf.Backend
	secret []byte // password of the user of checks of kind "login"
}

// socketConfig is for every connection: after two minutes of silence the other
// side is asked whether it lives, and what gets no answer for three is dead.
func socketConfig() *loop.SocketConfig {
	return &loop.SocketConfig{KeepAliveIdle: 2 * time.Minute, UserTimeout: 3 * time.Minute}
}

// runNode runs the balancer with the configuration at path until a signal or
// the context ends it. The log goes to out.
func runNode(ctx context.Context, path string, out io.Writer) error {
	cfg, err := conf.Load(path)
	if err != nil {
		return err
	}
	n, err := newNode(path, cfg, out)
	if err != nil {
		return err
	}
	defer n.logs.Close()
	for _, w := range cfg.Warnings {
		n.log.Warn("configuration", "warning", w.String())
	}
	n.engine.Start()
	defer n.engine.Stop()
	return n.run(ctx, cfg)
}

func newNode(path string, cfg *conf.Config, out io.Writer) (*node, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("host name: %w", err)
	}
	n := &node{
		path: path, start: time.Now(), host: host, self: cmp.Or(cfg.Peers.Name, host), stateDir: cfg.Global.StateDir,
		level: new(slog.LevelVar), logs: newLogWriter(out), socket: socketConfig(),
		nextID: firstID, names: newNames(),
	}
	n.level.Set(parseLevel(cfg.Global.LogLevel))
	n.log = newLogger(n.logs, cfg.Global.LogFormat, n.level)
	threads := cfg.Global.Threads
	if threads == 0 {
		threads = runtime.NumCPU()
	}
	loops := frontend.Loops{Threads: threads, Poller: loop.Poller(cfg.Global.Poller), Socket: n.socket}
	// Ids must differ from those of an earlier run: they meet in the servers' logs.
	name := strconv.FormatInt(n.start.UnixMilli(), 36)
	if n.engine, err = frontend.New(n.log, loops, name, n.limits(cfg)); err != nil {
		n.logs.Close()
		return nil, err
	}
	spareProcessors(threads)
	n.parts.Store(&parts{conf: cfg})
	return n, n.newCluster(cfg)
}

// run brings everything up in order, serves until it is told to stop, and takes
// it down in the opposite order. The listeners come last: a login needs the
// tables, and what the peers know.
func (n *node) run(ctx context.Context, cfg *conf.Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sig, started := catchSignals(), make(chan struct{})
	defer sig.release()
	go sig.early(n.log, started, cancel)
	isStarted := sync.OnceFunc(func() { close(started) })
	defer isStarted()
	if n.stateDir != "" {
		if err := os.MkdirAll(n.stateDir, 0o700); err != nil {
			return fmt.Errorf("state_dir: %w", err)
		}
	}
	n.loadOrders()
	p, err := n.prepare(ctx, cfg)
	if err != nil {
		return err
	}
	defer n.stopCheckers()
	next, _ := n.applyParts(cfg, p)
	defer n.keep(n.keepTables)()
	defer n.keep(n.keepCluster)()
	defer n.keep(n.claims.keep)()
	defer n.hooks.stop()
	defer n.keep(n.keepKicks)()
	defer n.keep(n.keepNames)()
	defer n.keep(n.keepDrained)()
	defer n.keep(n.keepPenalties)()
	stopStats, err := n.startStats(ctx, cfg)
	if err != nil {
		p.release()
		return err
	}
	defer stopStats()
	stopMesh, err := n.startMesh(ctx)
	if err != nil {
		p.release()
		return err
	}
	defer stopMesh()
	defer n.flushes.stopAll()
	if ctx.Err() != nil { // told to stop while it learned
		p.release()
		return nil
	}
	go n.engine.RotateTickets(ctx) // ends with ctx; holds nothing that has to be waited for
	if err := n.updateFrontends(cfg, next, p); err != nil {
		return err
	}
	n.serving.Store(true)
	n.log.Info("started", "version", Version, "pid", os.Getpid(), "threads", n.engine.Threads(),
		"poller", n.engine.Poller(), "maxconn", n.maxconn(), "config", n.path)
	for _, f := range n.engine.Frontends() {
		n.log.Info("frontend open", "fe", f.Name, "bind", f.Addrs())
	}
	isStarted()
	return n.handleSignals(ctx, sig)
}

// keep runs f on a goroutine; what it returns ends f and waits for it.
func (n *node) keep(f func(stop, done chan struct{})) (end func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go f(stop, done)
	return func() { close(stop); <-done }
}

// startStats opens the runtime socket and what watchdogs ask.
func (n *node) startStats(ctx context.Context, cfg *conf.Config) (stop func(), err error) {
	stop = func() {}
	if cfg.Stats.Socket != "" {
		socket, err := stats.New(cfg.Stats, n, n.log)
		if err != nil {
			return nil, err
		}
		go n.serveStats(socket) // ends at closeStats
		stop = func() { closeStats(socket) }
	}
	if cfg.Stats.HTTP == "" {
		return stop, nil
	}
	h, err := stats.NewHTTP(ctx, cfg.Stats.HTTP, n)
	if err != nil {
		stop()
		return nil, err
	}
	go n.serveHTTP(h) // ends at Close
	stopSocket := stop
	return func() { h.Close(); stopSocket() }, nil
}

func (n *node) serveHTTP(h *stats.HTTP) {
	if err := h.Serve(); err != nil {
		n.log.Error("HTTP listener ended", "err", err)
	}
}

// Ready reports whether clients should be sent here.
func (n *node) Ready() (ready bool, why string) {
	switch {
	case n.stopping.Load():
		return false, "stopping"
	case !n.serving.Load():
		return false, "starting: learning from the peers"
	}
	return true, "serving"
}

func (n *node) serveStats(s *stats.Server) {
	if err := s.Serve(); err != nil {
		n.log.Error("runtime socket ended", "err", err)
	}
}

// closeStats lets commands under way finish.
func closeStats(s *stats.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.Close(ctx) // a client that was cut off is no error of ours
}

// limits derives the engine's bounds from the configuration.
func (n *node) limits(cfg *conf.Config) frontend.Limits {
	return frontend.Limits{
		Maxconn: cfg.Global.Maxconn, HardMaxconn: cfg.HardMaxconn(descriptors()),
		LoginTimeout: cfg.Global.LoginTimeout, HandshakeTimeout: cfg.Global.HandshakeTimeout,
		MaxHandshakes: cfg.Global.MaxHandshakes, LogBegin: cfg.Global.LogSessions == "both",
	}
}

// descriptors is how many this process may have.
func descriptors() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 1024 // what Linux gives to everybody
	}
	return int(min(r.Cur, 1<<31))
}

// maxconn is the limit in force.
func (n *node) maxconn() int {
	l := n.engine.Limits()
	if l.Maxconn > 0 {
		return min(l.Maxconn, l.HardMaxconn)
	}
	return l.HardMaxconn
}

// Tables are the stick tables, sorted by name.
func (n *node) Tables() []*sticktable.Table { return n.parts.Load().tables }

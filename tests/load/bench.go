package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

const (
	descriptorLimit = 20000 // for each proxy and for the driver
	disturbance     = 0.15  // CPUs that other processes may use before it is said
	loadGC          = 400   // percent; the driver shares the machine with the proxy
)

// bench is one run of the driver, owned by the goroutine running it.
type bench struct {
	rounds   int
	time     time.Duration // per closed loop
	sessions int           // idle sessions
	limit    int           // descriptors

	todo    []measurement
	kinds   []proxyKind
	root    string
	cert    string
	server  *running
	servers imapdAddrs
	steady  map[string]*running // started once, for all that needs no fresh process
	samples samples
	failed  []string
	log     io.Writer

	disturbed int // measurements during which other processes used the CPUs
}

func benchCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	binary := flags.String("imaplb", "bin/imaplb", "the built binary")
	rounds := flags.Int("rounds", 5, "rounds; each measures every proxy once")
	only := flags.String("only", "", "names of measurements or their beginnings, by comma: "+measurementNames())
	proxies := flags.String("proxies", "imaplb,haproxy,nginx", "proxies to measure, by comma; direct is no proxy")
	quick := flags.Bool("quick", false, "one short round: to see that it works, not for figures")
	each := flags.Duration("time", 2*time.Second, "length of a closed loop")
	sessions := flags.Int("sessions", 5000, "idle sessions")
	flags.Parse(args)

	b := &bench{rounds: *rounds, time: *each, sessions: *sessions, samples: samples{}, steady: map[string]*running{}, log: os.Stderr}
	if *quick {
		b.rounds, b.time, b.sessions = 1, time.Second, 1000
	}
	var err error
	if b.kinds, err = findProxies(*proxies, *binary); err != nil {
		return err
	}
	if b.todo, err = choose(measurements(), *only); err != nil {
		return err
	}
	if b.limit, err = limitDescriptors(descriptorLimit); err != nil {
		return err
	}
	b.sessions = min(b.sessions, (b.limit-spareSockets)/2)
	debug.SetGCPercent(loadGC)
	if err := b.run(ctx); err != nil {
		return err
	}
	return b.report(out)
}

func measurementNames() string {
	var names []string
	for _, m := range measurements() {
		names = append(names, m.name)
	}
	return strings.Join(names, ", ")
}

// choose keeps the measurements whose names begin with one of only; all if
// only is empty.
func choose(all []measurement, only string) ([]measurement, error) {
	if only == "" {
		return all, nil
	}
	wanted := strings.Split(only, ",")
	for _, w := range wanted {
		if !slices.ContainsFunc(all, func(m measurement) bool { return strings.HasPrefix(m.name, w) }) {
			return nil, fmt.Errorf("bench: no measurement %q; there are %s", w, measurementNames())
		}
	}
	return slices.DeleteFunc(all, func(m measurement) bool {
		return !slices.ContainsFunc(wanted, func(w string) bool { return strings.HasPrefix(m.name, w) })
	}), nil
}

// findProxies looks the binaries up and reports all that are missing at once.
func findProxies(names, imaplb string) ([]proxyKind, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("bench: own path: %w", err)
	}
	known := []proxyKind{
		{name: "imaplb", binary: imaplb, hint: "build it: make", write: writeImaplb, collect: collectImaplb, peer: writeImaplbPeer},
		{name: "haproxy", binary: "haproxy", hint: "apt-get install haproxy", write: writeHAProxy, peer: writeHAProxyPeer},
		{name: "nginx", binary: "nginx", hint: "apt-get install nginx-light libnginx-mod-mail", write: writeNginx},
		{name: "direct", binary: self, write: writeDirect},
	}
	var kinds []proxyKind
	var faults []error
	for _, name := range strings.Split(names, ",") {
		i := slices.IndexFunc(known, func(k proxyKind) bool { return k.name == name })
		if i < 0 {
			faults = append(faults, fmt.Errorf("bench: no proxy %q", name))
			continue
		}
		k := known[i]
		path, err := lookBinary(k.binary)
		if err != nil {
			faults = append(faults, fmt.Errorf("bench: %s is missing (%s), or leave it out with -proxies: %w", name, k.hint, err))
			continue
		}
		k.binary = path
		kinds = append(kinds, k)
	}
	return kinds, errors.Join(faults...)
}

// lookBinary also looks where Debian keeps servers, which is not in the path
// of everybody, and returns an absolute path: the proxies run in other folders.
func lookBinary(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil && !strings.Contains(name, "/") {
		path, err = exec.LookPath(filepath.Join("/usr/sbin", name))
	}
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// run measures everything. What fails is noted and left out of the table;
// only a cancelled run and a missing ground to stand on are errors.
func (b *bench) run(ctx context.Context) error {
	var err error
	if b.root, err = os.MkdirTemp("", "imaplb-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.root)
	b.cert = filepath.Join(b.root, "cert.pem")
	if err := writeCert(b.cert); err != nil {
		return err
	}
	if err := b.startServer(ctx); err != nil {
		return err
	}
	defer b.server.stop()
	defer b.stopSteady()
	for round := range b.rounds {
		for _, m := range b.todo {
			if m.rounds == 0 || round < m.rounds {
				b.measureAll(ctx, m, round)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return nil
}

// startServer starts the light server that all proxies lead to.
func (b *bench) startServer(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("bench: own path: %w", err)
	}
	s, err := newSite(b.cert, b.limit)
	if err != nil {
		return err
	}
	auth, err := freePort(s.tls + 1)
	if err != nil {
		return err
	}
	s.server.auth = loopback(auth)
	kind := proxyKind{name: "imapd", binary: self, write: writeServer}
	if b.server, err = kind.start(ctx, b.root, s); err != nil {
		return err
	}
	b.servers = imapdAddrs{plain: b.server.plain, tls: b.server.tls, auth: s.server.auth}
	return nil
}

func (b *bench) stopSteady() {
	for _, r := range b.steady {
		r.stop()
	}
}

// measureAll measures every proxy once, each round beginning with another one.
func (b *bench) measureAll(ctx context.Context, m measurement, round int) {
	for i := range b.kinds {
		kind := b.kinds[(i+round)%len(b.kinds)]
		if m.pair != nil && kind.peer == nil {
			continue
		}
		v, err := b.measure(ctx, m, kind)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			b.failed = append(b.failed, fmt.Sprintf("round %d, %s, %s: %v", round+1, m.name, kind.name, err))
			v = nil // figures of half a measurement are none
		}
		fmt.Fprintf(b.log, "%d/%d %-17s %-8s%s\n", round+1, b.rounds, m.name, kind.name, b.note(m, kind, v))
	}
}

// note keeps the figures of one measurement, NaN for what v lacks, and returns
// its line for the log.
func (b *bench) note(m measurement, kind proxyKind, v values) string {
	var line strings.Builder
	for _, f := range m.figures {
		n, ok := v[f.name]
		if !ok {
			n = math.NaN()
		}
		b.samples.add(m.name+"/"+f.name, kind.name, n)
		fmt.Fprintf(&line, "  %s %s", f.name, number(n))
	}
	if busy, ok := v[busyLoad]; ok {
		fmt.Fprintf(&line, "  (CPUs busy: proxy %.2f, server %.2f, load %.2f, others %.2f)",
			v[busyProxy], v[busyServer], busy, v[busyOthers])
	}
	if v[busyOthers] > disturbance {
		b.disturbed++
	}
	return line.String()
}

func (b *bench) measure(ctx context.Context, m measurement, kind proxyKind) (values, error) {
	if m.pair != nil {
		return b.measurePair(ctx, m, kind)
	}
	r, err := b.proxy(ctx, m, kind)
	if err != nil {
		return nil, err
	}
	if m.fresh {
		defer r.stop()
	}
	runtime.GC() // not during the measurement
	return m.run(ctx, subject{running: r, server: b.server, time: b.time, sessions: b.sessions, limit: b.limit})
}

// measurePair measures two peers, which are new each time.
func (b *bench) measurePair(ctx context.Context, m measurement, kind proxyKind) (values, error) {
	s, err := newSite(b.cert, b.limit)
	if err != nil {
		return nil, err
	}
	s.server = b.servers
	p, err := startPair(ctx, b.root, kind, s)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	runtime.GC() // not during the measurement
	return m.pair(ctx, p, b.time)
}

// proxy returns the steady process of a kind, or a new one if the measurement
// needs that.
func (b *bench) proxy(ctx context.Context, m measurement, kind proxyKind) (*running, error) {
	if r := b.steady[kind.name]; r != nil && !m.fresh && r.alive() {
		return r, nil
	}
	s, err := newSite(b.cert, b.limit)
	if err != nil {
		return nil, err
	}
	s.server = b.servers
	r, err := kind.start(ctx, b.root, s)
	if err == nil && !m.fresh {
		b.steady[kind.name] = r
	}
	return r, err
}

func (b *bench) report(out io.Writer) error {
	var names []string
	for _, k := range b.kinds {
		names = append(names, k.name)
	}
	fmt.Fprintf(out, "%d CPUs, %d rounds of %v, %d idle sessions, %d descriptors; median, minimum and maximum of the rounds; MB and GB are 10^6 and 10^9 bytes\n\n",
		runtime.NumCPU(), b.rounds, b.time, b.sessions, b.limit)
	b.samples.print(out, b.todo, names)
	if b.disturbed > 0 {
		fmt.Fprintf(out, "\n%d measurements shared the CPUs with other processes: rates and latencies are too bad, CPU per operation a little.\n", b.disturbed)
	}
	if len(b.failed) > 0 {
		return fmt.Errorf("bench: %d measurements failed:\n%s", len(b.failed), strings.Join(b.failed, "\n"))
	}
	return nil
}

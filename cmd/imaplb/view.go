package main

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"imaplb/balancer"
	"imaplb/frontend"
	"imaplb/stats"
)

// The methods in this file and Reload make the node a stats.Node.
var _ stats.Node = (*node)(nil)

// Info is the process in numbers.
func (n *node) Info() stats.Info {
	now := time.Now()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	c := &n.engine.Counters
	ready, _ := n.Ready()
	peers, up := n.linked()
	listeners := 0
	for _, f := range n.engine.Frontends() {
		listeners += f.Listeners()
	}
	return stats.Info{
		Version: "3.0.0-imaplb" + Version, ReleaseDate: releaseDate, Start: n.start, Now: now,
		Pid: os.Getpid(), Threads: n.engine.Threads(), UlimitN: descriptors(),
		Maxconn: n.maxconn(), HardMaxconn: n.engine.Limits().HardMaxconn,
		Node: n.host, Stopping: n.stopping.Load(), Ready: ready, Listeners: listeners,
		Peers: peers, PeersUp: up,

		CurrConns: c.Conns.Load(), CumConns: c.ConnsTot.Load(), CumReq: c.SessTot.Load(),
		CurrSSL: c.TLSNow.Load(), CumSSL: c.TLSTot.Load(), SSLReused: c.TLSReused.Load(),
		ConnRate: c.ConnRate.Value(now), ConnRateMax: c.ConnRate.Max(),
		SessRate: c.SessRate.Value(now), SessRateMax: c.SessRate.Max(),
		SSLRate: c.TLSRate.Value(now), SSLRateMax: c.TLSRate.Max(),
		BytesOut: c.Out.Load(), BytesIn: c.In.Load(),
		Goroutines: runtime.NumGoroutine(), HeapBytes: int64(mem.HeapInuse), SysBytes: int64(mem.Sys),
		MaxconnHits: c.MaxHits.Load(), DroppedLogs: n.logs.dropped.Load(),
	}
}

// Proxies are the frontends, then the backends.
func (n *node) Proxies() []stats.Proxy {
	now := time.Now()
	var all []stats.Proxy
	for _, f := range n.engine.Frontends() {
		all = append(all, stats.Proxy{
			Kind: stats.KindFrontend, Name: f.Name, ID: f.ID, Mode: "tcp", Row: n.frontendRow(now, f),
		})
	}
	for _, b := range n.parts.Load().backends {
		cfg := b.Config()
		p := stats.Proxy{
			Kind: stats.KindBackend, Name: b.Name, ID: b.ID, Mode: "tcp", Algo: cfg.Balance,
			Table: cfg.StickTable, Row: backendRow(now, b),
		}
		for _, s := range b.Servers() {
			p.Servers = append(p.Servers, serverRow(now, b, s))
		}
		all = append(all, p)
	}
	return all
}

func (n *node) frontendRow(now time.Time, f *frontend.Frontend) stats.Row {
	c := &f.Counters
	row := stats.Row{
		Name: "FRONTEND", Status: "OPEN",
		Scur: c.Conns.Load(), Smax: c.ConnsMax.Load(), Slim: int64(n.maxconn()), Stot: c.ConnsTot.Load(),
		Bin: c.In.Load(), Bout: c.Out.Load(), Dreq: c.Denied.Load(), Ereq: c.Malformed.Load(),
		Rate: c.ConnRate.Value(now), RateMax: c.ConnRate.Max(),
		ConnRate: c.ConnRate.Value(now), ConnRateMax: c.ConnRate.Max(),
		ConnTot: c.ConnsTot.Load(), Dcon: c.Refused.Load(), Lastsess: -1, TLS: c.TLSNow.Load(),
		TLSFailed: c.TLSFailed.Load(), BadCerts: c.BadCerts.Load(),
	}
	if limit := f.Settings().Config.Maxconn; limit > 0 {
		row.Slim = int64(limit)
	}
	if f.Listeners() == 0 {
		row.Status = "STOP"
	}
	return row
}

// counted is what servers and backends have in common.
func counted(now time.Time, c *balancer.Counters) stats.Row {
	row := stats.Row{
		Qcur: c.Qcur.Load(), Qmax: c.Qmax.Load(), Logins: c.Logins.Load(), LoginMax: c.LoginMax.Load(),
		Scur: c.Scur.Load(), Smax: c.Smax.Load(), Stot: c.Stot.Load(), Bin: c.Bin.Load(), Bout: c.Bout.Load(),
		Econ: c.Econ.Load(), Eresp: c.Eresp.Load(), Wretr: c.Wretr.Load(), Wredis: c.Wredis.Load(),
		CliAbrt: c.CliAbrt.Load(), SrvAbrt: c.SrvAbrt.Load(), Lbtot: c.Lbtot.Load(), Connect: c.Connect.Load(),
		Rate: c.Rate.Value(now), RateMax: c.Rate.Max(), Lastsess: -1,
		Qtime: c.Qtime.Value(), Ctime: c.Ctime.Value(), Ttime: c.Ttime.Value(),
		QtimeMax: c.Qtime.Max(), CtimeMax: c.Ctime.Max(), TtimeMax: c.Ttime.Max(),
		ChkFail: c.Chkfail.Load(), ChkDown: c.Chkdown.Load(),
		AuthOK: c.AuthOK.Load(), AuthFail: c.AuthFail.Load(), AuthTemp: c.AuthTemp.Load(),
		AuthLimit: c.AuthLimit.Load(), LoginTimeout: c.LoginTimeout.Load(), LoginProto: c.LoginProto.Load(),
	}
	if last := c.Lastsess.Load(); last > 0 {
		row.Lastsess = max(now.Unix()-last, 0)
	}
	return row
}

func backendRow(now time.Time, b *backend) stats.Row {
	row := counted(now, &b.Counters)
	row.Name, row.Status = "BACKEND", "UP"
	row.Effective, row.Weight = b.Weights(now)
	row.Slim = int64(b.Config().Fullconn)
	row.InitialWeight = row.Weight
	row.Act, row.Bck = b.Usable()
	up, since, down := b.Up(now)
	if !up {
		row.Status = "DOWN"
	}
	row.LastChange, row.Downtime = int64(now.Sub(since).Seconds()), int64(down.Seconds())
	return row
}

func serverRow(now time.Time, b *backend, s *balancer.Server) stats.Row {
	row := counted(now, &s.Counters)
	state := s.State()
	row.Name, row.ID, row.Status, row.Admin, row.FromFile = s.Name, s.ID, state.Text(), state.Admin.String(), state.FromFile
	row.Weight, row.InitialWeight, row.Slim = s.Weight(), s.InitialWeight(), int64(s.Maxconn())
	row.Tags = s.Tags()
	row.Effective, row.Hanafail = s.EffectiveWeight(now), s.Hanafail.Load()
	if t := s.Throttle(now); t < 100 {
		row.Throttle = t
	}
	row.Qlimit, row.LoginLimit = int64(s.Maxqueue()), int64(s.Maxlogins())
	if row.Act = 1; s.Backup() {
		row.Act, row.Bck = 0, 1
	}
	if t := b.Target(s); t != nil {
		row.Addr = t.Addr.String()
	}
	since, down := s.Since(now)
	row.LastChange, row.Downtime = int64(now.Sub(since).Seconds()), int64(down.Seconds())
	a := &state.Agent
	row.AgentStatus, row.AgentDuration, row.AgentDesc, row.AgentUp = a.Check, a.Took.Milliseconds(), a.Desc, !a.Down
	row.AgentWord, row.Caps = a.Word, state.Health.Caps
	h := state.Health
	if h.Text == "" {
		return row // not checked
	}
	row.CheckStatus, row.CheckDuration, row.CheckDesc, row.LastChk = h.Check, h.Duration.Milliseconds(), h.Desc, h.Desc
	row.CheckRise, row.CheckFall, row.CheckHealth = h.Rise, h.Fall, h.Count
	if row.CheckStatus == "" {
		row.CheckStatus = "INI"
	}
	return row
}

// Sessions lists all connections.
func (n *node) Sessions(f func(stats.Session) bool) {
	n.engine.Sessions(func(s frontend.Session) bool { return f(sessionOf(s)) })
}

// UserSessions lists the sessions of one user.
func (n *node) UserSessions(user string, f func(stats.Session) bool) {
	n.engine.UserSessions(user, func(s frontend.Session) bool { return f(sessionOf(s)) })
}

func sessionOf(s frontend.Session) stats.Session {
	return stats.Session{
		ID: s.ID, Proto: s.Proto, Src: s.Src, Frontend: s.Frontend, Backend: s.Backend, Server: s.Server,
		User: s.User, State: s.State, TLS: s.TLS, Start: s.Start, Idle: s.Idle, Expires: s.Expires,
		BytesIn: s.In, BytesOut: s.Out, FDClient: s.FDClient, FDServer: s.FDServer,
	}
}

// server finds a server by backend and name.
func (n *node) server(backend, name string) (*balancer.Server, error) {
	b := n.parts.Load().backend(backend)
	if b == nil {
		return nil, fmt.Errorf("no backend %q", backend)
	}
	s := b.Server(name)
	if s == nil {
		return nil, fmt.Errorf("no server %q in backend %q", name, backend)
	}
	return s, nil
}

// Shutdown ends the session with that id.
func (n *node) Shutdown(id uint64) bool { return n.engine.Shutdown(id) }

// ShutdownServer ends all sessions of a server.
func (n *node) ShutdownServer(backend, server string) (int, error) {
	s, err := n.server(backend, server)
	if err != nil {
		return 0, err
	}
	return n.engine.ShutdownServer(s), nil
}

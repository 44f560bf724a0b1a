// Package conf reads the configuration file, a TOML file whose keys are the
// tagged fields of the Config structs of the other packages, and reports all
// that is wrong with it at once, each fault with its line.
//
// It judges the file and the files it names (certificates, keys, authorities).
// It opens no socket, resolves no name and starts nothing: that a configuration
// loads does not say that its servers answer.
package conf

import (
	"time"

	"imaplb/balancer"
	"imaplb/frontend"
	"imaplb/health"
	"imaplb/hook"
	"imaplb/peers"
	"imaplb/resolver"
	"imaplb/stats"
	"imaplb/sticktable"
	"imaplb/upstream"
)

// Config is a whole configuration without faults: every default is filled in,
// every reference leads somewhere and every path is absolute. Lists are in the
// order of the file. Immutable after [Load].
type Config struct {
	Global      Global       `toml:"global"`
	Stats       stats.Config `toml:"stats"`
	Peers       peers.Config `toml:"peers"` // without Bind there are none
	StickTables []StickTable `toml:"stick_table"`
	Frontends   []Frontend   `toml:"frontend"`
	Backends    []Backend    `toml:"backend"`

	// Warnings are what is odd in the file and yet no fault, such as an expired
	// certificate.
	Warnings Faults

	source *report // knows the lines of the file
}

// At is a line about path, with the place where it stands in the file.
func (c *Config) At(path, text string) Fault {
	if c.source == nil {
		return Fault{Path: path, Text: text}
	}
	return c.source.entry(path, text)
}

// Global is the [global] section.
type Global struct {
	Maxconn          int           `toml:"maxconn"`           // client connections at once, 0 to 50,000,000; 0 is what RLIMIT_NOFILE allows
	Threads          int           `toml:"threads"`           // event loops, 0 to 1024; 0 is one per CPU
	Poller           string        `toml:"poller"`            // how the loops wait: "auto" (io_uring if the kernel lets us), "io_uring" or "epoll"; default "auto"
	StateDir         string        `toml:"state_dir"`         // directory the stick tables are saved in; "" saves nothing
	LoginTimeout     time.Duration `toml:"login_timeout"`     // from accept to login, 1s to 1h; default 60s
	HandshakeTimeout time.Duration `toml:"handshake_timeout"` // of a client's TLS handshake, 100ms to 10m; default 10s
	MaxHandshakes    int           `toml:"maxhandshakes"`     // TLS handshakes under way at once, 1 to 1,000,000; default 1000
	HardStopAfter    time.Duration `toml:"hard_stop_after"`   // wait for the sessions after SIGTERM, 0s to 365d; default 30m
	ShutdownSpread   time.Duration `toml:"shutdown_spread"`   // the BYEs at the end of that wait are spread over this, 0s to 10m; default 5s
	LogFormat        string        `toml:"log_format"`        // "text" or "json"; default "text"
	LogLevel         string        `toml:"log_level"`         // "debug", "info", "warn" or "error"; default "info"
	Nameservers      []string      `toml:"nameservers"`       // "ip" or "ip:port", asked in this order for the names of servers; none are the system's
	LogSessions      string        `toml:"log_sessions"`      // lines per session: "end" or "both" (begin and end); default "end"
}

// defaultGlobal is what the file leaves unsaid.
func defaultGlobal() Global {
	return Global{
		Poller:       "auto",
		LoginTimeout: time.Minute, HandshakeTimeout: 10 * time.Second, MaxHandshakes: 1000,
		HardStopAfter: 30 * time.Minute, ShutdownSpread: 5 * time.Second,
		LogFormat: "text", LogLevel: "info", LogSessions: "end",
	}
}

// StickTable is one [stick_table.NAME] section.
type StickTable struct {
	Name string
	sticktable.Config
}

// Frontend is one [frontend.NAME] section.
type Frontend struct {
	Name string
	frontend.Config
}

// Backend is one [backend.NAME] section with its servers, of which there is at
// least one.
type Backend struct {
	Name     string
	Balancer balancer.Config
	Upstream upstream.Config
	Hook     hook.Config
	Users    frontend.UserLimits
	Check    health.Config `toml:"check"`
	Servers  []Server      `toml:"server"`
}

// Server is one [backend.NAME.server.NAME] section.
type Server struct {
	Name     string
	Upstream upstream.ServerConfig
	Balancer balancer.ServerConfig
	Agent    health.AgentConfig `toml:"agent"`
}

// StickTable is the table with that name, nil if there is none.
func (c *Config) StickTable(name string) *StickTable {
	for i := range c.StickTables {
		if c.StickTables[i].Name == name {
			return &c.StickTables[i]
		}
	}
	return nil
}

// Backend is the backend with that name, nil if there is none.
func (c *Config) Backend(name string) *Backend {
	for i := range c.Backends {
		if c.Backends[i].Name == name {
			return &c.Backends[i]
		}
	}
	return nil
}

// mostServers counts the servers, each address that a name may have as one.
func (b *Backend) mostServers() (n int) {
	for _, s := range b.Servers {
		if s.Upstream.Resolve == "all" {
			n += resolver.MaxAddrs - 1
		}
		n++
	}
	return n
}

const (
	perSession = 2   // descriptors: the client's and the server's
	headroom   = 100 // descriptors for the program itself: loops, logs, state, runtime socket
	perServer  = 2   // descriptors: a check under way, and one to spare
	perPeer    = 4   // descriptors: the stream, and what comes and goes
)

// HardMaxconn is the number of client connections that descriptors suffice
// for, once the listeners, the checks and the program itself have theirs. It
// may be negative.
func (c *Config) HardMaxconn(descriptors int) int {
	taken := headroom + perPeer*len(c.Peers.Join)
	for _, f := range c.Frontends {
		taken += len(f.Bind)
	}
	for _, b := range c.Backends {
		taken += perServer * b.mostServers()
	}
	return (descriptors - taken) / perSession
}

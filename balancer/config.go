package balancer

import "time"

// Config is the part of a [backend.NAME] section that chooses servers.
type Config struct {
	Balance        string `toml:"balance"`         // "hash" (weighted rendezvous), "roundrobin", "leastconn", "random", "first" or "source"; default "hash"
	BalanceFactor  int    `toml:"balance_factor"`  // bound of a server's load for hash and source, per cent of the average, 101 to 10,000; 0 is none
	AllBackups     bool   `toml:"allbackups"`      // use all backup servers at once, not only the first; default false
	PanicThreshold int    `toml:"panic_threshold"` // below so many per cent of servers up health counts for nothing, 0 to 100; 0 is never
	StickTable     string `toml:"stick_table"`     // name of a stick table, "" for none; default "users"
	Retries        int    `toml:"retries"`         // further attempts after a failed connect, 0 to 10; default 3

	Fullconn     int           `toml:"fullconn"`      // sessions of the backend at which servers with minconn have their whole maxconn; 0 is always
	TimeoutQueue time.Duration `toml:"timeout_queue"` // how long a login waits for a place, 0 to 1h; default 30s; 0 does not wait
}

// DefaultConfig is what a backend has where the file is silent.
func DefaultConfig() Config {
	return Config{Balance: "hash", StickTable: "users", Retries: 3, TimeoutQueue: 30 * time.Second}
}

// ServerConfig is the part of a [backend.NAME.server.NAME] section that the
// choice of a server needs.
type ServerConfig struct {
	Weight       int           `toml:"weight"`         // share of new users, 0 to 256; default 100; 0 takes no new users
	Maxconn      int           `toml:"maxconn"`        // sessions at once; 0 is no limit
	Minconn      int           `toml:"minconn"`        // sessions at once while the backend has few, see Fullconn; 0 is maxconn
	Maxqueue     int           `toml:"maxqueue"`       // logins that wait for the server; default 10,000; 0 is no limit. The backend's own queue holds the sum
	Maxlogins    int           `toml:"maxlogins"`      // logins under way at once, from the connect to the answer; 0 is no limit
	LoginRate    int           `toml:"login_rate"`     // logins begun per second, in one burst those of a second; 0 is no limit
	Backup       bool          `toml:"backup"`         // takes new users only when no other server does; default false
	Slowstart    time.Duration `toml:"slowstart"`      // after it came up the weight and the limits rise from 5 to 100 per cent over this, 0s to 1h; 0 is at once
	OnMarkedDown string        `toml:"on_marked_down"` // what becomes of its sessions when it goes down: "shutdown-sessions" or "none"; default "shutdown-sessions"
	Tags         []string      `toml:"tags"`           // groups it belongs to, up to 8, which routes name; default none
	State        string        `toml:"state"`          // admin state at start: "ready", "drain" or "maint"; default "ready"
}

// DefaultServerConfig is what a server has where the file is silent.
func DefaultServerConfig() ServerConfig {
	return ServerConfig{Weight: 100, Maxqueue: 10_000, OnMarkedDown: "shutdown-sessions", State: "ready"}
}

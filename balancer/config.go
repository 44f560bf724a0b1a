package balancer

// Config is the part of a [backend.NAME] section that chooses servers.
type Config struct {
	Balance    string `toml:"balance"`     // "hash" (weighted rendezvous) or "roundrobin"; default "hash"
	StickTable string `toml:"stick_table"` // name of a stick table, "" for none; default "users"
	Retries    int    `toml:"retries"`     // further attempts after a failed connect, 0 to 10; default 3
}

// DefaultConfig is what a backend has where the file is silent.
func DefaultConfig() Config {
	return Config{Balance: "hash", StickTable: "users", Retries: 3}
}

// ServerConfig is the part of a [backend.NAME.server.NAME] section that the
// choice of a server needs.
type ServerConfig struct {
	Weight  int    `toml:"weight"`  // share of new users, 0 to 256; default 100; 0 takes no new users
	Maxconn int    `toml:"maxconn"` // sessions at once; 0 is no limit
	State   string `toml:"state"`   // admin state at start: "ready", "drain" or "maint"; default "ready"
}

// DefaultServerConfig is what a server has where the file is silent.
func DefaultServerConfig() ServerConfig {
	return ServerConfig{Weight: 100, State: "ready"}
}

package peers

import "time"

// Config is the [peers] section. Without it a process stands alone.
type Config struct {
	Name        string        `toml:"name"`         // of this peer, unique among them, 1 to 255 bytes; default the host name
	Bind        string        `toml:"bind"`         // "ip:port", TCP and UDP; required
	Advertise   string        `toml:"advertise"`    // "ip:port" the others reach it by; default bind, or a private address if that is 0.0.0.0
	Join        []string      `toml:"join"`         // "host:port" of other peers, asked for ever; its own may be among them; 64 at most
	KeyFile     string        `toml:"key_file"`     // base64 of 16, 24 or 32 bytes a line; the first encrypts, all decrypt
	Insecure    bool          `toml:"insecure"`     // go without a key though bind is not on loopback
	Cluster     string        `toml:"cluster"`      // peers of another cluster are refused, 1 to 255 bytes; default "imaplb"
	SyncTimeout time.Duration `toml:"sync_timeout"` // longest wait at start for what the others know; default 5s
	PeerGrace   time.Duration `toml:"peer_grace"`   // until the sessions of a dead peer count as gone; default 60s
	OnMinority  string        `toml:"on_minority"`  // "freeze": with less than half of the peers nobody is moved; or "serve"; default "freeze"
	TieBreaker  string        `toml:"tie_breaker"`  // name of the peer whose half counts as the majority
	MoveTimeout time.Duration `toml:"move_timeout"` // longest wait for the others in a move of a user; default 10s
}

// DefaultConfig is what the file leaves unsaid.
func DefaultConfig() Config {
	return Config{
		Cluster: "imaplb", SyncTimeout: 5 * time.Second, PeerGrace: time.Minute,
		OnMinority: "freeze", MoveTimeout: 10 * time.Second,
	}
}

package sticktable

import "time"

// Config is one [stick_table.NAME] section.
type Config struct {
	Key    string        `toml:"key"`    // what an entry is looked up by: "user" or "domain"; default "user"
	Size   int           `toml:"size"`   // entries at most, 1 to 100,000,000; default 1,000,000
	Expire time.Duration `toml:"expire"` // life of an entry after its last session ended, 1s to 24h*365; default 15m
	Peers  bool          `toml:"peers"`  // shared with the peers, if the process has some; default true
}

// DefaultConfig is what a table has where the file is silent.
func DefaultConfig() Config {
	return Config{Key: "user", Size: 1_000_000, Expire: 15 * time.Minute, Peers: true}
}

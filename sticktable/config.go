package sticktable

import "time"

// Config is one [stick_table.NAME] section.
type Config struct {
	Key        string        `toml:"key"`         // what an entry is looked up by: "user", "domain", "src", "sni" or a Template such as "{user|strip '*'}"; default "user"
	IPv4Prefix int           `toml:"ipv4_prefix"` // with key = "src": bits of an IPv4 address that tell sources apart, 1 to 32; default 32
	IPv6Prefix int           `toml:"ipv6_prefix"` // the same of an IPv6 address, 1 to 128; default 64
	Store      []string      `toml:"store"`       // counters of its entries, such as "conn_rate(10s)", see ParseStore; default none
	Size       int           `toml:"size"`        // entries at most, 1 to 100,000,000; default 1,000,000
	Expire     time.Duration `toml:"expire"`      // life of an entry after its last session ended, 1s to 24h*365; default 15m
	Peers      bool          `toml:"peers"`       // shared with the peers, if the process has some; default true
}

// The bits of an address that tell sources apart, where a Config has none.
const (
	defaultIPv4Prefix = 32
	defaultIPv6Prefix = 64 // what one customer has: he may change the rest at will
)

// DefaultConfig is what a table has where the file is silent.
func DefaultConfig() Config {
	return Config{
		Key: "user", IPv4Prefix: defaultIPv4Prefix, IPv6Prefix: defaultIPv6Prefix,
		Size: 1_000_000, Expire: 15 * time.Minute, Peers: true,
	}
}

package health

import "time"

// Config is the check = { … } table of a backend.
type Config struct {
	Kind      string        `toml:"kind"`      // "tcp" (connect only) or "none"; default "tcp"
	Inter     time.Duration `toml:"inter"`     // between two checks of a server that is up; default 2s
	Fastinter time.Duration `toml:"fastinter"` // between two checks in a transition; 0 is inter; default 1s
	Downinter time.Duration `toml:"downinter"` // between two checks of a server that is down; 0 is inter
	Timeout   time.Duration `toml:"timeout"`   // longest check; default 2s
	Rise      int           `toml:"rise"`      // good checks in a row until a server is up, 1 to 100; default 2
	Fall      int           `toml:"fall"`      // bad checks in a row until a server is down, 1 to 100; default 3
}

// DefaultConfig is what a backend has where the file is silent.
func DefaultConfig() Config {
	return Config{
		Kind: "tcp", Inter: 2 * time.Second, Fastinter: time.Second,
		Timeout: 2 * time.Second, Rise: 2, Fall: 3,
	}
}

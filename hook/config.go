package hook

import "time"

// Config is the part of a [backend.NAME] section that says what runs while a
// user is moved.
type Config struct {
	OnMove    string        `toml:"on_move"`           // program run while a user is moved, relative to the file; "" is none
	Timeout   time.Duration `toml:"move_hook_timeout"` // it is killed after this, 100ms to 1m; default 10s
	KickDelay time.Duration `toml:"kick_delay"`        // a moved user's logins wait this much longer if it failed, 0s to 30s; default 2s (director_user_kick_delay)
}

// DefaultConfig is what a backend has where the file is silent.
func DefaultConfig() Config {
	return Config{Timeout: 10 * time.Second, KickDelay: 2 * time.Second}
}

// Longest is how long the hook and the delay behind it may take, 0 without a
// hook.
func (c *Config) Longest() time.Duration {
	if c.OnMove == "" {
		return 0
	}
	return c.Timeout + c.KickDelay
}

package stats

// Config is the [stats] section.
type Config struct {
	Socket      string `toml:"socket"`       // path of the runtime socket; "" is none
	SocketMode  string `toml:"socket_mode"`  // permissions in octal; default "0660"
	SocketLevel string `toml:"socket_level"` // "user", "operator" or "admin"; default "admin"
	HTTP        string `toml:"http"`         // "ip:port" that answers /healthz and /readyz; "" is none
}

// DefaultConfig is what the file leaves unsaid.
func DefaultConfig() Config {
	return Config{SocketMode: "0660", SocketLevel: "admin"}
}

package frontend

import "time"

// Config is one [frontend.NAME] section.
type Config struct {
	Bind          []string      `toml:"bind"`             // "ip:port", "[ip6]:port", ":port" or "unix:/path"; at least one
	Mode          string        `toml:"mode"`             // "imap" or "tcp"; default "imap"
	TLS           string        `toml:"tls"`              // "none", "starttls" or "implicit"; default "implicit" if certs are given, else "none"
	Certs         []Cert        `toml:"certs"`            // chosen by SNI; the first is the default
	RequireTLS    bool          `toml:"require_tls"`      // with starttls: no login before it; default true
	VerifyClient  string        `toml:"verify_client"`    // certificates of clients: "none", "optional" or "required"; default "none"
	ClientCA      string        `toml:"client_ca"`        // PEM file of the authorities that sign them; default "", none
	AcceptProxy   []string      `toml:"accept_proxy"`     // networks whose connections begin with a PROXY header, "unix" for unix sockets; default none
	ProxyTimeout  time.Duration `toml:"proxy_timeout"`    // until that header is there, 100ms to 1m; default 3s
	TrackSrc      string        `toml:"track_src"`        // stick table with key = "src" that counts the clients; default "", none
	Rules         []Rule        `toml:"rules"`            // who may connect and log in; default none
	Trusted       []string      `toml:"trusted_networks"` // networks whose clients no rule and no level of wrong passwords holds up; default none
	TarpitTimeout time.Duration `toml:"tarpit_timeout"`   // silence towards who is in the tarpit, 100ms to 10m; default 10s
	Maxconn       int           `toml:"maxconn"`          // connections at once; 0 is no limit but the global one
	Backend       string        `toml:"backend"`          // name of the backend; required
	Route         []Route       `toml:"route"`            // mode imap: where else logins go, the first that holds; default none
	UseBackend    []Route       `toml:"use_backend"`      // mode tcp: the same of connections, without user and domain
	TimeoutClient time.Duration `toml:"timeout_client"`   // silence of the client after login; default 31m
}

// Cert is a certificate chain with its key, both PEM files. A relative path is
// relative to the configuration file.
type Cert struct {
	Cert string `toml:"cert"`
	Key  string `toml:"key"`
}

// DefaultConfig is what a frontend has where the file is silent.
func DefaultConfig() Config {
	return Config{Mode: "imap", RequireTLS: true, VerifyClient: VerifyNone, ProxyTimeout: 3 * time.Second, TarpitTimeout: 10 * time.Second, TimeoutClient: 31 * time.Minute}
}

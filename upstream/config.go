package upstream

import "time"

// Config is the part of a [backend.NAME] section about logging in to a server.
type Config struct {
	Login          string        `toml:"login"`           // "passthrough": the client's own credentials; default "passthrough"
	TimeoutConnect time.Duration `toml:"timeout_connect"` // TCP connect and greeting; default 5s
	TimeoutLogin   time.Duration `toml:"timeout_login"`   // from the greeting to the answer to LOGIN; default 30s
	TimeoutServer  time.Duration `toml:"timeout_server"`  // silence of the server after login; default 31m
}

// DefaultConfig is what a backend has where the file is silent.
func DefaultConfig() Config {
	return Config{
		Login: "passthrough", TimeoutConnect: 5 * time.Second, TimeoutLogin: 30 * time.Second,
		TimeoutServer: 31 * time.Minute,
	}
}

// ServerConfig is the part of a [backend.NAME.server.NAME] section about
// reaching the server.
type ServerConfig struct {
	Addr       string `toml:"addr"`        // "host:port" or "unix:/path"; required. A name is looked up again and again
	Resolve    string `toml:"resolve"`     // what a name in Addr stands for: "one" server at its lowest address, or a server at each, "all"; default "one"
	TLS        string `toml:"tls"`         // "none", "starttls" or "implicit"; default "none"
	TLSVerify  bool   `toml:"tls_verify"`  // check the server's certificate; default true
	CAFile     string `toml:"ca_file"`     // PEM file of authorities; "" is the system's
	ServerName string `toml:"server_name"` // name in the server's certificate; default the host of addr
	Source     string `toml:"source"`      // local address to connect from; "" is the kernel's choice
	SendProxy  string `toml:"send_proxy"`  // "", "v1" or "v2": PROXY header in front of each login; default ""
	Trusted    bool   `toml:"trusted"`     // send ID with x-originating-ip and so on; default true
}

// DefaultServerConfig is what a server has where the file is silent.
func DefaultServerConfig() ServerConfig {
	return ServerConfig{Resolve: "one", TLS: "none", TLSVerify: true, Trusted: true}
}

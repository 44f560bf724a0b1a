package health

import "time"

// Config is the check = { … } table of a backend.
type Config struct {
	Kind      string        `toml:"kind"`      // "tcp" (connect only), "tls", "imap", "login" or "none"; default "tcp"
	Inter     time.Duration `toml:"inter"`     // between two checks of a server that is up; default 2s
	Fastinter time.Duration `toml:"fastinter"` // between two checks in a transition; 0 is inter; default 1s
	Downinter time.Duration `toml:"downinter"` // between two checks of a server that is down; 0 is inter
	Timeout   time.Duration `toml:"timeout"`   // longest check; default 2s
	Rise      int           `toml:"rise"`      // good checks in a row until a server is up, 1 to 100; default 2
	Fall      int           `toml:"fall"`      // bad checks in a row until a server is down, 1 to 100; default 3

	Observe    string `toml:"observe"`     // users' logins that tell of the server's health: "none", "layer4" (connects) or "layer7" (answers too); default "none"
	ErrorLimit int    `toml:"error_limit"` // failures in a row until on_error, 1 to 1,000,000; default 10
	OnError    string `toml:"on_error"`    // "fastinter", "fail-check", "sudden-death" or "mark-down"; default "fail-check"

	User         string `toml:"user"`          // who logs in, for kind "login"
	PasswordFile string `toml:"password_file"` // file with the password in one line, for kind "login"
}

// DefaultConfig is what a backend has where the file is silent.
func DefaultConfig() Config {
	return Config{
		Kind: "tcp", Inter: 2 * time.Second, Fastinter: time.Second,
		Timeout: 2 * time.Second, Rise: 2, Fall: 3,
		Observe: "none", ErrorLimit: 10, OnError: "fail-check",
	}
}

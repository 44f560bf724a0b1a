package upstream

// Outcome is what came of a login at a server.
type Outcome uint8

// The outcomes. All but OK, AuthFailed, Limit and Refused are the server's or
// the network's fault, and the client should try again with the same password.
const (
	OK             Outcome = iota
	AuthFailed             // wrong user or password
	Temporary              // the server said that it cannot at present
	Limit                  // too many sessions
	Refused                // NO with another code, which the client is told
	ConnectRefused         // nobody listens
	ConnectTimeout         // no connection, or no greeting, in time
	LoginTimeout           // no answer to the login in time
	Protocol               // what came was not IMAP as it should be
	TLSFailed              // the server's TLS or certificate
	NeedsTLS               // the server takes no password in clear
	Lost                   // the server left in the middle
	LocalFailure           // this host has no descriptor or port left
	Looping                // the login has come through too many proxies
	numOutcomes
)

// outcomes has a row for each Outcome: its word for the log and HAProxy's
// letters (C: while connecting; the login counts as part of that).
var outcomes = [numOutcomes]struct{ word, termination string }{
	OK:             {"ok", "--"},
	AuthFailed:     {"auth_failed", "PC"},
	Temporary:      {"server_unavailable", "SC"},
	Limit:          {"server_limit", "SC"},
	Refused:        {"server_refused", "SC"},
	ConnectRefused: {"connect_refused", "SC"},
	ConnectTimeout: {"connect_timeout", "sC"},
	LoginTimeout:   {"login_timeout", "sC"},
	Protocol:       {"server_protocol", "SC"},
	TLSFailed:      {"server_tls", "SC"},
	NeedsTLS:       {"server_needs_tls", "SC"},
	Lost:           {"server_lost", "SC"},
	LocalFailure:   {"local_resources", "RC"},
	Looping:        {"proxy_loop", "PC"},
}

// String is the word of the log.
func (o Outcome) String() string { return outcomes[o].word }

// Termination is the two-letter termination state of a session that ends with it.
func (o Outcome) Termination() string { return outcomes[o].termination }

// Retry reports whether another attempt may help: nothing was sent that the
// server could have acted on.
func (o Outcome) Retry() bool { return o == ConnectRefused || o == ConnectTimeout }

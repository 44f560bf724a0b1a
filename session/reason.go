package session

import "imaplb/imap"

// Reason is why a session ended before its login.
type Reason uint8

// The reasons. Timeouts of the TLS handshake are the frontend's.
const (
	ClientClosed   Reason = iota // the client went away
	LoggedOut                    // LOGOUT
	LoginTimeout                 // not logged in in time
	BadCommands                  // too many of them
	LineTooLong                  // a line or command without end
	LiteralTooLong               // refused literals without end
	EarlyBytes                   // bytes behind STARTTLS that TLS does not protect
	Protocol                     // not IMAP: TLS spoken to a port in clear
	Shutdown                     // this process stops
	NumReasons                   // how many there are
)

// reasons has the word for logs and counters, HAProxy's termination state, and
// the last words to the client. The first letter of the state is HAProxy's: C
// the client went away, c it timed out, P the proxy refused it, K killed by
// the administrator, - a normal end. The second is L, during the login.
var reasons = [NumReasons]struct {
	word, termination string
	bye               imap.Reply // no Text is no BYE
}{
	ClientClosed:   {"client_closed", "CL", imap.Reply{}},
	LoggedOut:      {"logged_out", "--", imap.Reply{}},
	LoginTimeout:   {"login_timeout", "cL", bye("", "Disconnected for inactivity.")},
	BadCommands:    {"bad_commands", "PL", bye("", "Too many invalid IMAP commands.")},
	LineTooLong:    {"line_too_long", "PL", bye("", "Command too long.")},
	LiteralTooLong: {"literal_too_long", "PL", bye("TOOBIG", "Literal too long.")},
	EarlyBytes:     {"early_bytes", "PL", imap.Reply{}},
	Protocol:       {"protocol", "PL", imap.Reply{}},
	Shutdown:       {"shutdown", "KL", bye("UNAVAILABLE", "Server is shutting down.")},
}

func bye(code, text string) imap.Reply {
	return imap.Reply{Status: imap.StatusBYE, Code: code, Text: text}
}

// String is the word for logs and counters.
func (r Reason) String() string { return reasons[r].word }

// Termination is the two-letter state that HAProxy's logs would have.
func (r Reason) Termination() string { return reasons[r].termination }

package relay

// Reason is why a relayed session ended.
type Reason uint8

// The reasons, with what the log makes of them (see String and Termination).
const (
	Normal        Reason = iota // the server said BYE: a logout, or its own decision
	ClientClosed                // the client left without LOGOUT
	ClientAborted               // the client's connection broke
	ClientTimeout               // the client was silent for timeout_client
	ServerClosed                // the server left without BYE
	ServerAborted               // the server's connection broke
	ServerTimeout               // the server was silent for timeout_server
	Killed                      // by an operator
	ServerDown                  // the server was marked down or put to maint
	Moved                       // the user lives on another server now
	Stopping                    // this process stops
	Closed                      // mode tcp: both sides have sent their end
	numReasons
)

// reasons has a row for each Reason. The state is HAProxy's two letters: who
// ended it, and during what (D: data).
var reasons = [numReasons]struct{ word, termination, bye string }{
	Normal:        {"logout", "--", ""},
	ClientClosed:  {"client_closed", "CD", ""},
	ClientAborted: {"client_aborted", "CD", ""},
	ClientTimeout: {"client_timeout", "cD", "* BYE [UNAVAILABLE] Disconnected for inactivity.\r\n"},
	ServerClosed:  {"server_closed", "SD", byeServerLost},
	ServerAborted: {"server_aborted", "SD", byeServerLost},
	ServerTimeout: {"server_timeout", "sD", byeServerLost},
	Killed:        {"killed", "KD", "* BYE [UNAVAILABLE] Session closed by the administrator, please reconnect.\r\n"},
	ServerDown:    {"server_down", "DD", "* BYE [UNAVAILABLE] Server is going down, please reconnect.\r\n"},
	Moved:         {"moved", "KD", "* BYE [UNAVAILABLE] Mailbox moved to another server, please reconnect.\r\n"},
	Stopping:      {"stopping", "PD", "* BYE [UNAVAILABLE] Service is stopping, please reconnect.\r\n"},
	Closed:        {"closed", "--", ""},
}

// byeServerLost is said when the server is gone. RFC 5530 section 3.
const byeServerLost = "* BYE [UNAVAILABLE] Server connection lost, please reconnect.\r\n"

// String is the word of the log.
func (r Reason) String() string { return reasons[r].word }

// Termination is the two-letter termination state as HAProxy writes it.
func (r Reason) Termination() string { return reasons[r].termination }

func (r Reason) bye() string { return reasons[r].bye }

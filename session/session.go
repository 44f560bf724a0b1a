// Package session is the life of a client connection before login, written as
// a state machine that does no I/O, starts no goroutine and reads no clock:
//
//	            ┌──────────── TLSDone ─────────── handshake ◀─┐
//	            ▼                                             │STARTTLS
//	Start ─▶ command ─LOGIN──────────────────────▶ login ─▶ taken over by the driver
//	          │ ▲ ▲  ─AUTHENTICATE─▶ sasl ─done────▶ │
//	 refused  │ │ └──────────── NO ─────────────────┤LoginFailed
//	 literal  ▼ │                                    ├─third time─▶ delayed ─Tick─▶ NO
//	          skip                                   └─OAuth─▶ dummy ─any line─▶ NO
//
//	any state ─error, deadline, LOGOUT, Shutdown or EOF─▶ closed
//
// It speaks the commands of RFC 9051 sections 6.1 and 6.2 as far as they make
// sense in front of servers, answers them itself, and ends where the driver
// takes the connection over. It verifies no password, keeps no bytes and knows
// nothing of servers.
package session

import (
	"encoding/base64"
	"time"

	"imaplb/auth"
	"imaplb/imap"
)

// Bounds of what a client may send, in bytes.
const (
	maxLine      = 8192     // a command with its literals, RFC 7162 section 4
	maxTokenLine = 88 << 10 // a command or line that may hold an OAuth token, in base64
	maxLiteral   = 4096     // LITERAL-, RFC 7888 section 5
	maxSkip      = 64 << 10 // refused literals of one connection, read and dropped
)

// maxBad is the bad command that ends the connection.
const maxBad = 3

// Config is what a session has to know of its frontend. Immutable.
type Config struct {
	LoginTimeout time.Duration // from New to the login; and from a login to its outcome
	TLS          string        // "none", "starttls" or "implicit"
	RequireTLS   bool          // with starttls: no login before it
	Greeting     string        // human text, one line; "" is "imaplb ready"
}

// Effects is what a session asks of its driver. The methods must not block or
// call back into the session; what they are given is valid during the call
// only, except a Login, which the driver may keep.
type Effects interface {
	ToClient(p []byte) // write
	StartTLS()         // the OK was written: begin the handshake, call TLSDone after it, offer no bytes till then
	Login(l *Login)    // log in: call LoginFailed, or take the connection over
	Close(why Reason)  // close when what was written is out
}

// Login is what a client wants to log in with.
type Login struct {
	auth.Credentials
	ID  []imap.IDPair // what it said with ID, its own x-… keys left out
	TTL int           // proxies that the login may still pass, by x-proxy-ttl; 0 if nothing was said
}

// state is where a session stands.
type state uint8

const (
	stateCommand   state = iota // waits for a command: not authenticated, RFC 9051 section 3.1
	stateSkip                   // drops a refused literal and the rest of its command
	stateSASL                   // waits for a message of an AUTHENTICATE
	stateHandshake              // STARTTLS accepted; the driver is shaking hands
	stateLogin                  // the driver is logging in to a server
	stateDelayed                // the login has failed; the answer waits
	stateDummy                  // OAuth failure told; waits for the client's empty answer
	stateClosed
	numStates
)

// A step consumes the front of in, which is not empty, and names the next
// state. used == 0 with the state unchanged means "incomplete: offer the same
// bytes again, and more".
type step func(s *Session, now time.Time, in []byte) (used int, next state)

// steps is the whole machine: a row per state, a column per input. A nil client
// cell leaves the bytes with the driver, so that a client that pipelines past
// its LOGIN is held back, not dropped. late is what happens at the deadline,
// which is until in rows with own, and else the end of the login timeout.
var steps = [numStates]struct {
	name   string
	client step
	late   func(s *Session) (next state)
	own    bool
}{
	stateCommand:   {"command", (*Session).command, (*Session).timeout, false},
	stateSkip:      {"skip", (*Session).skip, (*Session).timeout, false},
	stateSASL:      {"sasl", (*Session).saslLine, (*Session).timeout, false},
	stateHandshake: {"handshake", nil, (*Session).timeout, false},
	stateLogin:     {"login", nil, (*Session).timeout, true},
	stateDelayed:   {"delayed", nil, (*Session).answerLogin, true},
	stateDummy:     {"dummy", (*Session).dummyLine, (*Session).timeout, false},
	stateClosed:    {"closed", nil, nil, false},
}

// A Session is owned by the event loop of its client connection: only that
// loop may call its methods. It lives from accept to login and keeps no bytes
// of the client but its tag, its ID and a SASL user name.
type Session struct {
	cfg *Config
	fx  Effects

	loginBy time.Time // end of the login timeout
	until   time.Time // end of the stay in the states with a deadline of their own

	scan    imap.Scanner // progress within the bytes that the driver keeps
	toSkip  int32        // bytes of a refused literal still to come
	skipped int32        // bytes of all refused literals

	state    state
	tls      bool
	wide     bool  // the present line may hold a token
	asked    bool  // the client asked for CAPABILITY
	ttl      int8  // x-proxy-ttl of the client, 0 for none
	bad      uint8 // bad commands so far
	failures uint8 // failed logins so far

	tag    string        // of the LOGIN or AUTHENTICATE under way
	sasl   auth.Exchange // of the AUTHENTICATE under way
	answer string        // to the failed login, with its CRLF, until it is sent
	id     []imap.IDPair // what the client said with ID
}

// New makes a session. tls says that the connection is under TLS already.
func New(cfg *Config, fx Effects, now time.Time, tls bool) *Session {
	return &Session{cfg: cfg, fx: fx, tls: tls, loginBy: now.Add(cfg.LoginTimeout)}
}

// Start greets the client.
func (s *Session) Start(time.Time) {
	text := s.cfg.Greeting
	if text == "" {
		text = "imaplb ready"
	}
	s.say(imap.Reply{Status: imap.StatusOK, Code: s.capability(), Text: text})
}

// FromClient consumes bytes sent by the client and reports how many it took.
// The driver keeps the rest and offers it again: with more behind it, and after
// TLSDone, LoginFailed and Tick, which may have made the session ready for it.
func (s *Session) FromClient(now time.Time, in []byte) (n int) {
	for f := steps[s.state].client; f != nil && n < len(in); f = steps[s.state].client {
		used, next := f(s, now, in[n:])
		n += used
		if used == 0 && next == s.state {
			break // incomplete
		}
		s.enter(next)
	}
	return n
}

// MaxInput is the most unconsumed bytes that the driver has to keep in the
// present state: a session that waits for bytes and is offered that many makes
// progress, ends, or raises MaxInput. It is 8193, and 90,113 while an OAuth
// token is expected or under way.
func (s *Session) MaxInput() int { return s.limit() + 1 }

// TLSDone says that the handshake was made. What the client said in clear is
// forgotten. RFC 9051 section 6.2.1.
func (s *Session) TLSDone(time.Time) {
	if s.state != stateHandshake {
		return
	}
	s.tls = true
	s.id, s.ttl, s.tag, s.asked = nil, 0, "", false
	s.enter(stateCommand)
}

// LoginFailed says that the login that was asked for has failed. The client is
// answered, at Deadline if it has failed too often, and may try again.
func (s *Session) LoginFailed(now time.Time, f Failure) {
	if s.state == stateLogin {
		s.enter(s.failLogin(now, f))
	}
}

// Deadline is when Tick wants to be called. It changes with every call of
// another method and is never zero.
func (s *Session) Deadline() time.Time {
	if steps[s.state].own {
		return s.until
	}
	return s.loginBy
}

// Tick does what is due: a delayed answer, or the end of the session.
func (s *Session) Tick(now time.Time) {
	if late := steps[s.state].late; late != nil && !now.Before(s.Deadline()) {
		s.enter(late(s))
	}
}

// Shutdown ends the session because the process stops.
func (s *Session) Shutdown(time.Time) { s.finish(Shutdown) }

// EOF ends the session because the client closed its side. The driver has
// offered everything that came before.
func (s *Session) EOF(time.Time) { s.finish(ClientClosed) }

// State is the name of the present state, for showing it.
func (s *Session) State() string { return steps[s.state].name }

func (s *Session) finish(why Reason) {
	if s.state != stateClosed {
		s.enter(s.end(why))
	}
}

// enter is the only place where the state changes. No step but command and
// sasl waits for a token, and every state starts at the front of the bytes.
func (s *Session) enter(next state) {
	if next != s.state {
		s.state, s.scan = next, imap.Scanner{}
		s.wide = next == stateSASL && s.sasl.Mechanism().OAuth()
	}
}

// limit is the most bytes of a line or command in the present state.
func (s *Session) limit() int {
	if s.wide {
		return maxTokenLine
	}
	return maxLine
}

func (s *Session) timeout() state { return s.end(LoginTimeout) }

// end says why, unless TLS is about to begin and nothing may be said in clear.
func (s *Session) end(why Reason) state {
	if bye := reasons[why].bye; bye.Text != "" && s.state != stateHandshake {
		s.say(bye)
	}
	s.fx.Close(why)
	return stateClosed
}

// say writes one status line.
func (s *Session) say(r imap.Reply) {
	s.fx.ToClient(imap.AppendReply(make([]byte, 0, 256), r))
}

// challenge writes a SASL challenge. RFC 9051 section 6.2.2.
func (s *Session) challenge(text string) {
	p := append(make([]byte, 0, 128), "+ "...)
	p = base64.StdEncoding.AppendEncode(p, []byte(text))
	s.fx.ToClient(append(p, "\r\n"...))
}

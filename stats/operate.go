package stats

import (
	"context"
	"net/netip"
	"time"
)

// Operator is the part of a Node that has to do with where users are and
// shall be.
type Operator interface {
	// KickSessions ends sessions, and tells how many there were at this peer.
	KickSessions(o Order, k Kick) (int, error)
	// Pin has a user always go to a server, and moves him there, as Move does,
	// if he lives on another one. Unpin ends that.
	Pin(ctx context.Context, o Order, m Move) error
	Unpin(o Order, table, user string) error
	Pins() []Pin
	// Flush begins to move the users of a draining server elsewhere, so many at
	// once. EndFlush stops that.
	Flush(o Order, backend, server string, parallel int) error
	EndFlush(o Order, backend, server string) error
	Flushes() []Flush
	// Population counts the users of a table by server. It looks through the
	// table.
	Population(table string) map[string]Population
	// Explain tells where a user would go.
	Explain(q Question) ([]Explanation, error)
}

// Kick says whose sessions are to be ended: those of one user or mask, those on
// a server, or those from a network.
type Kick struct {
	User            string
	Backend, Server string
	Source          string // "192.0.2.0/24" or "192.0.2.7", as the operator wrote it
}

// Pin is where a user always goes.
type Pin struct {
	Table, Key      string
	Backend, Server string
	By, Peer        string
	When            time.Time
}

// Flush is how far the users of a server have been moved away.
type Flush struct {
	Backend, Server     string
	Phase               string // "runs", "ended"
	By, Peer            string
	Since               time.Time
	Parallel            int
	Moved, Failed, Left int
	Note                string
}

// Population is the users of a server.
type Population struct {
	Users    int // that have sessions, at any peer
	Sessions int // of them
	Idle     int // that have an entry and no session
}

// Question is what is known of a login that is asked about. What is empty is not
// known.
type Question struct {
	User    string
	Backend string     // only this one; "" is all that his logins may come to
	From    netip.Addr // the client
	SNI     string     // the name he asks for by TLS
	Bind    string     // the address he comes to, as the file has it, or the frontend's name
}

// Explanation is where a user would go, and why, in words and numbers.
type Explanation struct {
	Backend, Table, Algo string
	Key                  string   // of the table
	Way                  string   // how logins come to the backend
	Verdict              string   // where a login now would go
	Why                  string   // the rule that says so
	Entry                string   // what the table says
	Pin, Move            string   // "" for none
	Servers              []string // a line each, in the order of the algorithm
	Client               []string // what rules and wrong passwords do to him, if he is known
	Limits               []string // a line for each limit
	Notes                []string // what else matters, such as votes
}

// Package relay moves bytes between a client and a server that has accepted
// the client's login, until one of them leaves. It copies, counts, holds the
// fast side back while the slow one catches up, and ends silent sessions.
//
// It does not understand what it moves, with one exception: it follows the
// line ends of the server's stream, so that it can say BYE to the client when
// the server dies, and only where a BYE would be read as one.
package relay

import (
	"sync/atomic"
	"time"

	"imaplb/loop"
)

// Timeouts bound the silence of each side. Immutable.
type Timeouts struct {
	Client time.Duration
	Server time.Duration
}

const (
	// halfClosed bounds the time a side may stay after the other has sent
	// its end and all of it was passed on.
	halfClosed = 30 * time.Second
	// serverGone is the same when it is the server that ended: an IMAP
	// session is over then, and the client has only to close.
	serverGone = 5 * time.Second
)

// Owner is told once that a pair has ended. Both connections are closed or
// finishing by themselves.
type Owner interface {
	PairEnded(p *Pair, why Reason)
}

// Pair is a client connection and its server connection. It is meant to be a
// field of the owner's record of the session. Owned by the loop of its client
// connection, but for the counters.
type Pair struct {
	client, server *loop.Conn
	owner          Owner
	limits         *Timeouts
	timer          loop.Timer
	clientLast     int64 // Coarse ms of the last byte from or to the client
	serverLast     int64
	up, down       atomic.Int64
	lines
	ending side // who has sent its end first
	said   bool // our own BYE
	ended  bool
	raw    bool // see Waiting
}

type side uint8

const (
	nobody side = iota
	clientSide
	serverSide
)

// Waiting is what has to be sent before anything else: the answer to the login
// with all that followed it, and what the client sent behind its login.
type Waiting struct {
	ToClient, ToServer []byte
	Raw                bool // the stream is not IMAP: its lines are not followed, no BYE is put in
}

// Start joins the two connections, which live on the same loop.
func (p *Pair) Start(client, server *loop.Conn, limits *Timeouts, owner Owner, w Waiting) {
	p.client, p.server, p.limits, p.owner, p.raw = client, server, limits, owner, w.Raw
	client.SetHandler(p)
	server.SetHandler(p)
	now := client.Loop().Coarse()
	p.clientLast, p.serverLast = now, now
	p.arm()
	// Neither write can fail over to Closed before both handlers are set.
	p.pass(server, client, &p.down, w.ToClient)
	if !p.ended {
		p.pass(client, server, &p.up, w.ToServer)
	}
	// What TLS has read behind the login waits in the connection.
	if !p.ended && client.Paused() && server.Pending() == 0 {
		client.Resume()
	}
}

// Bytes is what has gone from the client to the server and back, decrypted.
// Any goroutine may call it.
func (p *Pair) Bytes() (up, down int64) { return p.up.Load(), p.down.Load() }

// SetTimeouts makes new limits hold from the next look at the clock on.
func (p *Pair) SetTimeouts(limits *Timeouts) {
	if p.client == nil || p.ended {
		return
	}
	p.limits = limits
	p.arm()
}

// Last is when the last byte passed, in ms as loop.Coarse counts, and when the
// pair times out if no further one does.
func (p *Pair) Last() (last, expires int64) {
	return max(p.clientLast, p.serverLast), p.deadline()
}

// Server is the server connection, nil before Start.
func (p *Pair) Server() *loop.Conn { return p.server }

// other is the connection across from c, its counter, and c's side.
func (p *Pair) other(c *loop.Conn) (to *loop.Conn, count *atomic.Int64, from side) {
	if c == p.client {
		return p.server, &p.up, clientSide
	}
	return p.client, &p.down, serverSide
}

// touch notes that bytes moved on a connection.
func (p *Pair) touch(c *loop.Conn) {
	if c == p.client {
		p.clientLast = c.Loop().Coarse()
	} else {
		p.serverLast = c.Loop().Coarse()
	}
}

// Data passes bytes on. It implements loop.Handler.
func (p *Pair) Data(c *loop.Conn, b []byte) {
	to, count, _ := p.other(c)
	p.touch(c)
	p.pass(c, to, count, b)
}

func (p *Pair) pass(from, to *loop.Conn, count *atomic.Int64, b []byte) {
	if len(b) == 0 {
		return
	}
	if to == p.client && !p.raw {
		p.lines.follow(b)
	}
	count.Add(int64(len(b)))
	to.Write(b)
	if p.ended {
		return
	}
	if to.Pending() > 0 {
		from.Pause()
	} else {
		p.touch(to)
	}
}

// Drained lets the source go on, or ends the pair when what was drained was
// the last of it.
func (p *Pair) Drained(c *loop.Conn) {
	p.touch(c)
	if p.client.Done() && p.server.Done() {
		p.end(p.reasonOfEnd())
		return
	}
	from, _, _ := p.other(c)
	from.Resume()
}

// EOF passes the end on, behind all bytes.
func (p *Pair) EOF(c *loop.Conn) {
	to, _, from := p.other(c)
	if p.ending == nobody {
		p.ending = from
	}
	if p.ending == serverSide && from == serverSide {
		p.sayBye(byeServerLost)
	}
	switch {
	case p.ended:
	case p.ending != from && to.Pending() == 0, // the second of the two
		p.lines.bye && from == serverSide && to.Pending() == 0: // a logout is over for both
		p.end(p.reasonOfEnd())
	default:
		to.CloseWrite()
		if !p.ended { // the close_notify may have failed
			p.arm()
		}
	}
}

// Closed ends the pair when a connection broke.
func (p *Pair) Closed(c *loop.Conn, err error) {
	_, _, from := p.other(c)
	switch {
	case p.ending != nobody: // both had said goodbye, one just was not polite
		p.end(p.reasonOfEnd())
	case from == clientSide:
		p.end(ClientAborted)
	default:
		p.sayBye(byeServerLost)
		p.end(ServerAborted)
	}
}

// reasonOfEnd tells an orderly logout from a side that just left.
func (p *Pair) reasonOfEnd() Reason {
	switch {
	case p.raw:
		return Closed
	case p.lines.bye:
		return Normal
	case p.ending == clientSide:
		return ClientClosed
	default:
		return ServerClosed
	}
}

// Kill ends the pair for a reason that lies in neither side.
func (p *Pair) Kill(why Reason) {
	if p.ended || p.client == nil {
		return
	}
	p.sayBye(why.bye())
	p.end(why)
}

// sayBye tells the client why it is left alone, if the server has not done so
// and the stream is at a place where it will be understood.
func (p *Pair) sayBye(text string) {
	if p.ended || p.raw || text == "" || p.said || p.lines.bye || !p.lines.between() {
		return
	}
	p.said = true
	p.client.Write([]byte(text))
}

// end is the only way out.
func (p *Pair) end(why Reason) {
	if p.ended {
		return
	}
	p.ended = true
	p.client.Loop().StopTimer(&p.timer)
	if p.lines.bye {
		p.client.FinishQuiet() // a client has nothing to say after a logout
	} else {
		p.client.Finish()
	}
	p.server.Close()
	p.owner.PairEnded(p, why)
}

// deadline is when the pair times out, in Coarse ms.
func (p *Pair) deadline() int64 {
	c := p.clientLast + p.limits.Client.Milliseconds()
	s := p.serverLast + p.limits.Server.Milliseconds()
	last := max(p.clientLast, p.serverLast)
	if p.raw { // one side may go on for as long as it has to say something
		return min(c, s)
	}
	switch p.ending {
	case serverSide:
		return min(c, last+serverGone.Milliseconds())
	case clientSide:
		return min(s, last+halfClosed.Milliseconds())
	}
	return min(c, s)
}

func (p *Pair) arm() {
	p.client.Loop().SetTimer(&p.timer, time.UnixMilli(p.deadline()), p)
}

// Expired looks whether a side has been silent for too long. Traffic does not
// move the timer, it only moves the deadline that is looked at here.
func (p *Pair) Expired(time.Time) {
	ms := p.client.Loop().Coarse()
	if ms < p.deadline() {
		p.arm()
		return
	}
	switch {
	case p.ending != nobody:
		p.end(p.reasonOfEnd())
	case p.clientLast+p.limits.Client.Milliseconds() <= ms:
		p.Kill(ClientTimeout)
	default:
		p.Kill(ServerTimeout)
	}
}

package peers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"time"
)

// Pauses between two attempts to connect to a peer.
const (
	redialFirst = 50 * time.Millisecond
	redialLast  = 2 * time.Second
)

// dial keeps a stream to a peer while it is a member.
func (g *Group) dial(p *peer) {
	defer g.wg.Done()
	pause := redialFirst
	for {
		addr, wanted := g.wanted(p)
		if !wanted {
			return
		}
		began := time.Now()
		err := g.connect(p, addr)
		if time.Since(began) > redialLast {
			pause = redialFirst // it was there for a while
		}
		if err != nil && g.said.new(time.Now(), "dial "+p.name+" "+sayOf(err)) && g.ctx.Err() == nil {
			g.log.Warn("no connection to a peer, trying on", "peer", p.name, "addr", addr, "err", err)
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
			pause = min(2*pause, redialLast)
		case <-p.redial:
			pause = redialFirst
		case <-g.ctx.Done():
		}
	}
}

// wanted tells whether to dial p, and where; if not, dial is over.
func (g *Group) wanted(p *peer) (addr string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ok = p.state == StateAlive && !g.closed && !g.leaving
	p.dialing = ok
	return p.addr, ok
}

// connect dials and serves a stream until it ends; an error says why there was
// none, or that the other is not to be had.
func (g *Group) connect(p *peer, addr string) error {
	raw, err := g.net.dial(addr, redialLast)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(g.ctx, func() { _ = raw.Close() })
	defer stop()
	m, err := g.greet(raw, p.name)
	if err != nil {
		_ = raw.Close()
		g.refused(err, p.name, addr)
		return err
	}
	if err := g.serve(p, m); errors.Is(err, ErrVersion) {
		return err
	}
	return nil
}

// greet is the dialer's side of handshake and proof.
func (g *Group) greet(raw net.Conn, wanted string) (*meeting, error) {
	tune(raw)
	if err := raw.SetDeadline(time.Now().Add(introWithin)); err != nil {
		return nil, err
	}
	if _, err := raw.Write([]byte{firstByte}); err != nil {
		return nil, err
	}
	conn := tls.Client(raw, g.tls)
	if err := conn.Handshake(); err != nil {
		return nil, err
	}
	proof, err := newProof(conn, g.ring, g.cfg.Cluster)
	if err != nil {
		return nil, err
	}
	other, mac, err := proof.introduce(conn, g.self, wanted)
	if err != nil {
		return nil, err
	}
	s := &shown{proof: proof, self: g.self, other: other, dialed: true, macs: [][]byte{mac}}
	return &meeting{raw, conn, s}, raw.SetDeadline(time.Time{})
}

// accept serves a connection that began with our byte, until it ends.
func (g *Group) accept(raw net.Conn, proven func()) {
	m, who, err := g.welcome(raw)
	proven()
	if err != nil {
		_ = raw.Close()
		g.refused(err, who.name, raw.RemoteAddr().String())
		return
	}
	g.mu.Lock()
	p := g.peerLocked(who.name)
	if p != nil && p.state != StateAlive {
		p.addr = who.address
	}
	g.mu.Unlock()
	if p == nil {
		_ = raw.Close()
		return
	}
	_ = g.serve(p, m)
}

// welcome is the acceptor's side of handshake and proof.
func (g *Group) welcome(raw net.Conn) (*meeting, intro, error) {
	if c, ok := raw.(*counted); ok {
		tune(c.Conn)
	}
	if err := raw.SetDeadline(time.Now().Add(introWithin)); err != nil {
		return nil, intro{}, err
	}
	conn := tls.Server(raw, g.tls)
	if err := conn.Handshake(); err != nil {
		return nil, intro{}, fmt.Errorf("handshake: %w", err)
	}
	proof, err := newProof(conn, g.ring, g.cfg.Cluster)
	if err != nil {
		return nil, intro{}, err
	}
	who, mac, err := proof.receive(conn, g.self, g.admit)
	if err != nil {
		return nil, who, err
	}
	s := &shown{proof: proof, self: g.self, other: who, macs: [][]byte{mac}}
	return &meeting{raw, conn, s}, who, raw.SetDeadline(time.Time{})
}

// admit refuses a process that has the name of another.
func (g *Group) admit(who intro) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.peers[who.name]
	if who.name == g.cfg.Name || p != nil && p.state == StateAlive && p.addr != who.address {
		return errClash
	}
	return nil
}

// sayOf is an error without what differs each time: an error of the network names
// our port, too.
func sayOf(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}

// refusals are what an operator has to mend.
var refusals = []error{errWrongKey, errClash, errWrongName}

// refused counts and tells what an operator has to mend, once a minute for each
// address.
func (g *Group) refused(err error, name, addr string) {
	i := slices.IndexFunc(refusals, func(r error) bool { return errors.Is(err, r) })
	if i < 0 {
		return
	}
	if err = refusals[i]; errors.Is(err, errWrongKey) {
		g.wrongKey.Add(1)
	}
	lines := &g.said
	if name == "" { // so that they silence nobody else
		lines = &g.strangers
	}
	host, _, _ := net.SplitHostPort(addr)
	g.mu.Lock()
	defer g.mu.Unlock()
	if lines.new(time.Now(), "refused "+host+" "+err.Error()) {
		g.say(PeerRefused, name, addr, err.Error())
	}
}

// tune sets up a connection for small updates that should not wait.
func tune(raw net.Conn) {
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetNoDelay(true)
		_ = tcp.SetWriteBuffer(sendBuffer)
	}
}

package peers

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Times of a stream.
const (
	writeWithin = 10 * time.Second
	readWithin  = 5 * time.Second // the other's echo comes each second; a firewall that forgot the connection says nothing
	byeWithin   = time.Second     // for the other to hang up after our bye
)

// sendBuffer bounds what lies in the kernel before a fresh update.
const sendBuffer = 256 << 10

// Reasons why a stream is closed.
var (
	errBye  = errors.New("left in order")
	errDead = errors.New("it is dead")
)

// A stream drives a link over a connection: one goroutine reads, one writes.
// It is shared: any goroutine may call nudge and close.
type stream struct {
	g    *Group
	peer *peer
	raw  net.Conn
	conn *tls.Conn
	link *Link

	met    *shown
	show   atomic.Bool // our keys are to be shown
	states *[]State    // what the link was made with

	wakeup chan struct{} // holds a token when the writer has to look
	asleep atomic.Int64  // until when the writer sleeps, ns; 0 while it is awake
	ended  chan struct{} // closed by close
	read   chan struct{} // closed when the reader has ended

	mu  sync.Mutex // guards err
	err error      // why it ended, nil before
}

// serve runs a stream that has been proven, until it ends, and returns why.
func (g *Group) serve(p *peer, m *meeting) error {
	s := &stream{
		g: g, peer: p, raw: m.raw, conn: m.conn, met: m.shown,
		wakeup: make(chan struct{}, 1), ended: make(chan struct{}), read: make(chan struct{}),
	}
	s.states = g.states.Load()
	s.link = NewLink(LinkConfig{
		Self: g.cfg.Name, Incarnation: g.opts.Incarnation, States: *s.states, OnMessage: s.message,
	}, p.remote)
	if !g.attach(s) {
		_ = s.raw.Close()
		return net.ErrClosed
	}
	switch {
	case !s.met.holds(): // the key went meanwhile
		s.close(errOldKey)
	case len(g.ring.all()) > 1:
		s.showKeys()
	}
	g.wg.Add(1)
	go s.reads() // until the connection ends
	err := s.writes()
	if errors.Is(err, errBye) {
		_ = s.conn.CloseWrite()
		select {
		case <-s.read:
		case <-time.After(byeWithin):
		}
	}
	s.close(err)
	<-s.read
	err = s.reason()
	g.detach(s, err)
	return err
}

// nudge wakes the writer.
func (s *stream) nudge() {
	select {
	case s.wakeup <- struct{}{}:
	default:
	}
}

// close ends the stream; the first reason counts.
func (s *stream) close(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = why
	if why == nil {
		s.err = io.EOF
	}
	close(s.ended)
	_ = s.raw.Close() // not conn: it would wait to say so
}

func (s *stream) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// writes sends what the link has, at once, until the stream ends.
func (s *stream) writes() error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var buf []byte
	for {
		now := time.Now()
		s.sayKeys()
		if buf = s.link.Next(now, buf[:0]); len(buf) > 0 {
			_ = s.conn.SetWriteDeadline(now.Add(writeWithin))
			if _, err := s.conn.Write(buf); err != nil {
				return fmt.Errorf("writing: %w", err)
			}
			if s.link.Bidden() {
				return errBye
			}
			continue
		}
		// First asleep for ever: what changes from here on nudges.
		s.asleep.Store(math.MaxInt64)
		at := s.link.Deadline(now)
		s.asleep.Store(at.UnixNano())
		timer.Reset(max(at.Sub(now), time.Millisecond))
		select {
		case <-s.wakeup:
		case <-timer.C:
		case <-s.ended:
			return nil
		}
		s.asleep.Store(0)
	}
}

// reads takes frames in until the connection ends.
func (s *stream) reads() {
	defer s.g.wg.Done()
	defer close(s.read)
	in := bufio.NewReaderSize(s.conn, maxBatch)
	var frame []byte
	met, ready := false, false
	for {
		_ = s.conn.SetReadDeadline(time.Now().Add(readWithin))
		var err error
		if frame, err = readFrame(in, frame); err != nil {
			s.close(err)
			return
		}
		now := time.Now()
		if frame == nil {
			s.peer.remote.Drop()
			s.complain(&DropError{Kind: "long", Err: errFrame})
			continue
		}
		if err = s.link.Receive(now, frame); err != nil && !s.complain(err) {
			s.close(err)
			return
		}
		if s.link.Left() {
			s.g.sawBye(s)
			s.close(errBye)
			return
		}
		if !met && s.link.isGreeted() {
			met = true
			s.g.met(s)
		}
		if !ready && s.link.Ready() {
			ready = true
			s.g.up(s)
		}
		if s.link.Deadline(now).UnixNano() < s.asleep.Load() {
			s.nudge()
		}
	}
}

// readFrame reads into b's room; nil with no error for a frame that is too
// long, but still a frame.
func readFrame(in *bufio.Reader, b []byte) ([]byte, error) {
	head, err := in.Peek(lengthSize)
	if err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(head))
	_, _ = in.Discard(lengthSize)
	if n > maxDiscard {
		return nil, fmt.Errorf("%w: frame of %d bytes", ErrEnd, n)
	}
	if n > maxFrame {
		_, err = in.Discard(n)
		return nil, err
	}
	b = slices.Grow(b[:0], max(n, 1))[:n]
	_, err = io.ReadFull(in, b)
	return b, err
}

// complain logs that a frame was dropped, once a minute for each peer and
// kind; false if err is not about that.
func (s *stream) complain(err error) bool {
	drop, ok := errors.AsType[*DropError](err)
	if !ok {
		return false
	}
	if s.g.said.new(time.Now(), "drop "+s.peer.name+" "+drop.Kind) {
		s.g.log.Warn("a peer's frame was dropped", "peer", s.peer.name, "kind", drop.Kind, "err", drop.Err)
	}
	return true
}

func (s *stream) message(topic string, b []byte) {
	if topic == topicKeys {
		if err := s.met.take(b); err != nil {
			s.peer.remote.Drop()
			s.complain(&DropError{Kind: "message", Err: err})
		}
		return
	}
	if s.g.opts.OnMessage != nil {
		s.g.opts.OnMessage(s.peer.name, topic, b)
	}
}

// attach makes s the stream of its peer; of two the newer wins. False after Close,
// if other states are to be shared by now, and if the record of the peer has made
// room for another since the stream was accepted.
func (g *Group) attach(s *stream) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.leaving || s.states != g.states.Load() || g.peers[s.peer.name] != s.peer {
		return false
	}
	if old := s.peer.stream; old != nil {
		old.close(errors.New("a newer one took over"))
	}
	s.peer.stream = s
	g.setLive()
	return true
}

// detach ends the part of s; a newer stream is left alone.
func (g *Group) detach(s *stream, why error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.peer.stream != s {
		return
	}
	s.peer.stream = nil
	g.setLive()
	g.changed.Broadcast()
	if g.closed || g.leaving || errors.Is(why, errBye) || errors.Is(why, errStates) {
		return // who left has been told of
	}
	kind := PeerDown
	if errors.Is(why, ErrVersion) {
		kind = PeerRefused
	}
	if kind == PeerDown || g.said.new(time.Now(), "version "+s.peer.name) {
		g.say(kind, s.peer.name, s.peer.addr, why.Error())
	}
	if kind == PeerDown {
		g.lookLocked()
	}
}

// lookLocked has all compare what a peer that is lost told only some of them: when
// the connection with it ends, and when it is dead, since others may have heard it
// until then. g.mu is held.
func (g *Group) lookLocked() {
	for _, s := range *g.live.Load() {
		s.link.Look(time.Now())
		s.nudge()
	}
}

// setLive publishes the streams to be woken. g.mu is held.
func (g *Group) setLive() {
	var live []*stream
	for _, p := range g.peers {
		if p.stream != nil {
			live = append(live, p.stream)
		}
	}
	g.live.Store(&live)
}

// up: all the other knew has been learned.
func (g *Group) up(s *stream) {
	for _, state := range s.link.States() {
		if state.Unlike {
			g.log.Warn("a peer's table stores other counters, only those of both are shared", "peer", s.peer.name, "table", state.Name)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.peer.stream == s {
		g.say(PeerUp, s.peer.name, s.peer.addr, "")
	}
}

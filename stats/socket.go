// Package stats answers the runtime socket: HAProxy's commands, formats, error
// texts and framing, so that the tools made for it work unchanged, and a few
// commands of our own (show users, kick user, reload, debug gc).
//
// It knows the running process through [Node] alone. It keeps no numbers, no
// history and no lock of the data path, and never builds a long answer in
// memory: dumps are written as they are read, and a client that does not take
// them holds up its own goroutine only, until the timeout.
//
// Not answered: the commands of HAProxy that concern what imaplb does not have
// (HTTP, ACLs, maps, agents, certificates over the socket). Of the payload
// syntax (<<) only the reading is there, since no command takes a payload.
package stats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// Limits of the socket.
const (
	maxClients   = 64               // connected at once; the next one is told and closed
	maxLine      = 16 << 10         // bytes of a command line
	maxWords     = 64               // words of a command
	maxPayload   = 128 << 10        // bytes
	maxPattern   = 64               // bytes of what ends a payload
	idleTimeout  = 10 * time.Second // default of "set timeout cli"; reading and writing alike
	maxTimeout   = 24 * time.Hour
	refuseWithin = time.Second // to take the text that refuses a client
	acceptPause  = 100 * time.Millisecond
)

// A Server listens on the runtime socket. Shared: any goroutine may call any
// method.
type Server struct {
	// Immutable after New.
	node     Node
	log      *slog.Logger
	path     string
	level    level
	commands []command
	now      func() time.Time
	listener *net.UnixListener
	file     os.FileInfo // the socket file as it was made, to remove only that
	ctx      context.Context
	cancel   context.CancelFunc // Close was called

	idle idleMeter

	wg      sync.WaitGroup
	mu      sync.Mutex // guards the field below
	clients map[*client]struct{}
}

// New binds the socket of cfg, whose Socket must be set. A socket file left by
// a process that is gone is replaced; one that is listened on is an error.
func New(cfg Config, node Node, log *slog.Logger) (*Server, error) {
	lvl, err := parseLevel(cfg.SocketLevel)
	if err != nil {
		return nil, err
	}
	mode, err := parseMode(cfg.SocketMode)
	if err != nil {
		return nil, err
	}
	l, file, err := listen(cfg.Socket, mode)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Server{
		node: node, log: log, path: cfg.Socket, level: lvl, commands: commandTable(), now: time.Now,
		listener: l, file: file, ctx: ctx, cancel: cancel, clients: map[*client]struct{}{},
	}, nil
}

// Serve answers clients until Close, and then returns nil. It pauses when the
// process is out of descriptors and goes on.
func (s *Server) Serve() error {
	for {
		conn, err := s.listener.AcceptUnix()
		switch {
		case err == nil:
			s.admit(conn)
		case errors.Is(err, net.ErrClosed):
			return nil
		default:
			s.log.Warn("runtime socket: accept failed", "err", err)
			s.pause()
		}
	}
}

func (s *Server) pause() {
	t := time.NewTimer(acceptPause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
	}
}

// admit gives the connection a goroutine, or refuses it.
func (s *Server) admit(conn *net.UnixConn) {
	c := newClient(s, conn)
	s.mu.Lock()
	full := len(s.clients) >= maxClients
	closed := s.ctx.Err() != nil
	if !full && !closed {
		s.clients[c] = struct{}{}
		s.wg.Add(1)
	}
	s.mu.Unlock()
	switch {
	case closed:
		conn.Close()
	case full:
		conn.SetWriteDeadline(time.Now().Add(refuseWithin))
		io.WriteString(conn, "Too many clients on this socket, try again later.\n\n")
		conn.Close()
	default:
		go c.run() // ends with its connection; Close waits on s.wg
	}
}

func (s *Server) forget(c *client) {
	s.mu.Lock()
	delete(s.clients, c)
	s.mu.Unlock()
	s.wg.Done()
}

// Close stops listening, ends the clients that wait for their next command, and
// waits for the commands under way until ctx is done; then it cuts them.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.cancel()
	for c := range s.clients {
		c.conn.SetReadDeadline(time.Unix(1, 0))
	}
	s.mu.Unlock()
	s.unlink()
	err := s.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}

	done := make(chan struct{})
	go s.closeWhenIdle(done)
	select {
	case <-done:
	case <-ctx.Done():
		s.cut()
		<-done
		err = errors.Join(err, fmt.Errorf("stats: commands cut short: %w", ctx.Err()))
	}
	return err
}

func (s *Server) closeWhenIdle(done chan struct{}) {
	s.wg.Wait()
	close(done)
}

func (s *Server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		c.conn.Close()
	}
}

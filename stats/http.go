package stats

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits of the HTTP listener.
const (
	httpTimeout = 5 * time.Second // to send a request, and to take its answer
	httpHeader  = 8 << 10         // bytes of a request's header
	maxHTTP     = 64              // connections at once; the next ones wait in the kernel
)

// HTTP answers what a watchdog asks: /healthz, whether the process lives, and
// /readyz, whether clients should be sent to it. Shared: any goroutine may call
// any method.
type HTTP struct {
	listener net.Listener
	server   *http.Server
}

// NewHTTP binds addr, "ip:port".
func NewHTTP(ctx context.Context, addr string, node Node) (*HTTP, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("stats: http: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "ok") // a client that is gone needs no answer
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { readyz(w, node) })
	return &HTTP{listener: newLimited(l, maxHTTP), server: &http.Server{
		Handler: mux, ReadTimeout: httpTimeout, WriteTimeout: httpTimeout, IdleTimeout: httpTimeout, MaxHeaderBytes: httpHeader,
	}}, nil
}

// readyz answers 200 while logins are taken, else 503 and why not.
func readyz(w http.ResponseWriter, node Node) {
	ready, why := node.Ready()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if !ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = fmt.Fprintln(w, why) // a client that is gone needs no answer
}

// Addr is the bound address.
func (h *HTTP) Addr() string { return h.listener.Addr().String() }

// Serve answers until Close, and then returns nil.
func (h *HTTP) Serve() error {
	if err := h.server.Serve(h.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("stats: http: %w", err)
	}
	return nil
}

// Close ends it at once.
func (h *HTTP) Close() { _ = h.server.Close() } // its connections matter to nobody

// limited is a listener with a bound of connections at once. Shared: any
// goroutine may call any method.
type limited struct {
	net.Listener
	room   chan struct{} // a token for each connection
	closed chan struct{}
	once   sync.Once
}

func newLimited(l net.Listener, n int) *limited {
	return &limited{Listener: l, room: make(chan struct{}, n), closed: make(chan struct{})}
}

// Accept waits for room, then for a connection.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.room <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.room
		return nil, err
	}
	return &limitedConn{Conn: c, l: l}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// limitedConn gives its room back when it is closed.
type limitedConn struct {
	net.Conn
	l    *limited
	once sync.Once
}

func (c *limitedConn) Close() error {
	c.once.Do(func() { <-c.l.room })
	return c.Conn.Close()
}

package stats

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestHTTP(t *testing.T) {
	node := newSnapshot()
	h, err := NewHTTP(t.Context(), "127.0.0.1:0", node)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- h.Serve() }()
	for _, c := range []struct {
		path   string
		ready  bool
		why    string
		status int
		body   string
	}{
		{"/healthz", false, "learning", 200, "ok\n"},
		{"/readyz", true, "serving", 200, "serving\n"},
		{"/readyz", false, "learning from the peers", 503, "learning from the peers\n"},
		{"/", true, "", 404, "404 page not found\n"},
	} {
		node.ready, node.why = c.ready, c.why
		resp, err := http.Get("http://" + h.Addr() + c.path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != c.status || string(body) != c.body {
			t.Errorf("%s: %d %q, %v; want %d %q", c.path, resp.StatusCode, body, err, c.status, c.body)
		}
	}
	h.Close()
	if err := <-served; err != nil {
		t.Errorf("Serve = %v after Close", err)
	}
	http.DefaultClient.CloseIdleConnections()
}

// counting is a listener to which there is always a next connection.
type counting struct {
	net.Listener
	accepted atomic.Int64
}

func (l *counting) Accept() (net.Conn, error) {
	l.accepted.Add(1)
	c, _ := net.Pipe()
	return c, nil
}

func (l *counting) Close() error { return nil }

// Over the limit nobody is accepted until a connection has gone, and Close
// ends the wait.
func TestHTTPIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		below := new(counting)
		l := newLimited(below, 2)
		conns := make(chan net.Conn, 3)
		var end error
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					end = err
					close(conns)
					return
				}
				conns <- c
			}
		}()
		synctest.Wait()
		if n := below.accepted.Load(); n != 2 {
			t.Errorf("%d accepted, want 2", n)
		}
		first := <-conns
		_ = first.Close()
		_ = first.Close() // gives one room back, not two
		synctest.Wait()
		if n := below.accepted.Load(); n != 3 {
			t.Errorf("%d accepted when one had gone, want 3", n)
		}
		_ = l.Close()
		synctest.Wait()
		for range conns {
		}
		if !errors.Is(end, net.ErrClosed) {
			t.Errorf("Accept = %v behind Close", end)
		}
	})
}

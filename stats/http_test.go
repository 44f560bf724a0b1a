package stats

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"
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

// Connections that say nothing take no more than their number, and the next
// one waits for one of them to go.
func TestHTTPIsBounded(t *testing.T) {
	h, err := NewHTTP(t.Context(), "127.0.0.1:0", newSnapshot())
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- h.Serve() }()
	var idle []net.Conn
	for range maxHTTP {
		c, err := net.Dial("tcp", h.Addr())
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, c)
	}
	answered := make(chan error, 1)
	go func() {
		resp, err := http.Get("http://" + h.Addr() + "/healthz")
		if err == nil {
			err = resp.Body.Close()
		}
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Errorf("answered over the limit: %v", err)
	case <-time.After(100 * time.Millisecond): // it cannot be seen that something waits, only that it is not there yet
	}
	_ = idle[0].Close()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	for _, c := range idle {
		_ = c.Close()
	}
	h.Close()
	if err := <-served; err != nil {
		t.Errorf("Serve = %v after Close", err)
	}
	http.DefaultClient.CloseIdleConnections()
}

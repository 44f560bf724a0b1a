package stats

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imaplb/sticktable"
)

func tempDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "stats")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func open(t *testing.T, cfg Config) (*Server, error) {
	t.Helper()
	s, err := New(cfg, newSnapshot(), slog.New(slog.DiscardHandler))
	if err == nil {
		t.Cleanup(func() { s.Close(context.Background()) })
	}
	return s, err
}

func TestPermissions(t *testing.T) {
	for mode, want := range map[string]os.FileMode{"": 0o660, "0600": 0o600, "666": 0o666} {
		path := filepath.Join(tempDir(t), "sock")
		s, err := open(t, Config{Socket: path, SocketMode: mode})
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("mode %q: %v, %v", mode, info.Mode(), err)
		}
		if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
			t.Errorf("left behind: %v", entries)
		}
		s.Close(context.Background())
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("after Close: %v", err)
		}
	}
}

func TestBadConfig(t *testing.T) {
	dir := tempDir(t)
	for want, cfg := range map[string]Config{
		"socket_mode":          {Socket: filepath.Join(dir, "a"), SocketMode: "rw"},
		"in octal":             {Socket: filepath.Join(dir, "a"), SocketMode: "7777"},
		"socket_level":         {Socket: filepath.Join(dir, "a"), SocketLevel: "root"},
		"longer than 107":      {Socket: filepath.Join(dir, strings.Repeat("x", 107))},
		"folder of the socket": {Socket: filepath.Join(dir, "none", "a")},
	} {
		if _, err := open(t, cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// A socket that is listened on is left alone, a dead one is replaced, and
// something else is never removed.
func TestStaleSocket(t *testing.T) {
	path := filepath.Join(tempDir(t), "sock")
	first, err := open(t, Config{Socket: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, Config{Socket: path}); err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Fatalf("second server: %v", err)
	}
	first.listener.Close() // as a process that died: the file stays
	second, err := open(t, Config{Socket: path})
	if err != nil {
		t.Fatalf("dead socket in the way: %v", err)
	}
	first.Close(context.Background())
	if conn, err := net.Dial("unix", path); err != nil {
		t.Errorf("the first server removed its successor's socket: %v", err)
	} else {
		conn.Close()
	}
	second.Close(context.Background())

	if err := os.WriteFile(path, []byte("mail"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, Config{Socket: path}); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("file in the way: %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "mail" {
		t.Error("the file in the way is gone")
	}
}

// The client after the last place is told; when one leaves there is room.
func TestTooManyClients(t *testing.T) {
	s := start(t, newSnapshot(), "admin")
	enter := func() (net.Conn, string) {
		conn := dial(t, s)
		io.WriteString(conn, "prompt\n")
		b := make([]byte, 3)
		io.ReadFull(conn, b)
		return conn, string(b)
	}
	var last net.Conn
	for i := range maxClients {
		conn, got := enter()
		if got != "\n> " {
			t.Fatalf("client %d: %q", i+1, got)
		}
		last = conn
	}
	refused := dial(t, s)
	got, err := io.ReadAll(refused)
	if want := "Too many clients on this socket, try again later.\n\n"; err != nil || string(got) != want {
		t.Fatalf("client %d: %q, %v", maxClients+1, got, err)
	}
	last.Close()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, got := enter(); got == "\n> " {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no room though a client left")
		}
	}
}

// A silent client is closed after its timeout.
func TestIdleTimeout(t *testing.T) {
	if got := ask(t, start(t, newSnapshot(), "user"), "prompt\nset timeout cli 20ms\n"); got != "\n> \n> " {
		t.Errorf("%q", got)
	}
}

// A client that asks for much and reads nothing is closed after its timeout,
// holds up nobody, and little is kept for it.
func TestClientThatDoesNotRead(t *testing.T) {
	node := newSnapshot()
	big := sticktable.New("big", sticktable.Config{Size: 1 << 20, Expire: time.Hour}, "lb1")
	for i := range 50_000 {
		big.Set(noon, fmt.Sprintf("user%06d@example.org", i), "mail1")
	}
	node.tables = append(node.tables, big)
	s := start(t, node, "admin")
	conn := dial(t, s)
	r := bufio.NewReader(conn)
	io.WriteString(conn, "prompt i\nset timeout cli 300ms\n")
	until(t, r, "\n\n")
	io.WriteString(conn, "show table big\n")
	until(t, r, "size:1048576, used:50000\n") // it is at it
	if got := ask(t, s, "show cli level\n"); got != "admin\n\n" {
		t.Errorf("another client: %q", got)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil { // nil: the goroutine ended by itself
		t.Errorf("the client was not given up: %v", err)
	}
	rest, _ := io.Copy(io.Discard, r)
	if rest > 2<<20 {
		t.Errorf("%d bytes were kept for it", rest)
	}
}

// Close lets a command end, but not longer than its context.
func TestClose(t *testing.T) {
	s, err := open(t, Config{Socket: filepath.Join(tempDir(t), "sock")})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	waiting := dial(t, s)
	r := bufio.NewReader(waiting)
	io.WriteString(waiting, "prompt i\n")
	until(t, r, "\n")
	delayed := dial(t, s)
	io.WriteString(delayed, "show cli level;wait 30m;show cli level\n")
	d := bufio.NewReader(delayed)
	until(t, d, "admin\n\n") // "wait" sends on what came before it
	if err := s.Close(context.Background()); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if rest, err := io.ReadAll(d); err != nil || string(rest) != "Interrupted.\n\nadmin\n\n" {
		t.Errorf("the command under way: %q, %v", rest, err)
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) != 0 {
		t.Errorf("the client that waited: %q, %v", rest, err)
	}
}

func TestCloseCuts(t *testing.T) {
	node := newSnapshot()
	big := sticktable.New("big", sticktable.Config{Size: 1 << 20, Expire: time.Hour}, "lb1")
	for i := range 20_000 {
		big.Set(noon, fmt.Sprintf("user%06d@example.org", i), "mail1")
	}
	node.tables = append(node.tables, big)
	s, err := New(Config{Socket: filepath.Join(tempDir(t), "sock")}, node, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return noon }
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	conn := dial(t, s)
	io.WriteString(conn, "show table big\n")
	until(t, bufio.NewReaderSize(conn, 16), "used:20000\n")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Close(ctx); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("Close: %v", err)
	}
	<-served
}

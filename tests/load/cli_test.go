package main

import (
	"bufio"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// fakeSocket answers as runtime sockets do: silence to set table, the level,
// and one table; all with a prompt.
func fakeSocket(t *testing.T, setAnswer string) (path string, sets *int) {
	path = filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	sets = new(int)
	ended := make(chan struct{})
	go serveFake(l, setAnswer, sets, ended) // ends with its one connection
	t.Cleanup(func() { l.Close(); <-ended })
	return path, sets
}

func serveFake(l net.Listener, setAnswer string, sets *int, ended chan<- struct{}) {
	defer close(ended)
	conn, err := l.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		var out strings.Builder
		for _, cmd := range strings.Split(lines.Text(), ";") {
			switch {
			case strings.HasPrefix(cmd, "set table users key user0"):
				*sets++
				out.WriteString(setAnswer)
			case cmd == markWith:
				out.WriteString(marker + "\n")
			case cmd == "show table":
				out.WriteString("# table: other, type: string, size:9, used:1\n# table: users, type: string, size:9, used:7\n")
			}
			out.WriteString("\n> ")
		}
		conn.Write([]byte(out.String()))
	}
}

func TestFeed(t *testing.T) {
	path, sets := fakeSocket(t, "")
	c, err := dialCLI(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.conn.Close()
	if err := c.fill(2*cliLine + 1); err != nil || *sets != 2*cliLine+1 {
		t.Errorf("fill: %d commands, %v; want %d", *sets, err, 2*cliLine+1)
	}
	if n, err := c.used(); n != 7 || err != nil {
		t.Errorf("used: got %d, %v; want 7", n, err)
	}
}

func TestFeedFault(t *testing.T) {
	path, _ := fakeSocket(t, "No such table\n")
	c, err := dialCLI(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.conn.Close()
	if err := c.fill(cliLine); !errors.Is(err, errAnswer) {
		t.Errorf("got %v, want %v", err, errAnswer)
	}
}

func TestAppendSet(t *testing.T) {
	got := string(appendSet(nil, 1234))
	if want := "set table users key " + userKey(1234) + " data.server_id 1"; got != want || len(userKey(1234)) != 20 {
		t.Errorf("got %q, want %q", got, want)
	}
}

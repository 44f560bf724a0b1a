package stats

import (
	"bufio"
	"io"
	"strings"
	"testing"
)

// TestFraming is HAProxy's framing, byte by byte: what comes from connect to
// close for what is sent.
func TestFraming(t *testing.T) {
	s := start(t, newSnapshot(), "admin")
	backends := "# name\nmail\nother\n"
	tests := []struct{ name, send, want string }{
		{"one command", "show backend\n", backends + "\n"},
		{"carriage return", "show backend\r\n", backends + "\n"},
		{"chain", "show cli level;get weight mail/mail1;show backend\r\n", "admin\n\n100 (initial 100)\n\n" + backends + "\n"},
		{"silent command", "set weight mail/mail1 50%\n", "\n"},
		{"silent and dump", "set timeout cli 60;show backend\n", "\n" + backends + "\n"},
		{"one line only", "show backend\nshow backend\n", backends + "\n"},
		{"quit in a chain", "show cli level;quit;show backend\n", "admin\n\n"},
		{"blank commands between", ";;show backend; ;\n", backends + "\n"},
		{"prompt", "prompt\nquit\n", "\n> "},
		{"prompt and chain", "prompt\nshow backend;show cli level\nquit\n", "\n> " + backends + "\nadmin\n\n> "},
		{"prompt in a chain", "show backend;prompt\nshow cli level\nquit\n", backends + "\n\n> admin\n\n> "},
		{"prompt twice", "prompt\nprompt\nshow cli level\nshow backend\n", "\n> \nadmin\n\n"},
		{"interactive", "prompt i\nshow cli level\nshow backend\nquit\n", "\nadmin\n\n" + backends + "\n"},
		{"timed", "prompt timed\nshow cli level\nquit\n", "\n[1:02:03:04]> admin\n\n[1:02:03:04]> "},
		{"prompt n", "prompt\nprompt n\nshow cli level\nshow backend\n", "\n> \nadmin\n\n"},
		{"blank line with prompt", "prompt\nprompt p\nquit\n", "\n> \n> "},
		{"payload", "show backend <<\nabc\n\n", "This command takes no payload.\n\n"},
		{"payload with pattern", "show cli level;show backend <<END\nabc\n\nquit\nEND\n", "admin\n\nThis command takes no payload.\n\n"},
		{"payload with prompt", "prompt\nset table users key x <<\nabc\n\nshow cli level\nquit\n", "\n> + + This command takes no payload.\n\n> admin\n\n> "},
		{"unfinished payload", "prompt\nshow backend <<\nabc\n", "\n> + + "},
		{"no end of line", "show backend", ""},
		{"nothing", "", ""},
		{"severity", "set severity-output number;nonsense x\n", "\n[6]: " + s.usage(levelAdmin, "Unknown command: 'nonsense'. Please enter one of the following commands only:", nil) + "\n\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn := dial(t, s)
			io.WriteString(conn, tt.send)
			conn.(interface{ CloseWrite() error }).CloseWrite() // as socat does at its end of input
			got, err := io.ReadAll(conn)
			// A line that was not read when the server closed resets the connection.
			if err != nil && !strings.Contains(tt.send, "\nshow backend\n") {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("sent %q\ngot  %q\nwant %q", tt.send, got, tt.want)
			}
		})
	}
}

// No answer may hold an empty line: it would end there for those who read it.
func TestNoEmptyLineWithin(t *testing.T) {
	node := newSnapshot()
	node.fail = errFaults
	s := start(t, node, "admin")
	for _, cmd := range commandTable() {
		if cmd.words[0] == "quit" || cmd.words[0] == "prompt" {
			continue
		}
		for _, args := range []string{"", " users", " mail/mail1", " mail/mail1 state ready", " 1", " all", " json"} {
			got := ask(t, s, strings.Join(cmd.words, " ")+args+"\n")
			if body, ok := strings.CutSuffix(got, "\n"); !ok || strings.Contains("\n"+body, "\n\n") {
				t.Errorf("%s%s: %q", strings.Join(cmd.words, " "), args, got)
			}
		}
	}
}

func TestLimitsOfALine(t *testing.T) {
	s := start(t, newSnapshot(), "admin")
	pad := func(n int) string { return "echo " + strings.Repeat("x", n-len("echo \n")) + "\n" }
	if got := ask(t, s, pad(maxLine)); len(got) != maxLine-len("echo ")+1 {
		t.Errorf("a line of the greatest length: %d bytes answered", len(got))
	}
	tests := []struct{ name, send, want string }{
		{"line too long", pad(maxLine + 1), "Command line is longer than 16384 bytes.\n\n"},
		{"no end", strings.Repeat("x", maxLine), "Command line is longer than 16384 bytes.\n\n"},
		{"payload too long", "show backend <<\n" + strings.Repeat(strings.Repeat("y", 1023)+"\n", 129), "The payload is longer than 131072 bytes.\n\n"},
		{"pattern too long", "show backend <<" + strings.Repeat("E", 65) + "\n", "The payload pattern is longer than 64 bytes.\n\n"},
		{"words", strings.Repeat("a ", 65) + "\n", "Too many arguments. Commands must have at most 64 arguments.\n\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn := dial(t, s)
			io.WriteString(conn, tt.send) // the server may have closed before it took all
			got := make([]byte, len(tt.want))
			if _, err := io.ReadFull(conn, got); err != nil || string(got) != tt.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// Answers go out when the client has nothing more to say, not line by line.
func TestPipelining(t *testing.T) {
	conn := dial(t, start(t, newSnapshot(), "admin"))
	r := bufio.NewReader(conn)
	io.WriteString(conn, "prompt i\n"+strings.Repeat("get weight mail/mail1\n", 500)+"show cli le")
	if got := until(t, r, "\n"); got != "\n" {
		t.Fatalf("%q", got)
	}
	for range 500 {
		if got := until(t, r, "\n\n"); got != "100 (initial 100)\n\n" {
			t.Fatalf("%q", got)
		}
	}
	io.WriteString(conn, "vel\nquit\n")
	if rest, err := io.ReadAll(r); err != nil || string(rest) != "admin\n\n" {
		t.Errorf("%q, %v", rest, err)
	}
}

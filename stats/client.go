package stats

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Prompt modes, after each answer.
const (
	closing     = iota // one line of commands, then the connection closes
	interactive        // lines until quit, no prompt
	prompting          // and "> " after each answer
	timed              // and the uptime in the prompt
)

// A client is one connection to the socket. Owned by the goroutine running run.
type client struct {
	srv  *Server
	node Node
	conn *net.UnixConn
	in   *bufio.Reader
	out  *bufio.Writer

	level    level
	by       string // who it is, for the record of orders
	mode     int
	severity string // "none", "number" or "string"
	timeout  time.Duration
	quit     bool

	cmds    []string // of the line under way
	words   []string // of the command under way
	row     []byte   // one line of a dump
	members members  // last stick table that was written to
}

func newClient(s *Server, conn *net.UnixConn) *client {
	c := &client{srv: s, node: s.node, conn: conn, level: s.level, severity: "none", timeout: idleTimeout}
	c.by = caller(conn, s.level)
	c.in = bufio.NewReaderSize(conn, maxLine)
	c.out = bufio.NewWriterSize(patientWriter{c}, maxLine)
	return c
}

// patientWriter is the connection with the client's timeout on each write. A
// dump fails for good at the first write the client does not take in time.
type patientWriter struct{ c *client }

func (w patientWriter) Write(p []byte) (int, error) {
	w.c.conn.SetWriteDeadline(time.Now().Add(w.c.timeout))
	return w.c.conn.Write(p)
}

// run answers lines until the client or the mode ends it.
func (c *client) run() {
	defer c.srv.forget(c)
	defer c.conn.Close()
	for {
		line, err := c.readLine()
		if errors.Is(err, bufio.ErrBufferFull) {
			c.say(failedf("Command line is longer than %d bytes.", maxLine))
			c.out.WriteByte('\n')
		}
		single := c.mode == closing
		if err == nil {
			err = c.answer(line)
		}
		if err != nil || c.quit || single && c.mode == closing {
			c.out.Flush()
			return
		}
	}
}

// readLine returns the next line without its end; an unfinished last line is
// dropped with the error. What was answered so far goes out before it waits.
func (c *client) readLine() (string, error) {
	if buffered, _ := c.in.Peek(c.in.Buffered()); !hasLine(buffered) {
		if err := c.out.Flush(); err != nil {
			return "", err
		}
		c.conn.SetReadDeadline(time.Now().Add(c.timeout))
	}
	if err := c.srv.ctx.Err(); err != nil { // looked at behind the deadline: Close ends the wait
		return "", err
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(string(line[:len(line)-1]), "\r"), nil
}

func hasLine(b []byte) bool { return bytes.IndexByte(b, '\n') >= 0 }

// answer runs the commands of a line, each answer with its empty line behind.
func (c *client) answer(line string) error {
	line, end, payload := cutPayload(line)
	if payload {
		if err := c.skipPayload(end); err != nil {
			return err
		}
	}
	cmds := appendCommands(c.cmds[:0], line)
	c.cmds = cmds
	for i, cmd := range cmds {
		last := i == len(cmds)-1
		c.command(cmd, payload && last)
		if c.quit {
			return nil
		}
		c.out.WriteString(c.terminator(last))
	}
	return nil
}

// command runs one command and writes its answer.
func (c *client) command(cmd string, payload bool) {
	words, err := appendWords(c.words[:0], cmd, maxWords)
	c.words = words
	if err != nil {
		c.say(failedf("Too many arguments. Commands must have at most %d arguments.", maxWords))
		return
	}
	if len(words) > 0 && isTarget(words[0]) {
		words = words[1:]
	}
	found, args := c.srv.find(words)
	switch {
	case found == nil:
		c.say(informed(c.srv.usage(c.level, c.srv.unknown(words), words)))
	case found.level > c.level:
		c.say(failed("Permission denied"))
	case payload:
		c.say(failed("This command takes no payload."))
	default:
		c.say(found.run(c, args))
	}
}

// say writes a message; an empty one is silence.
func (c *client) say(m message) {
	if m.text == "" {
		return
	}
	c.out.WriteString(m.format(c.severity))
	c.out.WriteByte('\n')
}

// terminator is what stands behind an answer: an empty line, and the prompt
// behind the last one of a line.
func (c *client) terminator(last bool) string {
	if last && c.mode == prompting {
		return "\n> "
	}
	if last && c.mode == timed {
		up := int(c.srv.now().Sub(c.node.Info().Start).Seconds())
		return fmt.Sprintf("\n[%d:%02d:%02d:%02d]> ", up/86400, up/3600%24, up/60%60, up%60)
	}
	return "\n"
}

// skipPayload reads the lines of a payload and drops them: no command here
// takes one.
func (c *client) skipPayload(end string) error {
	if len(end) > maxPattern {
		return c.giveUp(fmt.Sprintf("The payload pattern is longer than %d bytes.", maxPattern))
	}
	for size := 0; ; {
		if c.mode >= prompting {
			c.out.WriteString("+ ")
		}
		line, err := c.readLine()
		if err != nil {
			return err
		}
		if line == end {
			return nil
		}
		if size += len(line) + 1; size > maxPayload {
			return c.giveUp(fmt.Sprintf("The payload is longer than %d bytes.", maxPayload))
		}
	}
}

var errGaveUp = errors.New("stats: client sent too much")

func (c *client) giveUp(text string) error {
	c.say(failed(text))
	c.out.WriteByte('\n')
	return errGaveUp
}

// flushRow writes c.row as a line of a dump.
func (c *client) flushRow() bool {
	c.row = append(c.row, '\n')
	return c.flush()
}

// flush writes c.row and empties it; false means that the client is gone and
// the dump should end.
func (c *client) flush() bool {
	_, err := c.out.Write(c.row)
	c.row = c.row[:0]
	return err == nil
}

// printf writes a part of a dump that is short.
func (c *client) printf(format string, a ...any) { fmt.Fprintf(c.out, format, a...) }

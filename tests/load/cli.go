package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	cliLife   = 10 * time.Minute // no connection to a runtime socket outlives it
	cliBuffer = 64 << 10
	cliLine   = 50 // commands joined to a line when as many as possible are sent

	peerTable  = "users"
	promptEnd  = "\n> "
	marker     = "admin" // what markWith answers, and nothing else does
	markWith   = "show cli level"
	feedAnswer = "\n> " + marker // the bytes that the answers to set commands are made of
)

// cli is a connection to a runtime socket, in prompt mode. imaplb and HAProxy
// are asked the same, with the same bytes. It is owned by the goroutine using it.
type cli struct {
	conn net.Conn
	in   []byte
	out  []byte
}

// socketPath is where a peer's runtime socket is.
func (r *running) socketPath() string { return filepath.Join(r.dir, r.kind.name+".sock") }

// dialCLI connects and turns the prompt on.
func dialCLI(path string) (*cli, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(cliLife))
	c := &cli{conn: conn, in: make([]byte, cliBuffer)}
	for _, cmd := range []string{"prompt", "set timeout cli 600"} {
		if _, err := c.ask(cmd); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return c, nil
}

// ask sends a command and returns the answer, valid until the next one.
func (c *cli) ask(cmd string) ([]byte, error) {
	if err := c.send(cmd); err != nil {
		return nil, err
	}
	return c.answer()
}

func (c *cli) send(cmd string) error {
	c.out = append(append(c.out[:0], cmd...), '\n')
	_, err := c.conn.Write(c.out)
	return err
}

// answer reads up to the prompt.
func (c *cli) answer() ([]byte, error) {
	for n := 0; n < len(c.in); {
		m, err := c.conn.Read(c.in[n:])
		if err != nil {
			return nil, fmt.Errorf("cli: answer: %w", err)
		}
		if n += m; bytes.HasSuffix(c.in[:n], []byte(promptEnd)) {
			return c.in[:n-len(promptEnd)], nil
		}
	}
	return nil, errors.New("cli: the answer is too long")
}

// used is how many entries the table has.
func (c *cli) used() (int, error) {
	b, err := c.ask("show table")
	if err != nil {
		return 0, err
	}
	_, rest, ok := bytes.Cut(b, []byte("# table: "+peerTable+","))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	_, number, ok2 := bytes.Cut(line, []byte("used:"))
	if !ok || !ok2 {
		return 0, fmt.Errorf("%w to show table: %.100q", errAnswer, b)
	}
	return strconv.Atoi(string(number))
}

// userKey is a user name of 20 bytes.
func userKey(i int) string { return fmt.Sprintf("user%016d", i) }

// appendSet appends the command that gives a user to the server.
func appendSet(dst []byte, user int) []byte {
	dst = append(dst, "set table "+peerTable+" key user"...)
	var digits [20]byte
	b := strconv.AppendInt(digits[:0], int64(user), 10)
	dst = append(append(dst, "0000000000000000"[len(b):]...), b...)
	return append(dst, " data.server_id 1"...)
}

// feed has users set, from the given one on and over again after wrap of them,
// in lines of as many commands as next says, until it says 0. It does not wait
// for one answer before it sends on, and returns when all were answered.
func (c *cli) feed(from, wrap int, next func(sent int) int) (sent int, err error) {
	var lines atomic.Int64 // that will be answered
	lines.Store(1 << 62)
	done := make(chan error, 1)
	go c.drain(&lines, done) // ends with the last answer, or when the connection is closed
	wrote := int64(0)
	for n := next(0); n > 0; n = next(sent) {
		c.out = c.out[:0]
		for range n {
			c.out = append(appendSet(c.out, from+sent%wrap), ';')
			sent++
		}
		c.out = append(c.out, markWith+"\n"...)
		if _, err := c.conn.Write(c.out); err != nil {
			break // the reader has the same fault, and tells
		}
		wrote++
	}
	lines.Store(wrote + 1)
	if err := c.send(markWith); err != nil {
		c.conn.Close()
	}
	return sent, <-done
}

// drain reads the answers to as many lines as there will be, to the prompt
// behind the last, which ends in the only kind of blank. Anything but
// silence and markers is a fault; it closes the connection then, so that the
// writer ends too.
func (c *cli) drain(lines *atomic.Int64, done chan<- error) {
	last := byte(0)
	for got := int64(0); got < lines.Load() || last != ' '; {
		n, err := c.conn.Read(c.in)
		if err == nil && len(bytes.Trim(c.in[:n], feedAnswer)) > 0 {
			err = fmt.Errorf("%w to set table: %.100q", errAnswer, bytes.Trim(c.in[:n], "\n> "))
		}
		if err != nil {
			c.conn.Close()
			done <- err
			return
		}
		last = c.in[n-1]
		got += int64(bytes.Count(c.in[:n], []byte(marker[:1]))) // one a in each, however it was cut
	}
	done <- nil
}

// fill has n users set as fast as they are taken.
func (c *cli) fill(n int) error {
	_, err := c.feed(0, n, func(sent int) int { return min(cliLine, n-sent) })
	return err
}

// pace has users set at a rate per second, a few each millisecond, until ctx is
// done.
func (c *cli) pace(ctx context.Context, from, wrap, rate int) (sent int, err error) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	begin := time.Now()
	return c.feed(from, wrap, func(sent int) int {
		for {
			select {
			case <-ctx.Done():
				return 0
			case <-tick.C:
			}
			due := int(time.Since(begin).Seconds() * float64(rate))
			if due > sent {
				return min(due-sent, cliLine)
			}
		}
	})
}

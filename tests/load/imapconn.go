package main

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"strconv"
	"strings"
)

const (
	capability = "CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID IDLE AUTH=PLAIN"
	connBuffer = 2 << 10 // bytes; also the longest command line
	maxLiteral = 4 << 10 // bytes of a literal in a command
	smallBody  = 1 << 20 // bytes of message 1
	largeBody  = 1 << 30 // bytes of message 2, written as it is asked for
)

var errTooLong = errors.New("imapd: literal too long")

// imapConn is one connection of the light server, owned by the goroutine
// running imapd.serve.
type imapConn struct {
	conn net.Conn
	r    *bufio.Reader
	out  []byte // answers not written yet
	body []byte
}

// imapCommand is what the server looks at of a command. arg is the first line
// behind the verb; literals and what follows them are read and dropped.
type imapCommand struct {
	tag, verb, arg string
}

func (c *imapConn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

// readLine returns the next line without its CRLF, valid until the next read.
// Answers are written before it waits, not sooner: pipelined commands are
// answered with one write.
func (c *imapConn) readLine() ([]byte, error) {
	if c.r.Buffered() == 0 {
		if err := c.flush(); err != nil {
			return nil, err
		}
	}
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

func (c *imapConn) readCommand() (imapCommand, error) {
	line, err := c.readLine()
	if err != nil {
		return imapCommand{}, err
	}
	cmd := parseCommand(line)
	for {
		size, sync, ok := literalAtEnd(line)
		if !ok {
			return cmd, nil
		}
		if size > maxLiteral {
			return imapCommand{}, errTooLong
		}
		if sync {
			c.out = append(c.out, "+ OK\r\n"...)
			if err := c.flush(); err != nil {
				return imapCommand{}, err
			}
		}
		if _, err := c.r.Discard(size); err != nil {
			return imapCommand{}, err
		}
		if line, err = c.readLine(); err != nil {
			return imapCommand{}, err
		}
	}
}

func parseCommand(line []byte) imapCommand {
	tag, rest, _ := strings.Cut(string(line), " ")
	verb, arg, _ := strings.Cut(rest, " ")
	return imapCommand{tag: tag, verb: strings.ToUpper(verb), arg: arg}
}

// literalAtEnd reads a {n} or {n+} at the end of line. sync tells that the
// client waits for a continuation. RFC 7888 section 3.
func literalAtEnd(line []byte) (size int, sync, ok bool) {
	if len(line) == 0 || line[len(line)-1] != '}' {
		return 0, false, false
	}
	open := bytes.LastIndexByte(line, '{')
	if open < 0 {
		return 0, false, false
	}
	digits, plus := bytes.CutSuffix(line[open+1:len(line)-1], []byte("+"))
	size, err := strconv.Atoi(string(digits))
	return size, !plus, err == nil && size >= 0
}

// answer puts the answer to cmd into out and says whether the connection goes
// on.
func (c *imapConn) answer(cmd imapCommand) bool {
	switch cmd.verb {
	case "NOOP":
		c.reply(cmd.tag, "OK NOOP completed")
	case "LOGIN":
		c.reply(cmd.tag, "OK ["+capability+"] logged in")
	case "AUTHENTICATE":
		return c.authenticate(cmd)
	case "ID":
		c.reply("*", "ID (\"name\" \"imapd\")")
		c.reply(cmd.tag, "OK ID completed")
	case "CAPABILITY":
		c.reply("*", capability)
		c.reply(cmd.tag, "OK CAPABILITY completed")
	case "SELECT":
		c.reply("*", "2 EXISTS")
		c.reply("*", "FLAGS (\\Seen)")
		c.reply("*", "OK [UIDVALIDITY 1] valid")
		c.reply(cmd.tag, "OK [READ-WRITE] SELECT completed")
	case "FETCH":
		return c.fetch(cmd)
	case "IDLE":
		return c.idle(cmd)
	case "LOGOUT":
		c.reply("*", "BYE logging out")
		c.reply(cmd.tag, "OK LOGOUT completed")
		return false
	default:
		c.reply(cmd.tag, "BAD unknown command")
	}
	return true
}

func (c *imapConn) reply(tag, text string) {
	c.out = append(c.out, tag...)
	c.out = append(c.out, ' ')
	c.out = append(c.out, text...)
	c.out = append(c.out, '\r', '\n')
}

func (c *imapConn) authenticate(cmd imapCommand) bool {
	mechanism, initial, _ := strings.Cut(cmd.arg, " ")
	if !strings.EqualFold(mechanism, "PLAIN") {
		c.reply(cmd.tag, "NO unknown mechanism")
		return true
	}
	if initial == "" {
		c.out = append(c.out, "+ \r\n"...)
		if _, err := c.readLine(); err != nil {
			return false
		}
	}
	c.reply(cmd.tag, "OK ["+capability+"] logged in")
	return true
}

func (c *imapConn) idle(cmd imapCommand) bool {
	c.out = append(c.out, "+ idling\r\n"...)
	line, err := c.readLine()
	if err != nil || !bytes.EqualFold(line, []byte("DONE")) {
		return false
	}
	c.reply(cmd.tag, "OK IDLE completed")
	return true
}

// fetch writes the body of message 1 or 2 straight from the shared buffer.
func (c *imapConn) fetch(cmd imapCommand) bool {
	number, _, _ := strings.Cut(cmd.arg, " ")
	size := smallBody
	switch number {
	case "1":
	case "2":
		size = largeBody
	default:
		c.reply(cmd.tag, "BAD no such message")
		return true
	}
	c.reply("*", number+" FETCH (BODY[] {"+strconv.Itoa(size)+"}")
	if c.flush() != nil {
		return false
	}
	for sent := 0; sent < size; {
		n, err := c.conn.Write(c.body[:min(len(c.body), size-sent)])
		if err != nil {
			return false
		}
		sent += n
	}
	c.out = append(c.out, ")\r\n"...)
	c.reply(cmd.tag, "OK FETCH completed")
	return true
}

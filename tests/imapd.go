package tests

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// banner is the greeting of a server that has everything a login wants.
const banner = "* OK [CAPABILITY IMAP4rev1 SASL-IR ID ENABLE IDLE LITERAL+ AUTH=PLAIN] ready"

// imapd is a server that does what a script says, for faults that a real one
// does not show. Shared: any goroutine may call any method.
type imapd struct {
	addr   string
	listen net.Listener
	script func(*visit)
	done   sync.WaitGroup

	mu    sync.Mutex // guards the fields below
	open  map[net.Conn]bool
	heard []string
}

// visit is one connection to an imapd. Owned by the goroutine of its script;
// after an error it reads as closed and writes nothing.
type visit struct {
	server *imapd
	conn   net.Conn
	r      *bufio.Reader
}

// runIMAPd serves script, once for each connection.
func runIMAPd(t testing.TB, script func(*visit)) *imapd {
	t.Helper()
	addr := freeAddr(t)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	d := &imapd{addr: addr, listen: l, script: script, open: map[net.Conn]bool{}}
	d.done.Add(1)
	go d.accept() // ends when close closes the listener
	t.Cleanup(d.close)
	return d
}

func (d *imapd) accept() {
	defer d.done.Done()
	for {
		conn, err := d.listen.Accept()
		if err != nil {
			return
		}
		d.mu.Lock()
		d.open[conn] = true
		d.mu.Unlock()
		d.done.Add(1)
		go d.serve(conn) // ends when close closes the connection
	}
}

func (d *imapd) serve(conn net.Conn) {
	defer d.done.Done()
	d.script(&visit{server: d, conn: conn, r: bufio.NewReader(conn)})
	conn.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, conn)
}

// close ends the server and its connections.
func (d *imapd) close() {
	d.listen.Close()
	d.hangUp()
	d.done.Wait()
}

// hangUp closes the connections that are open.
func (d *imapd) hangUp() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for conn := range d.open {
		conn.Close()
	}
}

// said are the lines that clients have sent.
func (d *imapd) said() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.heard...)
}

// say writes lines, each with CRLF.
func (v *visit) say(lines ...string) {
	for _, l := range lines {
		if _, err := io.WriteString(v.conn, l+"\r\n"); err != nil {
			return
		}
	}
}

// hear reads a line; "" is the end of the connection.
func (v *visit) hear() string {
	s, err := v.r.ReadString('\n')
	if err != nil {
		return ""
	}
	s = strings.TrimRight(s, "\r\n")
	v.server.mu.Lock()
	defer v.server.mu.Unlock()
	v.server.heard = append(v.server.heard, s)
	return s
}

// literal matches the announcement of a literal at the end of a line.
var literal = regexp.MustCompile(`\{(\d+)(\+?)\}$`)

// command reads a command with its literals, inviting those that wait for it;
// "" is the end.
func (v *visit) command() string {
	line := v.hear()
	for {
		m := literal.FindStringSubmatch(line)
		if m == nil {
			return line
		}
		if m[2] == "" {
			v.say("+ go on")
		}
		var size int
		fmt.Sscan(m[1], &size)
		text := make([]byte, min(size, 1<<20))
		if _, err := io.ReadFull(v.r, text); err != nil {
			return ""
		}
		line += string(text) + v.hear()
	}
}

// login greets and reads commands up to LOGIN or AUTHENTICATE, whose tag it
// returns; ok is false when the client left.
func (v *visit) login(greeting string) (tag string, ok bool) {
	v.say(greeting)
	for {
		line := v.command()
		tag, rest, _ := strings.Cut(line, " ")
		word, _, _ := strings.Cut(rest, " ")
		switch strings.ToUpper(word) {
		case "LOGIN", "AUTHENTICATE":
			return tag, true
		case "":
			return "", false
		case "ID":
			v.say(`* ID ("name" "imapd")`)
		}
		v.say(tag + " OK done")
	}
}

// accepted is login and the OK of a server that takes everybody.
func (v *visit) accepted() bool {
	tag, ok := v.login(banner)
	if ok {
		v.say(tag + " OK [CAPABILITY IMAP4rev1 IDLE LITERAL+] Logged in")
	}
	return ok
}

// serve answers every command with OK until the client leaves.
func (v *visit) serve() {
	for {
		line := v.command()
		if line == "" {
			return
		}
		tag, rest, _ := strings.Cut(line, " ")
		if strings.EqualFold(rest, "LOGOUT") {
			v.say("* BYE", tag+" OK bye")
			return
		}
		v.say(tag + " OK done")
	}
}

// wait stays silent until the client leaves.
func (v *visit) wait() { _, _ = io.Copy(io.Discard, v.r) }

// reset ends the connection with a reset.
func (v *visit) reset() {
	if c, ok := v.conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0)
	}
	v.conn.Close()
}

// stream writes text again and again, size bytes in all or until the client
// is gone; it returns what was written.
func (v *visit) stream(text string, size int) (written int) {
	block := []byte(strings.Repeat(text, max(1, (64<<10)/len(text))))
	for written < size {
		v.conn.SetWriteDeadline(time.Now().Add(time.Minute))
		n, err := v.conn.Write(block[:min(len(block), size-written)])
		written += n
		if err != nil {
			break
		}
	}
	return written
}

// acceptAll is the script of a server without faults.
func acceptAll(v *visit) {
	if v.accepted() {
		v.serve()
	}
}

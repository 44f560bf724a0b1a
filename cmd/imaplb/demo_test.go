package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
)

// TestMain lets the demo start its balancers: this program is theirs. So it is
// for TestLoopFailure.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "run" {
		spoilBySignal()
		os.Exit(execute(context.Background(), os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
	}
	os.Exit(m.Run())
}

// login logs in, looks into the mailbox and logs out.
func login(t *testing.T, c *imapclient.Client, err error, how func(*imapclient.Client) error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // logged out before
	if err := how(c); err != nil {
		t.Fatalf("login: %v", err)
	}
	inbox, err := c.Select("INBOX", nil).Wait()
	if err != nil || inbox.NumMessages != 3 {
		t.Fatalf("inbox %+v, %v; want 3 messages", inbox, err)
	}
	body := &imap.FetchItemBodySection{}
	messages, err := c.Fetch(imap.SeqSetNum(1), &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{body}}).Collect()
	if err != nil || len(messages) != 1 || !strings.Contains(string(messages[0].FindBodySection(body)), "\r\nSubject: You are on ") {
		t.Errorf("message %v, %v", messages, err)
	}
	if err := c.Logout().Wait(); err != nil {
		t.Errorf("logout: %v", err)
	}
}

func byLogin(user, pass string) func(*imapclient.Client) error {
	return func(c *imapclient.Client) error { return c.Login(user, pass).Wait() }
}

func byPlain(user, pass string) func(*imapclient.Client) error {
	return func(c *imapclient.Client) error { return c.Authenticate(sasl.NewPlainClient("", user, pass)) }
}

func TestDemoServersTakeTheirUsers(t *testing.T) {
	servers, err := startDemoServers("mail1", "mail2")
	defer stopDemoServers(servers)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range servers {
		for _, user := range demoUsers {
			c, err := imapclient.DialInsecure(s.Addr, nil)
			login(t, c, err, byLogin(user, demoPassword))
			c, err = imapclient.DialInsecure(s.Addr, nil)
			login(t, c, err, byPlain(user, demoPassword))
		}
		c, err := imapclient.DialInsecure(s.Addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.Login(demoUsers[0], "wrong").Wait() == nil {
			t.Error("a wrong password was accepted")
		}
		_ = c.Close()
	}
}

func TestDemoPortGivesWay(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	busy := ln.Addr().(*net.TCPAddr).Port
	if got, err := choosePort(busy); err != nil || got == busy || got == 0 {
		t.Errorf("port %d is taken: got %d, %v", busy, got, err)
	}
	_ = ln.Close()
	if got, err := choosePort(busy); err != nil || got != busy {
		t.Errorf("port %d is free: got %d, %v", busy, got, err)
	}
}

// demoRun is a demo that runs.
type demoRun struct {
	imaps, imap, dir string // of the first peer
	other            string // the second peer's port with TLS
	pid              string // of the first
	lines            *bufio.Scanner
	cancel           context.CancelFunc
	result           chan error
}

// startDemo runs a demo until its listeners are open.
func startDemo(t *testing.T) *demoRun {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	r, w := io.Pipe()
	d := &demoRun{lines: bufio.NewScanner(r), cancel: cancel, result: make(chan error, 1)}
	go d.run(ctx, w)
	patterns := map[*string]*regexp.Regexp{
		&d.imaps: regexp.MustCompile(`lb1 +IMAP with TLS +(127\.0\.0\.1:\d+)`),
		&d.other: regexp.MustCompile(`lb2 +IMAP with TLS +(127\.0\.0\.1:\d+)`),
		&d.imap:  regexp.MustCompile(`IMAP with STARTTLS +(127\.0\.0\.1:\d+)`),
		&d.dir:   regexp.MustCompile(`ctl -s (.+)/lb1\.sock 'show table users'$`),
		&d.pid:   regexp.MustCompile(`kill -9 (\d+)$`),
	}
	for open, up := 0, 0; open < 4 || up < 2; {
		line, ok := d.next()
		if !ok {
			t.Fatalf("the demo ended: %v", <-d.result)
		}
		for found, pattern := range patterns {
			if m := pattern.FindStringSubmatch(line); m != nil && *found == "" {
				*found = m[1]
			}
		}
		if strings.Contains(line, `msg="frontend open"`) {
			open++
		}
		if strings.Contains(line, `msg="peer up"`) {
			up++
		}
	}
	return d
}

func (d *demoRun) run(ctx context.Context, w *io.PipeWriter) {
	d.result <- runDemo(ctx, w)
	_ = w.Close() // of a pipe
}

// next is the next line the demo prints.
func (d *demoRun) next() (line string, ok bool) {
	ok = d.lines.Scan()
	return d.lines.Text(), ok
}

// rest is what the demo prints until it has ended.
func (d *demoRun) rest() string {
	var b strings.Builder
	for line, ok := d.next(); ok; line, ok = d.next() {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// homes are the servers of the first two users, as a peer says.
func (d *demoRun) homes(t *testing.T, peer string) (servers [2]string) {
	t.Helper()
	got := cli("", "ctl", "-s", filepath.Join(d.dir, peer+".sock"), "show table users")
	for i, user := range []string{"demo1", "demo2"} {
		m := regexp.MustCompile(`key=` + user + ` .* server_key=(\S+)`).FindStringSubmatch(got.out)
		if m == nil {
			t.Fatalf("%s does not know %s: %+v", peer, user, got)
		}
		servers[i] = m[1]
	}
	return servers
}

// kill ends the first peer, as the demo's text invites to.
func (d *demoRun) kill(t *testing.T) {
	t.Helper()
	pid, err := strconv.Atoi(d.pid)
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestDemo(t *testing.T) {
	d := startDemo(t)
	pem, err := os.ReadFile(filepath.Join(d.dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	opts := &imapclient.Options{TLSConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"}}
	text := make(chan string)
	go func() { text <- d.rest() }()

	c, err := imapclient.DialTLS(d.imaps, opts)
	login(t, c, err, byLogin("demo1", demoPassword))
	c, err = imapclient.DialStartTLS(d.imap, opts)
	login(t, c, err, byPlain("demo2", demoPassword))
	home := d.homes(t, "lb1")
	d.kill(t)
	for _, user := range []string{"demo1", "demo2"} {
		c, err = imapclient.DialTLS(d.other, opts)
		login(t, c, err, byLogin(user, demoPassword))
	}
	if now := d.homes(t, "lb2"); now != home {
		t.Errorf("behind the other peer the users are at %v, before at %v", now, home)
	}

	d.cancel()
	if err := <-d.result; err != nil {
		t.Errorf("the demo ended with %v", err)
	}
	log := <-text
	if !strings.Contains(log, "lb1 has ended (signal: killed). Its users go on through lb2") {
		t.Errorf("no word of the peer that was killed in:\n%s", log)
	}
	for _, what := range []string{"session begin", "session end"} {
		for _, user := range []string{"demo1", "demo2"} {
			if !regexp.MustCompile(what + `".* user=` + user + ` `).MatchString(log) {
				t.Errorf("no line %q of %s in:\n%s", what, user, log)
			}
		}
	}
	if _, err := os.Stat(d.dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", d.dir, err)
	}
}

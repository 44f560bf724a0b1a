package tests

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"
	"time"
)

// tokenKey signs the OAuth2 tokens which the Dovecots believe.
const tokenKey = "fake-token-key"

// oddPasswords are the passwords of the users odd0, odd1 and so on: what does
// not fit into an atom or a quoted string.
var oddPasswords = []string{
	`fake"quoted"`, `fake\back\slash`, "fake pass phrase", `fake{3}`, "fake%*(]", "fake-\xc3\xa4\xc3\xb6-8bit", `fake\"`,
}

// dovecot is a Dovecot of our own: its files are below dir, its ports at its
// place. It keeps its ports and its mail over stop and start. Any user may
// log in with [password], or by a token. Shared: any goroutine may call any
// method.
type dovecot struct {
	dir  string
	at   place
	addr string // plain and STARTTLS
	tls  string // implicit TLS
	prox string // plain, behind a PROXY header

	mu  sync.Mutex // guards the fields below
	cmd *exec.Cmd  // nil when stopped
}

// settings are what the template of the configuration needs.
type settings struct {
	Dir, Cert, Key      string
	Listen              string
	Sessions            int // in one process
	Port, TLSPort       int
	ProxyPort           int    // with haproxy = yes
	Mail, Group         string // owner of the mail
	Internal, LoginUser string // owners of Dovecot's processes
	InternalGroup       string
}

// manySessions is how many sessions one process of a Dovecot has that many users
// come to.
const manySessions = 200

// newDovecot writes the files of a Dovecot, with so many sessions in a process.
func (s *suite) newDovecot(dir string, at place, sessions int) (*dovecot, error) {
	set := settings{Dir: dir, Listen: cmp.Or(at.host, "127.0.0.1"), Sessions: sessions, Mail: "nobody", Group: "nogroup", Internal: "dovecot", LoginUser: "dovenull", InternalGroup: "dovecot"}
	if os.Getuid() != 0 {
		me, err := user.Current()
		if err != nil {
			return nil, err
		}
		group, err := user.LookupGroupId(me.Gid)
		if err != nil {
			return nil, err
		}
		set.Mail, set.Internal, set.LoginUser = me.Username, me.Username, me.Username
		set.Group, set.InternalGroup = group.Name, group.Name
	}
	authority, err := s.certs()
	if err != nil {
		return nil, err
	}
	cert, err := authority.issue("dovecot.test")
	if err != nil {
		return nil, err
	}
	set.Cert, set.Key = cert.cert, cert.key
	for _, port := range []*int{&set.Port, &set.TLSPort, &set.ProxyPort} {
		if *port, err = s.freePort(); err != nil {
			return nil, err
		}
	}
	d := &dovecot{dir: dir, at: at, addr: fmt.Sprintf("%s:%d", set.Listen, set.Port), tls: fmt.Sprintf("%s:%d", set.Listen, set.TLSPort), prox: fmt.Sprintf("%s:%d", set.Listen, set.ProxyPort)}
	return d, d.write(set)
}

// write lays out the directory of a Dovecot.
func (d *dovecot) write(set settings) error {
	if err := os.MkdirAll(filepath.Join(d.dir, "keys/default/HS256"), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(d.dir, "mail"), 0o777); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Join(d.dir, "mail"), 0o777); err != nil {
		return err
	}
	var conf, users bytes.Buffer
	if err := template.Must(template.New("dovecot").Parse(dovecotConf)).Execute(&conf, set); err != nil {
		return err
	}
	for i, p := range oddPasswords {
		fmt.Fprintf(&users, "odd%d:{PLAIN}%s\n", i, p)
	}
	for name, text := range map[string]string{
		"dovecot.conf":               conf.String(),
		"users":                      users.String(),
		"keys/default/HS256/default": base64String(tokenKey),
		"oauth2.conf": "introspection_mode = local\nusername_attribute = sub\n" +
			"local_validation_key_dict = fs:posix:prefix=" + d.dir + "/keys/\n",
	} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// start runs the Dovecot and waits for its greeting.
func (d *dovecot) start() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	out, err := os.Create(filepath.Join(d.dir, "output"))
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := d.at.command("dovecot", "-F", "-c", filepath.Join(d.dir, "dovecot.conf"))
	cmd.Stdout, cmd.Stderr = out, out
	// Its processes are one group, so that kill reaches them all; and it ends
	// when the tests die.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("tests: start dovecot: %w", err)
	}
	d.cmd = cmd
	if waitFor(20*time.Second, d.greets) {
		return nil
	}
	said, err := os.ReadFile(filepath.Join(d.dir, "output"))
	return errors.Join(fmt.Errorf("tests: dovecot does not answer: %s%s", said, d.log()), err)
}

// greets tells whether both ports are served.
func (d *dovecot) greets() bool {
	c, err := net.DialTimeout("tcp", d.tls, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	c, err = net.DialTimeout("tcp", d.addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	var b [4]byte
	_, err = c.Read(b[:])
	return err == nil && string(b[:]) == "* OK"
}

// stop ends the Dovecot in order.
func (d *dovecot) stop() { d.end(syscall.SIGTERM, false) }

// kill ends the Dovecot and all its processes as a broken machine would.
func (d *dovecot) kill() { d.end(syscall.SIGKILL, true) }

func (d *dovecot) end(sig syscall.Signal, group bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cmd == nil {
		return
	}
	pid := d.cmd.Process.Pid
	if group {
		pid = -pid
	}
	// That it is gone already is as good.
	_ = syscall.Kill(pid, sig)
	_ = d.cmd.Wait()
	d.cmd = nil
	_ = os.Remove(filepath.Join(d.dir, "run/master.pid"))
}

// log is all that the Dovecot has logged.
func (d *dovecot) log() string {
	b, err := os.ReadFile(filepath.Join(d.dir, "dovecot.log"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// logins counts the logins of a user.
func (d *dovecot) logins(user string) int { return strings.Count(d.log(), "Login: user=<"+user+">") }

// loginLine waits for the line about the last login of a user.
func (d *dovecot) loginLine(t testing.TB, user string) string {
	t.Helper()
	var line string
	within(t, patience, "a login of "+user+" in Dovecot's log", func() bool {
		for l := range strings.Lines(d.log()) {
			if strings.Contains(l, "Login: user=<"+user+">") {
				line = l
			}
		}
		return line != ""
	})
	return line
}

// startDovecot runs a Dovecot for one test, which may do to it what it wants.
func startDovecot(t testing.TB) *dovecot {
	t.Helper()
	return startDovecotAt(t, place{}, 1)
}

func startDovecotAt(t testing.TB, at place, sessions int) *dovecot {
	t.Helper()
	need(t, "dovecot")
	dir, err := os.MkdirTemp(shared.dir, "dovecot-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := shared.newDovecot(dir, at, sessions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.stop)
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	return d
}

// sharedDovecots are the first two of the trio.
func sharedDovecots(t testing.TB) [2]*dovecot {
	t.Helper()
	all := sharedTrio(t)
	return [2]*dovecot(all[:2])
}

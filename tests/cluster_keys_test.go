package tests

import (
	"crypto/tls"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// encrypting is the fingerprint of the key that a peer encrypts with.
func (l *lb) encrypting() string {
	l.t.Helper()
	m := regexp.MustCompile(`(?m)^([0-9a-f]{8}) encrypts$`).FindStringSubmatch(l.ask("show keys"))
	if m == nil {
		l.t.Fatalf("show keys = %q, want one that encrypts", l.ask("show keys"))
	}
	return m[1]
}

// The key is changed while clients come and go and stay, and the peers do not
// lose each other.
func TestClusterKeys(t *testing.T) {
	t.Parallel()
	f := runFleet(t, 2, clustered(t))
	a, b := f.lbs[0], f.lbs[1]
	old, next := a.encrypting(), newKey()
	links := a.peer("lb2")["new_conn"]
	user := newUser()
	stays := loggedIn(t, b.plain, user)
	stop, failed := make(chan struct{}), make(chan error, 1)
	go loginLoop([]string{a.plain, b.plain}, login, stop, failed) // ends with stop

	for _, l := range f.lbs {
		l.writeKeys(f.key, next)
		if said := strings.TrimSpace(l.ask("add key")); said != "1 key added." {
			t.Errorf("add key = %q, want 1 added", said)
		}
	}
	fresh := regexp.MustCompile(`(?m)^([0-9a-f]{8}) decrypts$`).FindStringSubmatch(a.ask("show keys"))
	if fresh == nil {
		t.Fatalf("show keys = %q, want one that decrypts", a.ask("show keys"))
	}
	for command, want := range map[string]string{"use key 00000000": "key: none has the fingerprint 00000000", "forget peer x": `no dead peer is called "x"`} {
		if said := strings.TrimSpace(a.ask(command)); said != want {
			t.Errorf("%s: %q, want %q", command, said, want)
		}
	}
	if said := a.ask("remove key " + old); strings.TrimSpace(said) == "" {
		t.Error("the key that encrypts was removed")
	}
	for _, command := range []string{"use key " + fresh[1], "remove key " + old} {
		for _, l := range f.lbs {
			l.writeKeys(next)
			l.tell(command)
			f.settle(1)
			stays.alive()
		}
	}
	if got := b.encrypting(); got != fresh[1] || strings.Contains(b.ask("show keys"), old) {
		t.Errorf("show keys = %q, want %s alone", b.ask("show keys"), fresh[1])
	}
	events := a.ask("show events")
	for _, what := range []string{"add key: 1 new", "use key " + fresh[1], "remove key " + old} {
		if !strings.Contains(events, "order: "+what+", by admin uid=") {
			t.Errorf("events = %q, want %q", events, what)
		}
	}
	f.settle(10)
	if now := a.peer("lb2"); now["link"] != "up" || now["new_conn"] != links {
		t.Errorf("lb2 = %v, want the link that was there before", now)
	}
	close(stop)
	if err := <-failed; err != nil {
		t.Error(err)
	}
	stays.logout()
	b.kill()
	b.run() // with the new key
	f.met(a, b)
}

// loginLoop has users visit here and there until stop is closed, and sends the
// first error, or nil.
func loginLoop(addrs []string, visit func(addr, user string) error, stop <-chan struct{}, failed chan<- error) {
	var first error
	for i := 0; ; i++ {
		select {
		case <-stop:
			failed <- first
			return
		default:
		}
		if err := visit(addrs[i%len(addrs)], newUser()); err != nil && first == nil {
			first = err
		}
	}
}

// A process without the key of the others is refused, and both sides say so;
// the others go on.
func TestClusterWrongKey(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, clustered(t))
	wrong := f.lbs[2]
	wrong.wantErrors = true
	wrong.writeKeys(newKey())
	for _, l := range f.lbs {
		l.begin()
	}
	for _, l := range f.lbs {
		l.wantErrors = true
		l.ready()
	}
	f.met(f.lbs[0], f.lbs[1])
	for _, l := range []*lb{wrong, f.lbs[0]} {
		within(t, patience, "a word on the key in the log", func() bool {
			return regexp.MustCompile(`level=(WARN|ERROR) .*[^-]key`).MatchString(l.log())
		})
	}
	f.lbs[0].tells(f.lbs[1])
	if said := wrong.ask("show peers"); !strings.Contains(said, "1 of 1 peers alive") {
		t.Errorf("show peers of the one with the wrong key = %q, want it alone", said)
	}
	if all := wrong.residents(); len(all) > 0 {
		t.Errorf("it knows of users: %v", all)
	}
}

// tells has one peer tell something to another one.
func (l *lb) tells(other *lb) {
	l.t.Helper()
	user := newUser()
	l.tell("set table users key " + user + " server s2")
	other.wantHome(user, "s2")
}

// Two peers of one name: the second one does not start, and says why; the
// first goes on.
func TestClusterNameClash(t *testing.T) {
	t.Parallel()
	o := clustered(t)
	f := newFleet(t, 2, o)
	f.addrs = append(f.addrs, freeAddr(t))
	second := f.add(2, o)
	text, err := exec.Command("sed", "-i", `s/^name = "lb3"/name = "lb1"/`, second.config).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for _, l := range f.lbs {
		l.wantErrors = true // they all say so
	}
	for _, l := range f.lbs[:2] {
		l.run()
	}
	f.met(f.lbs[:2]...)
	second.begin()
	if err := second.waitExit(patience); err == nil || !strings.Contains(err.Error(), "exit status") {
		t.Errorf("the second lb1 ended with %v, want an exit status", err)
	}
	if said := second.log(); !regexp.MustCompile(`(?m)^imaplb: .*name.*lb1`).MatchString(said) {
		t.Errorf("the second lb1 said %q, want a word on its name", said)
	}
	f.lbs[0].tells(f.lbs[1])
}

// Without a key nobody listens on a network.
func TestClusterInsecure(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, clustered(t))
	l := f.lbs[0]
	for _, c := range []struct{ edit, want string }{
		{`s/^bind = "127.0.0.1:\([0-9]*\)"$/bind = "192.0.2.1:\1"/; /^key_file/d`, "key_file"},
		{`s/^bind = "192.0.2.1/insecure = true\n&/`, ""},
	} {
		if out, err := exec.Command("sed", "-i", c.edit, l.config).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		said, err := l.check()
		if (err != nil) != (c.want != "") || !strings.Contains(said, c.want) {
			t.Errorf("check: %v: %s, want a fault with %q", err, said, c.want)
		}
	}
}

// A client that comes to another peer resumes its TLS session there.
func TestClusterResumption(t *testing.T) {
	t.Parallel()
	need(t, "openssl")
	f := runFleet(t, 2, clustered(t))
	a, b := f.lbs[0], f.lbs[1]
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		ticket := filepath.Join(t.TempDir(), "ticket")
		say := []string{"a LOGIN " + newUser() + " " + password, "b LOGOUT"}
		sClient(t, a.implicit, say, version, "-servername", "imap.test", "-sess_out", ticket)
		out := sClient(t, b.implicit, say, version, "-servername", "imap.test", "-sess_in", ticket)
		if !strings.Contains(out, "Reused, TLSv1.") || !strings.Contains(out, "a OK") {
			t.Errorf("openssl %s resumed nothing: %s", version, out)
		}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := trust(t, "imap.test")
		config.MinVersion, config.MaxVersion = version, version
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for i, l := range []*lb{a, b, a} {
			c := dialTLS(t, l.implicit, config)
			c.expect("* OK")
			if got := c.conn.(*tls.Conn).ConnectionState().DidResume; got != (i > 0) {
				t.Errorf("%s, connection %d: resumed = %v, want %v", tls.VersionName(version), i+1, got, i > 0)
			}
			c.ok("LOGOUT")
			c.close()
		}
	}
	within(t, patience, "resumed sessions in the log", func() bool { return strings.Contains(b.log(), "resumed=true") })
}

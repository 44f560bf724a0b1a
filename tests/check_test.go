package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const quick = `inter = "100ms", fastinter = "50ms", timeout = "5s", fall = 2`

// Checks of each kind, of three Dovecots and by two peers, by the way that logins
// go: what they tell, and that they find out when one stops and when it is back.
func TestTrioChecks(t *testing.T) {
	t.Parallel()
	stops := startDovecot(t)
	pair := sharedDovecots(t)
	all := trio{stops, pair[0], pair[1]}
	kinds := []struct {
		backend, kind, server, word string
		addrs                       []string
	}{
		{"tcp", "tcp", "", "L4OK", all.clear()},
		{"starttls", "tls", "tls = \"starttls\"\ntls_verify = false", "L6OK", all.clear()},
		{"implicit", "tls", "tls = \"implicit\"\ntls_verify = false", "L6OK", all.implicit()},
		{"imap", "imap", "tls = \"starttls\"\ntls_verify = false", "L7OK", all.clear()},
		{"proxied", "imap", "send_proxy = \"v2\"", "L7OK", all.proxied()},
		{"login", "login", "tls = \"implicit\"\ntls_verify = false", "L7OK", all.implicit()},
	}
	o := all.peers()
	for _, k := range kinds {
		user := ""
		if k.kind == "login" {
			user = `user = "monitor", password_file = "pass", `
		}
		o.more += fmt.Sprintf("[backend.%s]\nstick_table = \"\"\ncheck = { kind = %q, %sinter = \"1s\", fastinter = \"200ms\", downinter = \"200ms\", timeout = \"5s\", fall = 2 }\n", k.backend, k.kind, user)
		for i, addr := range k.addrs {
			o.more += fmt.Sprintf("[backend.%s.server.s%d]\naddr = %q\n%s\n", k.backend, i+1, addr, k.server)
		}
	}
	f := newFleet(t, 2, o)
	for _, l := range f.lbs {
		l.writePassword(password)
	}
	f.start()
	f.met(f.lbs...)
	found := func(server, status, word string) {
		t.Helper()
		for _, k := range kinds {
			want := word
			if want == "" {
				want = k.word
			}
			for _, l := range f.lbs {
				within(t, patience, fmt.Sprint(k.backend, "/", server, " ", status, " with ", want), func() bool {
					return l.stat(k.backend, server, "status") == status && l.stat(k.backend, server, "check_status") == want
				})
			}
		}
	}
	up := func(servers ...string) {
		t.Helper()
		for _, s := range servers {
			found(s, "UP", "")
		}
	}
	up("s1", "s2", "s3")
	for _, l := range f.lbs {
		if got := l.stat("login", "s3", "check_desc"); !strings.HasPrefix(got, "login took") {
			t.Errorf("check_desc = %q, want how long the login took", got)
		}
	}
	stops.stop()
	found("s1", "DOWN", "L4CON")
	up("s2", "s3")
	if err := stops.start(); err != nil {
		t.Fatal(err)
	}
	up("s1")
}

// A Dovecot that refuses the test user is down, and nobody reads why in clear.
func TestCheckLoginRefused(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	const wrong = "another-fake-password"
	l := newLB(t, options{
		servers: serversOf(pair[0]),
		backend: `check = { kind = "login", user = "monitor", password_file = "pass", ` + quick + ` }`,
	})
	l.wantErrors = true
	l.secrets = append(l.secrets, wrong)
	l.writePassword(wrong)
	l.run()
	within(t, patience, "down", func() bool { return l.stat("mail", "s1", "status") == "DOWN" })
	if word, desc := l.stat("mail", "s1", "check_status"), l.stat("mail", "s1", "check_desc"); word != "L7STS" || !strings.Contains(desc, "AUTHENTICATIONFAILED") {
		t.Errorf("check_status %s, check_desc %q, want L7STS and AUTHENTICATIONFAILED", word, desc)
	}
}

// Logins of users tell of a server whose greeting is fine: it cannot log in.
func TestObserve(t *testing.T) {
	t.Parallel()
	sick := runIMAPd(t, func(v *visit) {
		if tag, ok := v.login(banner); ok {
			v.say(tag + " NO [UNAVAILABLE] Internal error")
		}
	})
	l := runLB(t, options{
		servers: []server{{name: "s1", addr: sick.addr}},
		backend: `check = { inter = "1h", fastinter = "1h", observe = "layer7", error_limit = 3, on_error = "mark-down" }`,
	})
	l.wantErrors = true
	within(t, patience, "checked", func() bool { return l.stat("mail", "s1", "check_status") == "L4OK" })
	for range 2 {
		login(l.plain, newUser()) // refused
	}
	if got := l.stat("mail", "s1", "status"); got != "UP" {
		t.Fatalf("after two failures s1 is %s, want UP", got)
	}
	login(l.plain, newUser()) // refused
	within(t, patience, "down by its users", func() bool { return l.stat("mail", "s1", "status") == "DOWN" })
	if word, n := l.stat("mail", "s1", "check_status"), l.stat("mail", "s1", "hanafail"); word != "HANA" || n != "3" {
		t.Errorf("check_status %s, hanafail %s, want HANA and 3", word, n)
	}
}

// What on_error does after error_limit failures of logins: the next check is
// an hour away.
func TestOnError(t *testing.T) {
	t.Parallel()
	sick := runIMAPd(t, func(v *visit) {
		if tag, ok := v.login(banner); ok {
			v.say(tag + " NO [UNAVAILABLE] Internal error")
		}
	})
	status := map[string]string{"fastinter": "UP", "fail-check": "UP 4/5", "sudden-death": "UP 1/5", "mark-down": "DOWN"}
	o := options{servers: []server{{name: "s1", addr: sick.addr}}}
	for word := range status {
		o.more += frontendText(word, fmt.Sprintf("backend = %q", word)) + backendText(word, fmt.Sprintf(
			`check = { inter = "1h", fastinter = "1h", fall = 5, observe = "layer7", error_limit = 1, on_error = %q }`, word), sick.addr)
	}
	l := runLB(t, o)
	l.wantErrors = true
	for word, want := range status {
		within(t, patience, "checked", func() bool { return l.stat(word, "s1", "check_status") == "L4OK" })
		login(l.boundTo(word), newUser()) // refused
		got := ""
		if !waitFor(patience, func() bool {
			got = l.stat(word, "s1", "status")
			return got == want && l.stat(word, "s1", "hanafail") == "1"
		}) {
			t.Errorf("%s: status %s, want %s", word, got, want)
		}
	}
}

// writePassword writes the file with the password of checks.
func (l *lb) writePassword(secret string) {
	l.t.Helper()
	if err := os.WriteFile(filepath.Join(l.dir, "pass"), []byte(secret+"\n"), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

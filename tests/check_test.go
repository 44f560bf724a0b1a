package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const quick = `inter = "100ms", fastinter = "50ms", timeout = "5s", fall = 2`

// Checks that speak IMAP, by STARTTLS, before a real Dovecot: what they tell,
// and that they find out when it stops and when it is back.
func TestChecks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ kind, extra, word, desc string }{
		{"imap", "", "L7OK", ""},
		{"tls", "", "L6OK", ""},
		{"login", `, user = "monitor", password_file = "pass"`, "L7OK", "login took"},
	} {
		t.Run(c.kind, func(t *testing.T) {
			t.Parallel()
			d := startDovecot(t)
			servers := serversOf(d)
			servers[0].extra = "tls = \"starttls\"\ntls_verify = false"
			l := newLB(t, options{servers: servers, backend: `check = { kind = "` + c.kind + `", ` + quick + c.extra + ` }`})
			l.wantErrors = true // the backend has no server for a while
			l.writePassword(password)
			l.run()
			want := func(status, word string) {
				t.Helper()
				within(t, patience, status+" with "+word, func() bool {
					return l.stat("mail", "s1", "status") == status && l.stat("mail", "s1", "check_status") == word
				})
			}
			want("UP", c.word)
			if got := l.stat("mail", "s1", "check_desc"); !strings.HasPrefix(got, c.desc) {
				t.Errorf("check_desc = %q, want %q", got, c.desc)
			}
			d.stop()
			want("DOWN", "L4CON")
			if err := d.start(); err != nil {
				t.Fatal(err)
			}
			want("UP", c.word)
			loggedIn(t, l.plain, newUser()).logout()
		})
	}
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

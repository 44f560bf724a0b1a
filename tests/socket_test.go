package tests

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The framing is HAProxy's to the byte, so that its clients work unchanged.
func TestSocketFraming(t *testing.T) {
	t.Parallel()
	l := runLB(t, options{servers: serversOf(sharedDovecots(t)[0])})
	for say, want := range map[string]string{
		"show cli level": "admin\n\n",
		"show cli level;get weight mail/s1;show backend":  "admin\n\n100 (initial 100)\n\n# name\nmail\n\n",
		"show backend;show cli level\r":                   "# name\nmail\n\nadmin\n\n",
		"set server mail/s1 state ready":                  "\n",
		"set server mail/s1 state foo":                    "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n\n",
		"set server mail/nope state ready":                "No such server.\n\n",
		"set server nope/s1 state ready":                  "No such backend.\n\n",
		"show table nope":                                 "No such table\n\n",
		"operator;set server mail/s1 state ready":         "\nPermission denied\n\n",
		"set severity-output number;get weight mail/nope": "\n[3]: No such server.\n\n",
		"clear table users key nobody":                    "\n",
	} {
		if got := l.ask(say); got != want {
			t.Errorf("%q was answered with %q, want %q", say, got, want)
		}
	}
	if got := l.ask("no such thing"); !strings.HasPrefix(got, "Unknown command: 'no'") || !strings.HasSuffix(got, "\n\n") {
		t.Errorf("an unknown command was answered with %q", got)
	}
	for command, want := range map[string]string{
		"show info": "Name: ", "show stat": "# pxname,svname,qcur,", "show table": "# table: users, type: string, size:",
		"show servers state": "1\n# be_id be_name srv_id", "show errors": "Total events captured on [", "help": "The following commands are valid at this level:",
	} {
		got := l.ask(command)
		if !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "\n\n") || strings.Contains(strings.TrimSuffix(got, "\n\n"), "\n\n") {
			t.Errorf("%s was answered with %q, want %q… and one empty line at its end", command, short(got), want)
		}
	}
}

// A session with a prompt, as a program such as hatop has it.
func TestSocketPrompt(t *testing.T) {
	t.Parallel()
	l := runLB(t, options{servers: serversOf(sharedDovecots(t)[0])})
	got := l.ask("prompt\nset timeout cli 60\nget weight mail/s1\n\nquit")
	if want := "\n> \n> 100 (initial 100)\n\n> "; !strings.HasPrefix(got, want) {
		t.Errorf("the prompt session gave %q, want %q…", got, want)
	}
}

// socat and the program's own client get the same answers.
func TestSocketClients(t *testing.T) {
	t.Parallel()
	need(t, "socat")
	l := runLB(t, options{servers: serversOf(sharedDovecots(t)[0])})
	cmd := exec.Command("socat", "-", "UNIX-CONNECT:"+l.socket)
	cmd.Stdin = strings.NewReader("show backend\n")
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "# name\nmail\n\n" {
		t.Errorf("socat: %v: %q", err, out)
	}
	if out, err := l.ctl("show", "backend"); err != nil || strings.TrimSpace(out) != "# name\nmail" {
		t.Errorf("ctl show backend: %v: %q", err, out)
	}
	if out, err := l.ctl("show backend"); err != nil || strings.TrimSpace(out) != "# name\nmail" {
		t.Errorf("ctl 'show backend': %v: %q", err, out)
	}
	program, err := shared.program()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(program, "ctl", "-s", l.socket)
	cmd.Stdin = strings.NewReader("show backend\nget weight mail/s1\n")
	out, err = cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "# name\nmail\n") || !strings.Contains(string(out), "100 (initial 100)") {
		t.Errorf("ctl with commands on its input: %v: %q", err, out)
	}
	if out, err := l.output("ctl", "-s", l.socket+".nope", "show", "info"); err == nil {
		t.Errorf("ctl without an imaplb ended with 0: %q", out)
	}
}

// Only those may use the socket that the configuration lets, and what they may
// do is what it says.
func TestSocketPermissions(t *testing.T) {
	t.Parallel()
	o := options{servers: serversOf(sharedDovecots(t)[0])}
	l := newLB(t, o)
	text, err := os.ReadFile(l.config)
	if err != nil {
		t.Fatal(err)
	}
	l.writeText(strings.Replace(string(text), "[stats]\n", "[stats]\nsocket_mode = \"0600\"\nsocket_level = \"admin\"\n", 1))
	l.run()
	info, err := os.Stat(l.socket)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode of the socket = %o, want 600", got)
	}
	if got := l.ask("user;show cli level;set server mail/s1 state drain;show cli level"); got != "\nuser\n\nPermission denied\n\nuser\n\n" {
		t.Errorf("at level user: %q", got)
	}
}

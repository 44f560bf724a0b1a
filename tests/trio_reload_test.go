package tests

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// What a reload changes of balancing holds at once for those who come then,
// and nobody's session ends for it. Step by step: the changes stay.
func TestReloadBalancing(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	addr, answer := runAgent(t)
	drain := "drain\n"
	answer.Store(&drain)
	base := options{servers: serversOf(all[:]...), more: "[stick_table.sources]\nkey = \"src\"\nstore = [\"conn_cur\", \"gpc0\"]\n"}
	base.servers[0].extra, base.servers[1].extra = "maxconn = 1\ntags = [\"old\"]", "maxconn = 1"
	base.servers = base.servers[:2]
	base.backend = `timeout_queue = "30s"`
	l := runLB(t, base)
	user := newUser()
	l.tell("set table users key " + user + " server s1")
	in := []*client{loggedIn(t, l.plain, user), loggedIn(t, l.plain, newUser())}
	waits := greeted(t, l.plain)
	waits.send("w LOGIN " + newUser() + " " + password + "\r\n")
	within(t, patience, "it waits", func() bool { return l.stat("mail", "BACKEND", "qcur") == "1" })
	change := func(what string, edit func(o *options)) {
		t.Helper()
		base.servers = append([]server(nil), base.servers...)
		edit(&base)
		reload(t, l, base)
		for _, c := range in {
			c.alive()
		}
		t.Log(what)
	}
	lives := func(user, want string) {
		t.Helper()
		loggedIn(t, l.plain, user).logout()
		if got := l.home(user); got != want {
			t.Errorf("%s lives on %s, want %s", user, got, want)
		}
	}
	change("a third server takes who waits", func(o *options) {
		o.servers = append(o.servers, server{"s3", all[2].addr, `tags = ["new"]`})
	})
	waits.expect("w OK")
	in = append(in, waits)
	lives(newUser(), "s3")
	change("routes by tag, and limits that are gone", func(o *options) {
		o.frontend = "route = [{ user = \"*@one.test\", backend = \"mail\", tag = \"old\" }, { user = \"*@two.test\", backend = \"mail\", tag = \"new\" }]\n"
		o.servers[0].extra, o.servers[1].extra = `tags = ["old"]`, ""
	})
	lives(newUser()+"@one.test", "s1")
	lives(newUser()+"@two.test", "s3")
	change("tags change hands", func(o *options) {
		o.servers[0].extra, o.servers[1].extra, o.servers[2].extra = `tags = ["new"]`, `tags = ["old"]`, ""
	})
	lives(newUser()+"@one.test", "s2")
	lives(newUser()+"@two.test", "s1")
	change("a limit of sessions", func(o *options) { o.backend = "max_user_sessions = 1" })
	c := greeted(t, l.plain)
	c.refused("NO [LIMIT]", "LOGIN %s %s", user, password)
	c.close()
	change("rules", func(o *options) {
		o.backend = ""
		o.frontend += "track_src = \"sources\"\nrules = [{ action = \"deny\", src = [\"127.0.0.66\"] }, { action = \"deny\", when = \"gpc0 > 3\" }]\n"
	})
	dialFrom(t, "127.0.0.66", l.plain).bye(patience, "[UNAVAILABLE]")
	lives(newUser()+"@two.test", "s1")
	l.tell("set table sources key 127.0.0.1 data.gpc0 4")
	dial(t, l.plain).bye(patience, "[UNAVAILABLE]")
	l.tell("set table sources key 127.0.0.1 data.gpc0 0")
	change("a list of proxies", func(o *options) { o.frontend += "accept_proxy = [\"127.0.0.67\"]\nproxy_timeout = \"300ms\"\n" })
	dialFrom(t, "127.0.0.67", l.plain).closed(patience)
	lives(newUser()+"@two.test", "s1")
	change("an agent", func(o *options) { o.servers[1].extra += "\nagent = { addr = \"" + addr + "\", inter = \"20ms\" }" })
	within(t, patience, "s2 drains", func() bool { return l.stat("mail", "s2", "status") == "DRAIN (agent)" })
	change("no agent", func(o *options) { o.servers[1].extra = `tags = ["old"]` })
	within(t, patience, "s2 is up", func() bool { return l.stat("mail", "s2", "status") == "UP" })
	change("an algorithm", func(o *options) { o.backend = `balance = "first"` })
	for range 5 {
		lives(newUser(), "s1")
	}
	change("a backup server", func(o *options) { o.servers[0].extra += "\nbackup = true" })
	for range 5 {
		lives(newUser(), "s2")
	}
	change("a check of another kind", func(o *options) {
		o.backend += "\ncheck = { kind = \"login\", user = \"monitor\", password_file = \"pass\", inter = \"100ms\" }"
		l.writePassword(password)
	})
	within(t, patience, "the login check", func() bool { return strings.HasPrefix(l.stat("mail", "s2", "check_desc"), "login took") })
	for _, c := range in {
		c.logout()
	}
	in = nil
	change("as many servers as at the start: each has a goroutine that checks it", func(o *options) {
		o.servers, o.frontend, o.backend = o.servers[:2], "", ""
	})
}

// Servers come into the file and leave it while clients log in and wait: no
// login fails for it.
func TestReloadUnderLogins(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	few := options{servers: serversOf(all[:2]...)}
	for i := range few.servers {
		few.servers[i].extra = "maxlogins = 1" // so that some wait
	}
	many := few
	many.servers = append(serversOf(all[2]), few.servers...)
	many.servers[0].name = "s3"
	l := runLB(t, few)
	const clients = 6
	stop, failed := make(chan struct{}), make(chan error, clients)
	for range clients {
		go loginLoop([]string{l.plain}, comeIn, stop, failed) // ends with stop
	}
	for range 15 {
		for _, o := range []options{many, few} {
			reload(t, l, o)
		}
	}
	close(stop)
	for range clients {
		if err := <-failed; err != nil {
			t.Errorf("a login failed: %v", err)
		}
	}
	if all := l.stat("mail", "BACKEND", "stot"); len(all) < 2 {
		t.Errorf("only %s logins", all)
	}
}

// comeIn is login for a user who may be sent away when he is in, as one who was
// on a server that left the file is when it comes back.
func comeIn(addr, user string) error {
	return leave(addr, user, "* BYE")
}

// Peers whose files differ for a while, as during a change of all of them: a
// user whose server one peer does not know is moved by that one, and is on one
// server only.
func TestReloadOnePeer(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	began := time.Now()
	o := all.peers()
	f := runFleet(t, 2, o)
	a, b := f.lbs[0], f.lbs[1]
	homes := f.settle(9)
	var names []string
	var sessions []*client
	for user := range homes {
		names, sessions = append(names, user), append(sessions, loggedIn(t, a.plain, user))
	}
	f.agree(patience, a, b)
	cut := strings.Index(fileText(t, b.config), "[backend.mail.server.s3]")
	b.writeText(fileText(t, b.config)[:cut])
	if out, err := b.ctl("reload"); err != nil {
		t.Fatalf("reload: %v: %s", err, out)
	}
	for i, user := range names {
		loggedIn(t, b.plain, user).logout()
		f.agree(patience, a, b)
		home := a.home(user)
		if moved := homes[user] == "s3"; moved && home == "s3" || !moved && home != homes[user] {
			t.Errorf("%s lived on %s and lives on %s", user, homes[user], home)
		} else if moved {
			sessions[i].bye(patience, "[UNAVAILABLE]")
		} else {
			sessions[i].alive()
		}
	}
	wantOneHome(t, names, began, all[:]...)
	for i, user := range names { // and the other peer follows
		if homes[user] == "s3" {
			loggedIn(t, a.plain, user).logout()
			if home := a.home(user); home == "s3" {
				t.Errorf("%s is back on s3", user)
			}
		} else {
			sessions[i].logout()
		}
	}
	if said := fmt.Sprint(b.residents()); strings.Contains(said, "s3") {
		t.Errorf("lb2 knows of users on s3: %s", said)
	}
}

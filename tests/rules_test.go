package tests

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// sources is a table that counts clients.
const sourcesTable = `[stick_table.sources]
key = "src"
store = ["conn_cnt", "conn_cur", "conn_rate(1h)", "sess_cnt", "bytes_out_cnt", "gpt0", "auth_fail_cnt", "auth_fail_rate(1h)"]
`

// counter is a counter of the tests' address, "" if it has none.
func (l *lb) counter(name string) string {
	l.t.Helper()
	m := regexp.MustCompile(` ` + name + `(?:\(\d+\))?=(\d+)`).FindStringSubmatch(l.ask("show table sources key 127.0.0.1"))
	if m == nil {
		return ""
	}
	return m[1]
}

// Connections through one peer count at the other; those of a peer that was
// killed do not for long, and what it has counted stays.
func TestRulesCountTheCluster(t *testing.T) {
	t.Parallel()
	o := clustered(t)
	o.peers += "\npeer_grace = \"1s\""
	o.frontend = `track_src = "sources"
rules = [{ action = "deny", when = "conn_cur > 4" }, { action = "deny", when = "gpt0 == 1" }]
`
	o.more = sourcesTable
	f := runFleet(t, 2, o)
	a, b := f.lbs[0], f.lbs[1]
	var open []*client
	for range 3 {
		open = append(open, greeted(t, a.plain))
	}
	within(t, patience, "lb2 counts the connections", func() bool { return b.counter("conn_cur") == "3" })
	one := greeted(t, b.plain)
	denied := dial(t, b.plain)
	denied.bye(patience, "[UNAVAILABLE]")
	within(t, patience, "lb1 counts that of lb2", func() bool { return a.counter("conn_cur") == "4" && a.counter("conn_cnt") == "5" })
	dial(t, a.plain).bye(patience, "[UNAVAILABLE]")
	open[0].logout()
	within(t, patience, "lb2 hears of the end", func() bool { return b.counter("conn_cur") == "3" })
	two := greeted(t, b.plain)
	two.logout()

	b.tell("set table sources key 127.0.0.1 data.gpt0 1")
	within(t, patience, "lb1 knows the mark", func() bool { return a.counter("gpt0") == "1" })
	dial(t, a.plain).bye(patience, "[UNAVAILABLE]")
	a.tell("set table sources key 127.0.0.1 data.gpt0 0")
	within(t, patience, "lb2 knows that it is gone", func() bool { return b.counter("gpt0") == "0" })

	count := a.counter("conn_cnt")
	within(t, patience, "both count the same", func() bool { return b.counter("conn_cnt") == count })
	a.kill()
	within(t, 30*time.Second, "connections of the dead peer do not count", func() bool { return b.counter("conn_cur") == "1" })
	if got := b.counter("conn_cnt"); got != count {
		t.Errorf("conn_cnt = %s with lb1 dead, want %s", got, count)
	}
	one.alive()
	f.restartUnready(a, b)
	a.ready()
	f.met(a, b)
	conns := func(l *lb) int { return number(t, l.ask("show table sources key 127.0.0.1"), ` conn_cnt=(\d+)`) }
	before := conns(b)
	if again := conns(a); again != before || before < number(t, count, `(\d+)`) {
		t.Errorf("conn_cnt = %d at lb1 when it is back, %d at lb2, %s before", again, before, count)
	}
	greeted(t, a.plain).logout()
	within(t, patience, "lb1 goes on counting", func() bool { return conns(b) == before+1 })
}

// A client who guesses passwords lands in the tarpit, before a login and at
// one; who is in stays in.
func TestTarpitAfterWrongPasswords(t *testing.T) {
	t.Parallel()
	l := runLB(t, options{servers: serversOf(sharedDovecots(t)[0]), more: sourcesTable, frontend: `track_src = "sources"
rules = [{ action = "tarpit", when = "auth_fail_rate > 2" }]
tarpit_timeout = "1s"
`})
	inside, waiting := loggedIn(t, l.plain, newUser()), greeted(t, l.plain)
	for range 3 {
		c := greeted(t, l.plain)
		c.refused("NO [AUTHENTICATIONFAILED]", "LOGIN %s wrong", newUser())
		c.logout()
	}
	row := l.ask("show table sources")
	if !regexp.MustCompile(`^# table: sources, type: ip, size:1000000, used:1\n0x[0-9a-f]+: key=127\.0\.0\.1 use=\d exp=\d+ shard=0 ` +
		`gpt0=0 conn_cnt=5 conn_rate\(3600000\)=5 conn_cur=\d sess_cnt=1 bytes_out_cnt=\d+ auth_fail_cnt=3 auth_fail_rate\(3600000\)=3\n\n$`).MatchString(row) {
		t.Errorf("show table sources = %q", row)
	}
	for name, addr := range map[string]string{"in clear": l.plain, "with TLS": l.implicit} {
		begin, c := time.Now(), dial(t, addr)
		if said := c.closed(patience); said != "" || time.Since(begin) < time.Second {
			t.Errorf("%s: the tarpit said %q after %s", name, said, time.Since(begin))
		}
	}
	begin := time.Now()
	waiting.refused("NO [LIMIT]", "LOGIN %s %s", newUser(), password)
	if took := time.Since(begin); took < time.Second {
		t.Errorf("a login in the tarpit was answered after %s", took)
	}
	inside.alive()
	if got := l.stat("plain", "FRONTEND", "dreq") + " " + l.stat("plain", "FRONTEND", "dcon"); got != "1 1" {
		t.Errorf("dreq and dcon = %s, want 1 1", got)
	}
	if !strings.Contains(l.log(), "reason=tarpit state=PT") {
		t.Error("the login in the tarpit is not in the log")
	}
	l.tell("clear table sources data.conn_cnt gt 1000")
	l.tell("set table sources key 127.0.0.1 data.auth_fail_rate 0")
	loggedIn(t, l.plain, newUser()).logout()
}

// A mail program with an old password may try it for ever; who guesses waits
// longer each time, on whichever connection, and at every peer.
func TestGuessersWait(t *testing.T) {
	t.Parallel()
	o := sharedTrio(t).peers()
	o.frontend = `track_src = "sources"` + "\n"
	o.more = sourcesTable
	f := runFleet(t, 2, o)
	a, b := f.lbs[0], f.lbs[1]
	const old = "former-fake-password"
	user := newUser()
	wrong := func(l *lb, format string, args ...any) time.Duration {
		t.Helper()
		c := greeted(t, l.plain)
		defer c.close()
		begin := time.Now()
		c.refused("NO [AUTHENTICATIONFAILED]", format, args...)
		return time.Since(begin)
	}
	for _, l := range f.lbs {
		l.secrets = append(l.secrets, old)
	}
	for range 3 {
		wrong(a, "LOGIN %s %s", user, old)
		wrong(a, "AUTHENTICATE PLAIN %s", base64String("\x00"+user+"\x00"+old))
	}
	if n := a.counter("auth_fail_cnt"); n != "1" {
		t.Errorf("auth_fail_cnt = %s after one password, want 1", n)
	}
	wrong(a, "LOGIN %s guess", user)
	if log := a.log(); strings.Contains(log, " delay=") {
		t.Errorf("the second guess was late:\n%s", log)
	}
	if took := wrong(a, "LOGIN %s another", user); took < 2*time.Second {
		t.Errorf("the third guess was answered after %s", took)
	}
	within(t, patience, "lb2 hears of them", func() bool { return b.counter("auth_fail_rate") == "3" })
	if took := wrong(b, "LOGIN %s more", user); took < 4*time.Second {
		t.Errorf("the fourth guess, at another peer, was answered after %s", took)
	}
	loggedIn(t, b.plain, user).logout()
	if said := b.ask("show peers"); !strings.Contains(said, " messages=0") {
		t.Errorf("some of what lb1 told made no sense: %s", said)
	}

	text, err := os.ReadFile(a.config)
	if err != nil {
		t.Fatal(err)
	}
	a.writeText(strings.ReplaceAll(string(text), o.frontend, o.frontend+trusting))
	if out, err := a.ctl("reload"); err != nil {
		t.Fatalf("reload: %v: %s", err, out)
	}
	for _, guess := range []string{"five", "six"} {
		wrong(a, "LOGIN %s %s", user, guess)
	}
	if n := strings.Count(a.log(), " delay="); n != 1 {
		t.Errorf("%d late answers logged at lb1, want 1: its client is trusted now", n)
	}
}

// Two peers whose table stores different counters, as while they are restarted
// one by one with new ones, share those of both, and say so.
func TestPeersStoreOtherCounters(t *testing.T) {
	t.Parallel()
	o := clustered(t)
	o.frontend = `track_src = "sources"` + "\n"
	f := &fleet{t: t, key: newKey(), o: o, addrs: []string{freeAddr(t), freeAddr(t)}}
	for i, store := range []string{`["conn_cnt", "conn_rate(10s)"]`, `["conn_cnt", "conn_rate(1m)", "gpc0"]`} {
		o.more = "[stick_table.sources]\nkey = \"src\"\nstore = " + store + "\n"
		f.add(i, o).begin()
	}
	a, b := f.lbs[0], f.lbs[1]
	a.ready()
	b.ready()
	f.met(a, b)
	for _, l := range f.lbs {
		greeted(t, l.plain).logout()
	}
	within(t, patience, "both see the sum", func() bool { return a.counter("conn_cnt") == "2" && b.counter("conn_cnt") == "2" })
	b.tell("set table sources key 127.0.0.1 data.gpc0 7")
	if got := a.counter("gpc0") + " " + b.counter("gpc0") + " " + a.counter("conn_rate") + " " + b.counter("conn_rate"); got != " 7 1 1" {
		t.Errorf("gpc0 and the rates are %q, want each peer to show what it stores, and to count rates of its own period", got)
	}
	for i, l := range f.lbs {
		if got := l.peer(fmt.Sprint("lb", 2-i))["other_store"]; got != "sources" {
			t.Errorf("lb%d shows other_store=%q", i+1, got)
		}
		within(t, patience, "it is logged", func() bool { return strings.Contains(l.log(), "stores other counters") })
	}
	user := newUser()
	loggedIn(t, a.plain, user).logout()
	within(t, patience, "lb2 knows where he lives", func() bool { return b.home(user) != "" && b.home(user) == a.home(user) })
}

// A counter that a reload adds counts at once, and is shared when the other peer
// has it as well; one that is left out stays until the next start.
func TestReloadAddsCounters(t *testing.T) {
	t.Parallel()
	o := clustered(t)
	o.frontend = `track_src = "sources"` + "\n"
	o.more = "[stick_table.sources]\nkey = \"src\"\nstore = [\"conn_cnt\"]\n"
	f := runFleet(t, 2, o)
	a, b := f.lbs[0], f.lbs[1]
	store := func(l *lb, words string) (said string) {
		t.Helper()
		l.writeText(strings.Replace(read(t, l.config), "store = [\"conn_cnt\"]", "store = ["+words+"]", 1))
		return l.ask("reload")
	}
	greeted(t, a.plain).logout()
	if said := store(a, `"conn_cnt", "auth_fail_cnt", "conn_cur"`); strings.Contains(said, "next start") {
		t.Errorf("the reload said %q", said)
	}
	c := greeted(t, a.plain)
	c.refused("NO [AUTHENTICATIONFAILED]", "LOGIN %s wrong", newUser())
	if got := a.counter("conn_cnt") + a.counter("auth_fail_cnt") + a.counter("conn_cur"); got != "211" {
		t.Errorf("lb1 counts %s, want 2 connections, a wrong password and a connection that is open", got)
	}
	within(t, patience, "lb2 is told what it stores", func() bool { return b.counter("conn_cnt") == "2" && b.counter("auth_fail_cnt") == "" })
	if got := b.peer("lb1")["other_store"]; got != "sources" {
		t.Errorf("lb2 shows other_store=%q", got)
	}
	store(b, `"conn_cur", "auth_fail_cnt", "conn_cnt"`)
	within(t, patience, "lb2 is told what it passed over", func() bool { return b.counter("auth_fail_cnt") == "1" && b.counter("conn_cur") == "1" })
	if got := b.peer("lb1")["other_store"]; got != "" {
		t.Errorf("lb2 shows other_store=%q though both store the same", got)
	}
	c.logout()
	l := read(t, a.config)
	a.writeText(strings.Replace(l, `"conn_cnt", "auth_fail_cnt", "conn_cur"`, `"conn_cnt"`, 1))
	if said := a.ask("reload"); !strings.Contains(said, "stick_table.sources.store (takes effect at the next start)") {
		t.Errorf("with less to store the reload said %q", said)
	}
	if got := a.counter("auth_fail_cnt"); got != "1" {
		t.Errorf("auth_fail_cnt = %q, want 1 until the next start", got)
	}
}

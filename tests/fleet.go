package tests

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// fleet is some imaplb that are peers, before the same servers: lb1, lb2 and
// so on. Owned by the goroutine of its test.
type fleet struct {
	t     testing.TB
	lbs   []*lb
	addrs []string // for each other
	key   string   // a line of the key file
	o     options  // what all have alike
}

// runFleet starts n peers and waits until they have met.
func runFleet(t testing.TB, n int, o options) *fleet {
	t.Helper()
	f := newFleet(t, n, o)
	f.start()
	f.met(f.lbs...)
	return f
}

// start runs all processes, at the same time.
func (f *fleet) start() {
	f.t.Helper()
	for _, l := range f.lbs {
		l.begin()
	}
	for _, l := range f.lbs {
		l.ready()
	}
}

// newFleet writes the configurations of n peers only. Options.peers are lines
// for all of them.
func newFleet(t testing.TB, n int, o options) *fleet {
	t.Helper()
	f := &fleet{t: t, key: newKey(), o: o}
	for range n {
		f.addrs = append(f.addrs, freeAddr(t))
	}
	for i := range n {
		f.add(i, o)
	}
	return f
}

// run is a subtest with the peers: what fails there ends that one only.
func (f *fleet) run(t *testing.T, name string, do func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		outer := f.t
		f.use(t)
		defer f.use(outer)
		do(t)
	})
}

// use has failures end that test.
func (f *fleet) use(t testing.TB) {
	f.t = t
	for _, l := range f.lbs {
		l.t = t
	}
}

// add writes the configuration of peer i, counted from 0.
func (f *fleet) add(i int, o options) *lb {
	f.t.Helper()
	web := o.at.address(f.t)
	l := newLB(f.t, f.optionsOf(i, web, o))
	l.web = web
	f.lbs = append(f.lbs, l)
	l.writeKeys(f.key)
	return l
}

// optionsOf are the options of peer i with what is its own.
func (f *fleet) optionsOf(i int, web string, o options) options {
	o.stats += fmt.Sprintf("\nhttp = %q\n", web)
	o.peers = fmt.Sprintf("name = \"lb%d\"\nbind = %q\njoin = [\"%s\"]\nkey_file = \"peers.key\"\n%s\n",
		i+1, f.addrs[i], strings.Join(f.addrs, `", "`), o.peers)
	if o.global == "" {
		o.global = "state_dir = \"state\"\nhard_stop_after = \"2s\"\nshutdown_spread = \"0s\""
	}
	return o
}

// reload gives peer i the configuration that all have, as edit changes it, and
// returns the answer.
func (f *fleet) reload(i int, edit func(o *options)) string {
	f.t.Helper()
	o, l := f.o, f.lbs[i]
	edit(&o)
	l.write(f.optionsOf(i, l.web, o))
	said := l.ask("reload")
	if strings.Contains(said, l.config+":") || strings.Contains(said, "imaplb is ") {
		f.t.Fatalf("reload: %s", said)
	}
	return said
}

// newKey makes a line of a key file.
func newKey() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails
	return base64.StdEncoding.EncodeToString(b[:])
}

// writeKeys replaces the key file of a peer. Its keys must never be shown.
func (l *lb) writeKeys(keys ...string) {
	l.t.Helper()
	for _, k := range keys {
		l.secrets = append(l.secrets, strings.TrimRight(k, "="))
	}
	if err := os.WriteFile(filepath.Join(l.dir, "peers.key"), []byte(strings.Join(keys, "\n")+"\n"), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// met waits until these peers are members of one group, each with a link to each
// other, and takes what they use then for what they use before the first client.
func (f *fleet) met(lbs ...*lb) {
	f.t.Helper()
	for _, l := range lbs {
		said := ""
		if !waitFor(30*time.Second, func() bool {
			said = l.ask("show peers")
			return strings.Count(said, " state=alive link=up ") == len(lbs)-1
		}) {
			f.t.Fatalf("the peers have not met: %s", said)
		}
	}
	for _, l := range lbs {
		l.start = l.usage()
	}
}

// peer is what a peer tells of another one: the keys and values of its lines in
// "show peers", nil if it is not there.
func (l *lb) peer(name string) record {
	l.t.Helper()
	lines := regexp.MustCompile(`(?m)^  0x[0-9a-f]+: id=` + name + `\(.*\n(?:        .*\n)*`).FindString(l.ask("show peers"))
	if lines == "" {
		return nil
	}
	r := record{}
	for _, word := range strings.Fields(lines) {
		key, value, _ := strings.Cut(word, "=")
		r[key] = value
	}
	return r
}

// residents are the lines of "show users" by user, without what differs
// between peers that agree: "server sessions assigned-by".
func (l *lb) residents() map[string]string {
	l.t.Helper()
	all := map[string]string{}
	for line := range strings.Lines(l.ask("show users")) {
		if w := strings.Fields(line); len(w) == 9 && w[0] != "#" {
			all[w[0]] = w[2] + " " + w[3] + " " + w[8]
		}
	}
	return all
}

// agree waits until these peers say the same of all users.
func (f *fleet) agree(limit time.Duration, lbs ...*lb) {
	f.t.Helper()
	within(f.t, limit, "the peers agree on all users", func() bool {
		first := fmt.Sprint(lbs[0].residents())
		for _, l := range lbs[1:] {
			if fmt.Sprint(l.residents()) != first {
				return false
			}
		}
		return true
	})
}

// place gives users homes by turns, where no algorithm would, at one peer.
func (f *fleet) place(l *lb, n int) (homes map[string]string) {
	f.t.Helper()
	homes = map[string]string{}
	var commands []string
	for i := range n {
		user, home := newUser(), f.o.servers[i%len(f.o.servers)].name
		homes[user] = home
		commands = append(commands, "set table users key "+user+" server "+home)
	}
	l.tellAll(commands)
	return homes
}

// tellAll is tell for many commands, some in a line.
func (l *lb) tellAll(commands []string) {
	l.t.Helper()
	for part := range slices.Chunk(commands, 50) {
		l.tell(strings.Join(part, ";"))
	}
}

// settleOn gives users a home, and waits until all know.
func (f *fleet) settleOn(users []string, home string) {
	f.t.Helper()
	var commands []string
	for _, user := range users {
		commands = append(commands, "set table users key "+user+" server "+home)
	}
	f.lbs[0].tellAll(commands)
	for _, l := range f.lbs[1:] {
		within(f.t, patience, "the peers know who lives there", func() bool {
			return strings.Count(l.ask("show users"), " "+home+" ") >= len(users)
		})
	}
}

// settle is place at the first peer, and waits until all know.
func (f *fleet) settle(n int) (homes map[string]string) {
	f.t.Helper()
	homes = f.place(f.lbs[0], n)
	for _, l := range f.lbs[1:] {
		within(f.t, patience, "the peers know who lives where", func() bool {
			all := l.residents()
			for user, home := range homes {
				if !strings.HasPrefix(all[user], home+" ") {
					return false
				}
			}
			return true
		})
	}
	return homes
}

// readyz is the status of /readyz, 0 if nobody answers.
func (l *lb) readyz() int {
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get("http://" + l.web + "/readyz")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body) // the status is the answer
	return resp.StatusCode
}

// wantHome waits until a peer knows a user's home.
func (l *lb) wantHome(user, server string) {
	l.t.Helper()
	if !waitFor(patience, func() bool { return l.home(user) == server }) {
		l.t.Fatalf("home of %s = %q, want %q", user, l.home(user), server)
	}
}

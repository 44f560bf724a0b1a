package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imaplb/balancer"
	"imaplb/conf"
	"imaplb/stats"
)

// While the peers share out a limit, nobody is told that the server is full.
func TestExplainWhileSharing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "imaplb.toml")
	if err := os.WriteFile(path, []byte(fmt.Sprintf(`
[stats]
socket = %q
[peers]
name = "lb1"
bind = "127.0.0.1:0"
join = ["127.0.0.1:9"]
tie_breaker = "serve"
[stick_table.users]
[frontend.imap]
bind = ["127.0.0.1:0"]
backend = "mail"
[backend.mail]
check = { kind = "none" }
server.s1 = { addr = "127.0.0.1:9", maxconn = 30, maxlogins = 4 }
`, filepath.Join(dir, "sock"))), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := conf.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	n, err := newNode(path, cfg, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer n.logs.Close()
	n.engine.Start()
	defer n.engine.Stop()
	if _, err := n.apply(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := n.Tables()[0].Set(now, "alice", "s1"); err != nil {
		t.Fatal(err)
	}
	explained := func(user string, want ...string) {
		t.Helper()
		list, err := n.Explain(stats.Question{User: user})
		if err != nil || len(list) != 1 {
			t.Fatalf("%d explanations: %v", len(list), err)
		}
		e := &list[0]
		said := strings.Join(append(append([]string{e.Verdict, e.Why}, e.Servers...), e.Limits...), "\n")
		for _, w := range want {
			if !strings.Contains(said, w) {
				t.Errorf("%s: got\n%s\nwant %q", user, said, w)
			}
		}
		if strings.Contains(said, "full") || strings.Contains(said, "of 0") {
			t.Errorf("%s: got\n%s\nand nothing is full", user, said)
		}
	}
	sharing := "s1 no check, weight 100, 0 sessions at this peer, the peers are just sharing out its limits"
	explained("alice", "s1, as soon as it has a place: the login waits, 30s at most", "he lives there, but the peers are just sharing out the limits of s1", sharing,
		"sessions on s1: 0, the peers are just sharing out the limit of 30: logins wait for a place, 30s at most")
	explained("bob", "the first server that has a place: the login waits, 30s at most", sharing)
	s1 := n.parts.Load().backends[0].Server("s1")
	s1.Allow(now, balancer.MaxconnLimit, 15)
	s1.Allow(now, balancer.MaxloginsLimit, 2)
	for _, user := range []string{"alice", "bob"} {
		explained(user, "s1\n", "0 of 15 sessions at this peer, 0 of 2 logins under way", "sessions on s1: 0 of 15 at this peer, its share of the 30 of all peers")
	}
}

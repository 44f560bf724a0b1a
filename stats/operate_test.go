package stats

import (
	"context"
	"time"

	"imaplb/auth"
)

func (n *snapshot) KickSessions(o Order, k Kick) (int, error) {
	count := 0
	n.Sessions(func(s Session) bool {
		if s.User != "" && (auth.Match(k.User, s.User) || s.Server == k.Server) {
			count++
		}
		return true
	})
	n.note("kick %+v%s", k, scope(o))
	return count, n.fail
}

func (n *snapshot) Pin(_ context.Context, o Order, m Move) error {
	n.note("pin %s of %s to %s/%s%s", m.User, m.Table, m.Backend, m.Server, scope(o))
	return n.fail
}

func (n *snapshot) Unpin(o Order, table, user string) error {
	n.note("unpin %s of %q%s", user, table, scope(o))
	return n.fail
}

func (n *snapshot) Pins() []Pin {
	return []Pin{
		{Table: "users", Key: "alice@example.org", Backend: "mail", Server: "mail1", By: "admin uid=0", Peer: "lb1", When: noon.Add(-time.Hour)},
		{Table: "users", Key: "dan x", Backend: "mail", Server: "mail2", By: "admin uid=7", Peer: "lb2", When: noon.Add(-time.Minute)},
	}
}

func (n *snapshot) Flush(_ Order, backend, server string, parallel int) error {
	n.note("flush %s/%s, %d at once", backend, server, parallel)
	return n.fail
}

func (n *snapshot) EndFlush(_ Order, backend, server string) error {
	n.note("end flush of %s/%s", backend, server)
	return n.fail
}

func (n *snapshot) Flushes() []Flush {
	return []Flush{
		{Backend: "mail", Server: "mail1", Phase: "runs", By: "admin uid=0", Peer: "lb1", Since: noon.Add(-5 * time.Second), Parallel: 100, Moved: 30, Failed: 1, Left: 10},
		{Backend: "mail", Server: "mail2", Phase: "ended", By: "admin uid=0", Peer: "lb2", Since: noon.Add(-time.Minute), Parallel: 5, Moved: 7, Note: "stopped by order"},
		{Backend: "other", Server: "o2", Phase: "runs", By: "admin uid=0", Peer: "lb2", Since: noon, Parallel: 5, Left: 4, Note: "waits: no other server takes users"},
	}
}

func (n *snapshot) Population(table string) map[string]Population {
	n.note("count %s", table)
	return map[string]Population{"mail1": {Users: 10, Sessions: 25, Idle: 3}}
}

func (n *snapshot) Explain(q Question) ([]Explanation, error) {
	n.note("explain %s %q from %s, sni %q, bind %q", q.User, q.Backend, q.From, q.SNI, q.Bind)
	return []Explanation{
		{Backend: "mail", Table: "users", Algo: "hash: in this order", Key: "alice", Way: "logins of frontend imaps",
			Verdict: "mail1", Why: "the table says that he lives there", Entry: "lives on mail1\nsince 3h", Pin: "to mail1", Move: "under way to mail2",
			Servers: []string{"mail2 UP", "mail1 DOWN"}, Client: []string{"frontend imaps: no rules"}, Limits: []string{"sessions on mail1: 2 of 500 (0 %)"}, Notes: []string{"frozen"}},
		{Backend: "other", Algo: "roundrobin", Way: "no frontend leads there", Verdict: "nowhere", Why: "there is no server"},
	}, n.fail
}

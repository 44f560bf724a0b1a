package tests

import (
	"testing"
)

// The algorithms, seen by where users live: servers in the order of the logins.
func TestBalance(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	for _, c := range []struct {
		name, backend string
		extra         [3]string // of s1, s2 and s3
		want          string
	}{
		{"first", `balance = "first"`, [3]string{"maxconn = 2", "maxconn = 1", ""}, "11233"},
		{"leastconn", `balance = "leastconn"`, [3]string{"weight = 200", "weight = 100", "weight = 0"}, ""},
		{"backup", "", [3]string{`state = "maint"`, `state = "maint"`, "backup = true"}, "33333"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			servers := serversOf(all[:]...)
			for i := range servers {
				servers[i].extra += "\n" + c.extra[i]
			}
			l := runLB(t, options{servers: servers, backend: c.backend})
			got, count := "", map[string]int{}
			n := max(len(c.want), 6)
			for range n {
				user := newUser()
				loggedIn(t, l.plain, user)
				home := l.home(user)
				got += home[1:]
				count[home]++
			}
			switch {
			case c.want != "" && got[:len(c.want)] != c.want:
				t.Errorf("users live on servers %s, want %s", got, c.want)
			case c.want == "" && (count["s1"] != 4 || count["s2"] != 2):
				t.Errorf("users live on %v, want 4 on s1 and 2 on s2", count)
			}
		})
	}
}

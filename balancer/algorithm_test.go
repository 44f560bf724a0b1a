package balancer

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
)

// algorithms are all words of balance.
var algorithms = []string{"hash", "roundrobin", "leastconn", "random", "first", "source"}

// weighted is n servers of weights that differ, and one that takes nobody new.
func weighted(n int, balance string) (s Setup, sum int) {
	s = setup(n, balance, nil)
	for i := range s.Servers {
		s.Servers[i].Config.Weight = 100 + 10*i
		sum += s.Servers[i].Config.Weight
	}
	s.Servers = append(s.Servers, ServerSpec{Name: "none", Config: ServerConfig{Weight: 0}})
	return s, sum
}

// askOf is the i-th user, each from an address of his own.
func askOf(i int) Ask {
	return Ask{Key: fmt.Sprintf("user%d@example.org", i), Source: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}
}

// Each algorithm gives every server its share of 100,000 users that stay.
func TestSpreadByWeight(t *testing.T) {
	for _, balance := range algorithms {
		s, sum := weighted(10, balance)
		if balance == "first" { // its share is its maxconn
			for i := range s.Servers {
				s.Servers[i].Config.Maxconn = users * s.Servers[i].Config.Weight / sum
			}
			s.Servers[len(s.Servers)-1].Config.Maxconn = 1
		}
		b := NewBackend(start, "mail", 3, s)
		for i := range users {
			if _, err := b.Place(start, askOf(i)); err != nil && balance != "first" {
				t.Fatalf("%s: user %d: %v", balance, i, err)
			}
		}
		for _, srv := range b.Servers() {
			want := float64(users*srv.Weight()) / float64(sum)
			if got := float64(srv.Scur.Load()); math.Abs(got-want) > 0.05*want {
				t.Errorf("%s: %s of weight %d has %v users, want %.0f within 5 %%", balance, srv.Name, srv.Weight(), got, want)
			}
		}
	}
}

// A server that goes takes only its own users with it, and one that comes takes
// only its share. The other algorithms do not look at who comes; what keeps
// their users is the table.
func TestMinimalMovement(t *testing.T) {
	for _, balance := range []string{"hash", "source"} {
		b := NewBackend(start, "mail", 3, setup(10, balance, nil))
		homes := func() (all [20_000]*Server) {
			for i := range all {
				all[i] = b.Choose(start, askOf(i), nil)
			}
			return all
		}
		before := homes()
		b.Update(start, setup(11, balance, nil))
		came := 0
		for i, s := range homes() {
			if s != before[i] {
				came++
				if s.Name != "s11" {
					t.Fatalf("%s: user %d went from %s to %s when s11 came", balance, i, before[i].Name, s.Name)
				}
			}
		}
		if want := len(before) / 11; came < want*9/10 || came > want*11/10 {
			t.Errorf("%s: %d users went to the new server, want about %d", balance, came, want)
		}
		b.Update(start, setup(10, balance, nil))
		gone := b.Server("s4")
		gone.SetHealth(start, down)
		for i, s := range homes() {
			if moved := s != before[i]; moved != (before[i] == gone) {
				t.Fatalf("%s: user %d of %s is on %s when s4 is down", balance, i, before[i].Name, s.Name)
			}
		}
	}
}

// No algorithm chooses a server that is full, takes nobody new, is a backup or
// has just failed.
func TestNobodyIsSentWhereHeMayNotGo(t *testing.T) {
	for _, balance := range algorithms {
		s := setup(7, balance, nil)
		s.Servers[0].Config.Maxconn = 1
		s.Servers[1].Config.Weight = 0
		s.Servers[2].Config.State = "drain"
		s.Servers[3].Config.State = "maint"
		s.Servers[4].Config.Backup = true
		b := NewBackend(start, "mail", 3, s)
		b.Server("s1").take(start)
		for i := range 100 {
			if got := b.Choose(start, askOf(i), b.Server("s6")); got != b.Server("s7") {
				t.Fatalf("%s: user %d is sent to %v, want s7", balance, i, got)
			}
		}
		b.Server("s7").SetHealth(start, down)
		if got := b.Choose(start, askOf(1), b.Server("s6")); got != nil {
			t.Errorf("%s: sent to %s, want nobody", balance, got.Name)
		}
		if got := NewBackend(start, "mail", 3, setup(0, balance, nil)).Choose(start, askOf(1), nil); got != nil {
			t.Errorf("%s: of no servers %s is chosen", balance, got.Name)
		}
	}
}

func TestChoosingTakesNoMemory(t *testing.T) {
	for _, balance := range algorithms {
		s := setup(1000, balance, nil)
		s.Config.BalanceFactor = 150
		s.Servers[999].Config.Backup = true
		b := NewBackend(start, "mail", 3, s)
		ask := askOf(7)
		if n := testing.AllocsPerRun(20, func() { b.Choose(start, ask, nil) }); n != 0 {
			t.Errorf("%s: choosing among 1,000 servers takes %v allocations, want 0", balance, n)
		}
	}
}

func BenchmarkChoose(b *testing.B) {
	for _, balance := range append(algorithms, "bounded") {
		for _, n := range []int{10, 1000} {
			b.Run(fmt.Sprintf("%s/servers=%d", balance, n), func(b *testing.B) {
				s := setup(n, balance, nil)
				if balance == "bounded" {
					s.Config.BalanceFactor = 150
				}
				be, ask := NewBackend(start, "mail", 3, s), askOf(7)
				b.ReportAllocs()
				for b.Loop() {
					be.Choose(start, ask, nil)
				}
			})
		}
	}
}

func TestRoundRobinFollowsWeights(t *testing.T) {
	s := setup(3, "roundrobin", nil)
	for i, w := range []int{5, 1, 1} {
		s.Servers[i].Config.Weight = w
	}
	b := NewBackend(start, "mail", 3, s)
	var got string
	for range 14 {
		p, err := b.Place(start, Ask{Key: "any"})
		if err != nil {
			t.Fatal(err)
		}
		got += p.Server.Name[1:]
	}
	if want := "11213111121311"; got != want {
		t.Fatalf("turns %s, want %s", got, want)
	}
}

// With a bound no server gets more than so many per cent of the average, and
// who is passed over goes where the hash would send him next.
func TestBalanceFactor(t *testing.T) {
	const factor = 125
	s, _ := weighted(10, "hash")
	s.Config.BalanceFactor = factor
	b := NewBackend(start, "mail", 3, s)
	free, _ := weighted(10, "hash")
	unbounded := NewBackend(start, "mail", 3, free)
	apart := 0
	for i := range 20_000 {
		ask := askOf(i % 50) // few users, so that the hash alone is uneven
		p, err := b.Place(start, ask)
		if err != nil {
			t.Fatal(err)
		}
		if p.Server.Name != unbounded.Choose(start, ask, nil).Name {
			apart++
		}
		sum := 0
		for _, srv := range b.Servers() {
			sum += srv.Weight()
		}
		most := math.Ceil(float64((i+1)*p.Server.Weight()*factor) / float64(sum*100))
		if n := p.Server.Scur.Load(); float64(n) > most {
			t.Fatalf("after %d sessions %s has %d, want at most %v", i+1, p.Server.Name, n, most)
		}
	}
	if apart == 0 || apart > 15_000 {
		t.Errorf("%d of 20,000 went elsewhere than the hash says, want some", apart)
	}
	s.Config.BalanceFactor = 0
	b.Update(start, s)
	if got, want := b.Choose(start, askOf(3), nil).Name, unbounded.Choose(start, askOf(3), nil).Name; got != want {
		t.Errorf("without the bound %s is chosen, want %s", got, want)
	}
}

func TestLeastConnTakesTheEmptiest(t *testing.T) {
	b := NewBackend(start, "mail", 3, setup(3, "leastconn", nil))
	for i, n := range []int64{5, 2, 9} {
		b.Servers()[i].Scur.Store(n)
	}
	var got string
	for i := range 9 {
		p, _ := b.Place(start, askOf(i))
		got += p.Server.Name[1:]
	}
	if got[:3] != "222" || b.Server("s3").Scur.Load() != 9 {
		t.Errorf("sent to %s, want s2 until it has as many as s1, and s3 never", got)
	}
	turns := map[string]int{}
	for i := range 300 {
		turns[nextTurn(b, i)]++
	}
	if turns["s1"] < 100 || turns["s2"] < 100 {
		t.Errorf("of equals %v are taken, want all by turns", turns)
	}
}

// nextTurn chooses among servers that are equal, but for s3.
func nextTurn(b *Backend, i int) string {
	b.Server("s1").Scur.Store(1)
	b.Server("s2").Scur.Store(1)
	return b.Choose(start, askOf(i), nil).Name
}

func TestFirstFillsOneAfterTheOther(t *testing.T) {
	s := setup(3, "first", newTable())
	s.Servers[0].Config.Maxconn, s.Servers[1].Config.Maxconn = 2, 1
	b := NewBackend(start, "mail", 3, s)
	var got string
	for i := range 5 {
		got += mustPlace(t, b, fmt.Sprint("u", i)).Server.Name[1:]
	}
	if got != "11233" {
		t.Errorf("servers %s, want 11233", got)
	}
}

func TestSource(t *testing.T) {
	b := NewBackend(start, "mail", 3, setup(50, "source", nil))
	at := func(addr, key string) *Server {
		var a netip.Addr
		if addr != "" {
			a = netip.MustParseAddr(addr)
		}
		return b.Choose(start, Ask{Key: key, Source: a}, nil)
	}
	for _, c := range []struct {
		why  string
		a, b *Server
		same bool
	}{
		{"users of one address", at("192.0.2.1", "alice"), at("192.0.2.1", "bob"), true},
		{"IPv4 in IPv6", at("::ffff:192.0.2.1", "alice"), at("192.0.2.1", "alice"), true},
		{"hosts of one IPv6 network", at("2001:db8::1", "alice"), at("2001:db8::ffff:1", "alice"), true},
		{"a zone", at("fe80::1%eth0", "alice"), at("fe80::1", "alice"), true},
		{"IPv6 networks", at("2001:db8:0:1::1", "alice"), at("2001:db8:0:2::1", "alice"), false},
		{"addresses", at("192.0.2.1", "alice"), at("192.0.2.2", "alice"), false},
		{"users of a unix socket", at("", "alice"), at("", "bob"), false},
	} {
		if (c.a == c.b) != c.same {
			t.Errorf("%s: on %s and %s, want the same: %v", c.why, c.a.Name, c.b.Name, c.same)
		}
	}
}

func TestBackupServers(t *testing.T) {
	for _, c := range []struct {
		name string
		all  bool
		set  func(b *Backend)
		want string // servers that are chosen
	}{
		{"actives first", false, func(*Backend) {}, "s1 s2"},
		{"one active is enough", false, func(b *Backend) { b.Server("s1").SetHealth(start, down) }, "s2"},
		{"none: the first backup", false, func(b *Backend) { away(b, "s1", "s2") }, "s3"},
		{"none: all backups", true, func(b *Backend) { away(b, "s1", "s2") }, "s3 s4"},
		{"the first backup is down", false, func(b *Backend) { away(b, "s1", "s2", "s3") }, "s4"},
		{"drain and weight 0 are none", false, func(b *Backend) {
			b.Server("s1").SetAdmin(start, Drain)
			b.Server("s2").SetWeight(start, 0)
		}, "s3"},
		{"full is no reason", false, func(b *Backend) {
			for _, s := range b.Servers()[:2] {
				s.SetMaxconn(1)
				s.take(start)
			}
		}, ""},
		{"nobody", false, func(b *Backend) { away(b, "s1", "s2", "s3", "s4") }, ""},
	} {
		s := setup(4, "roundrobin", nil)
		s.Config.AllBackups = c.all
		s.Servers[2].Config.Backup, s.Servers[3].Config.Backup = true, true
		b := NewBackend(start, "mail", 3, s)
		c.set(b)
		got, seen := "", map[*Server]bool{}
		for i := range 10 {
			if s := b.Choose(start, askOf(i), nil); s != nil {
				seen[s] = true
			}
		}
		for _, s := range b.Servers() {
			if seen[s] {
				got += " " + s.Name
			}
		}
		if got != "" {
			got = got[1:]
		}
		if got != c.want {
			t.Errorf("%s: chosen %q, want %q", c.name, got, c.want)
		}
	}
}

func away(b *Backend, names ...string) {
	for _, n := range names {
		b.Server(n).SetHealth(start, down)
	}
}

// A user who came to a backup server stays there.
func TestBackupKeepsItsUsers(t *testing.T) {
	s := setup(2, "hash", newTable())
	s.Servers[1].Config.Backup = true
	b := NewBackend(start, "mail", 3, s)
	b.Server("s1").SetHealth(start, down)
	p := begin(t, b, "alice")
	b.Server("s1").SetHealth(start, up)
	if q := begin(t, b, "alice"); p.Server.Name != "s2" || q.Server != p.Server {
		t.Errorf("placed on %s and %s, want s2 twice", p.Server.Name, q.Server.Name)
	}
	if q := mustPlace(t, b, "bob"); q.Server.Name != "s1" {
		t.Errorf("a new user is on %s, want s1", q.Server.Name)
	}
}

package cluster

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// Any goroutine may call any method; for the race detector.
func TestManyGoroutines(t *testing.T) {
	c, other := newOne(t, "lb1"), newOne(t, "lb2")
	var all sync.WaitGroup
	for g := range 4 {
		all.Add(2)
		go useAll(c, other, rand.New(rand.NewPCG(1, uint64(g))), &all) // ends after its calls
		go useAll(other, c, rand.New(rand.NewPCG(2, uint64(g))), &all)
	}
	all.Wait()
	for _, cl := range []*Cluster{c, other} {
		end := start.Add(MaxMoveTimeout)
		cl.Tick(end)
		cl.Tick(end.Add(releaseAfter))
		if cl.held.Load() != nil || len(cl.queue) > 0 || cl.running {
			t.Errorf("%s: somebody is held, or effects are left", cl.Self())
		}
	}
}

// useAll calls one method after the other.
func useAll(c, other *Cluster, rng *rand.Rand, all *sync.WaitGroup) {
	defer all.Done()
	pos := other.Head()
	for i := range 400 {
		now := start.Add(time.Duration(i) * time.Millisecond)
		user, server := fmt.Sprint("u", rng.IntN(3)), fmt.Sprint("s", rng.IntN(3))
		switch rng.IntN(10) {
		case 0:
			c.Move(now, MoveOrder{By: "admin", Table: "users", Key: user, Backend: "mail", Server: server})
		case 1:
			c.Gone(now, "users", user, server)
		case 2:
			c.Vote(now, "mail", server, rng.IntN(2) == 0)
		case 3:
			c.OrderAdmin(now, "admin", "mail", server, "drain")
			c.Admin("mail", server)
		case 4:
			alive := []string{"lb1", "lb2", "lb3"}[:1+rng.IntN(3)]
			c.SetMembers(now, alive, []string{"lb1", "lb2", "lb3"})
			c.Frozen()
		case 5:
			c.PeerDown(now, "lb3")
			c.PeerUp(now, "lb3")
		case 6:
			c.Save()
			c.Events(10)
			c.Votes("mail", server)
			c.Counters()
		case 7:
			b, _ := other.Part(nil, 0, 0xffff, 0, 2000)
			c.Merge(now, other.Self(), b)
		case 8:
			b, next, _ := other.Pull(nil, pos, 1000)
			pos = next
			c.Merge(now, other.Self(), b)
		case 9:
			c.Tick(now)
		}
		c.Held("users", user)
	}
}

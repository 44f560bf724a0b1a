package balancer

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// Whatever logins, leaves and changes do at once: no limit is passed, nobody
// is forgotten, and all is given back.
func TestQueueUnderConcurrency(t *testing.T) {
	s := queued(3, 5)
	for i := range s.Servers {
		s.Servers[i].Config.Maxlogins = 2
	}
	b := NewBackend(start, "mail", 3, s)
	stop := chaos(func(i int) {
		s := b.Servers()[i%3]
		s.SetAdmin(start, Admin(1+i%2))
		s.SetAdmin(start, Ready)
	})
	var guests sync.WaitGroup
	for w := range 40 {
		guests.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for range 100 {
				visit(t, b, Ask{Key: fmt.Sprint("u", r.IntN(20))}, r)
			}
		})
	}
	guests.Wait()
	stop()
	wantEmpty(t, b)
}

// visit is one login and session, or a client who does not wait for it.
func visit(t *testing.T, b *Backend, ask Ask, r *rand.Rand) {
	g := newGuest(ask.Key)
	p, err := b.PlaceOrWait(start, ask, &g.w, g)
	for errors.Is(err, ErrWaiting) || errors.Is(err, ErrAgain) {
		if errors.Is(err, ErrAgain) {
			p, err = b.PlaceOrWait(start, ask, &g.w, g)
			continue
		}
		if r.IntN(10) == 0 {
			b.Leave(start, &g.w)
			return
		}
		select {
		case <-g.woken:
			p, err = b.Claim(start, ask, &g.w)
		case <-time.After(20 * time.Second):
			t.Errorf("%s was forgotten", ask.Key)
			b.Leave(start, &g.w)
			return
		}
	}
	if err != nil {
		return
	}
	if n := p.Server.Scur.Load(); n > 5 {
		t.Errorf("%d sessions on a server, at most 5", n)
	}
	if n := p.Server.Logins.Load(); n > 2 {
		t.Errorf("%d logins at a server, at most 2", n)
	}
	if r.IntN(5) > 0 {
		_ = p.Begin(start) // ErrMoved is as good
	}
	p.End(start)
}

// One of 10,000 who wait is served and another one comes.
func BenchmarkQueue(b *testing.B) {
	be := NewBackend(start, "mail", 3, queued(1, 1))
	p, err := be.Place(start, Ask{Key: "first"})
	if err != nil {
		b.Fatal(err)
	}
	ring := make([]*guest, 9_999)
	for i := range ring {
		ring[i] = newGuest(fmt.Sprint("u", i))
		_, _ = be.PlaceOrWait(start, Ask{Key: ring[i].name}, &ring[i].w, ring[i])
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		p.End(start)
		g := ring[i%len(ring)]
		<-g.woken
		if p, err = be.Claim(start, Ask{Key: g.name}, &g.w); err != nil {
			b.Fatal(err)
		}
		g.w = Waiter{}
		if _, err := be.PlaceOrWait(start, Ask{Key: g.name}, &g.w, g); !errors.Is(err, ErrWaiting) {
			b.Fatal(err)
		}
		i++
	}
}

package main

import (
	"sync"
	"time"

	"imaplb/balancer"
	"imaplb/cluster"
	"imaplb/stats"
	"imaplb/sticktable"
)

// Population counts the users of each server that a table's entries name.
func (n *node) Population(table string) map[string]stats.Population {
	t := n.parts.Load().table(table)
	if t == nil {
		return nil
	}
	return populationOf(t)
}

// populationOf looks through a table, a few entries at a time.
func populationOf(t *sticktable.Table) map[string]stats.Population {
	all := map[string]stats.Population{}
	t.Range(time.Now(), func(e sticktable.Entry) bool {
		p := all[e.Server]
		if e.Sessions > 0 {
			p.Users++
			p.Sessions += e.Sessions
		} else {
			p.Idle++
		}
		all[e.Server] = p
		return true
	})
	return all
}

// Whether a draining server has users left is looked at every second, and less
// often where the tables are so large that it would take more than a twentieth
// of the time. Nothing is looked at while none drains, or has sessions here.
const (
	drainPace  = time.Second
	drainShare = 20
)

// draining are the servers that were put into drain and have not been told to
// be without users. Shared.
type draining struct {
	mu      sync.Mutex // guards servers
	servers map[*balancer.Server]bool
	wake    chan struct{} // capacity 1: there are some
}

func newDraining() *draining {
	return &draining{servers: map[*balancer.Server]bool{}, wake: make(chan struct{}, 1)}
}

// changed notes that a server was put into drain, or taken out of it.
func (d *draining) changed(s *balancer.Server, admin balancer.Admin) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if admin != balancer.Drain {
		delete(d.servers, s)
		return
	}
	d.servers[s] = true
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// take removes a server and reports whether it was there.
func (d *draining) take(s *balancer.Server) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.servers[s]
	delete(d.servers, s)
	return was
}

// all are the servers that drain.
func (d *draining) all() (list []*balancer.Server) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for s := range d.servers {
		list = append(list, s)
	}
	return list
}

// keepDrained tells of draining servers that have no users left, until stop is
// closed.
func (n *node) keepDrained(stop, done chan struct{}) {
	defer close(done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case <-n.draining.wake:
			timer.Reset(drainPace)
			continue
		case <-timer.C:
		}
		begun := time.Now()
		if n.lookAtDraining() > 0 {
			timer.Reset(max(drainPace, drainShare*time.Since(begun)))
		}
	}
}

// lookAtDraining returns how many servers are left to be looked at again.
func (n *node) lookAtDraining() (left int) {
	counted := map[*sticktable.Table]map[string]stats.Population{}
	for _, s := range n.draining.all() {
		if s.Backend.Server(s.Name) != s { // it left the configuration
			n.draining.take(s)
			continue
		}
		if s.Scur.Load() > 0 {
			left++
			continue
		}
		t := s.Backend.Table()
		if t != nil && counted[t] == nil {
			counted[t] = populationOf(t)
		}
		if counted[t][s.Name].Users > 0 {
			left++
			continue
		}
		if n.draining.take(s) {
			n.log.Info("server has no users left", "be", s.Backend.Name, "srv", s.Name)
			n.cluster.NoteServer(time.Now(), s.Backend.Name, s.Name, "has no users left")
		}
	}
	return left
}

// logged: the log has it already.
func logged(e *cluster.Event) bool {
	return e.Kind == cluster.EventPeer || e.Kind == cluster.EventServer
}

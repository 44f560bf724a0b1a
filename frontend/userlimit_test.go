package frontend

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"imaplb/sticktable"
)

// A user's sessions are bounded, all of them and those from one address; those
// that are still logging in count, and those that failed do not.
func TestUserLimits(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits UserLimits
		reason string
		text   string
	}{
		{"user", UserLimits{MaxUserSessions: 2}, "user_limit", "b NO [LIMIT] Too many sessions of this user, at most 2"},
		{"source", UserLimits{MaxUserSessionsPerSource: 2}, "user_source_limit", "b NO [LIMIT] Too many sessions of this user from this address, at most 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, asked, answer := gated(t)
			r := newRig(t, plan{addrs: []string{d.addr()}, loops: 2})
			r.be.SetUserLimits(c.limits)
			first, second := r.greeted(), r.greeted()
			for _, c := range []*client{first, second} {
				c.send("l LOGIN Alice " + secretWord + "\r\n")
				<-asked
			}
			third := r.greeted()
			third.send("b LOGIN alice " + secretWord + "\r\n")
			third.want(c.text)
			r.eventually("the log tells why", func() bool {
				for _, l := range r.logs.lines(t) {
					if l["reason"] == c.reason && l["state"] == "PC" {
						return true
					}
				}
				return false
			})
			answer <- "L NO no\r\n"
			answer <- ""
			r.eventually("one is in", func() bool { return r.be.AuthOK.Load() == 1 && r.be.AuthFail.Load() == 1 })
			third.send("l LOGIN alice " + secretWord + "\r\n") // in the place of the one that failed
			<-asked
			answer <- ""
			third.want("l OK ")
			if all, _ := r.e.UserSessionsNow(time.Now(), r.be, "alice", netip.Addr{}); all != 2 || r.fe.Denied.Load() != 1 {
				t.Errorf("%d sessions counted, %d denied, want 2 and 1", all, r.fe.Denied.Load())
			}
			for _, c := range []*client{first, second, third} {
				_ = c.Close()
			}
			r.eventually("nobody is counted", func() bool { return r.e.users.len() == 0 })
		})
	}
}

// Sessions at other peers count, and those of before the limit.
func TestUserLimitOfAllPeers(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d.addr()}})
	r.greeted().login("alice")
	r.be.SetUserLimits(UserLimits{MaxUserSessions: 2})
	second := r.greeted()
	second.login("alice")
	c := r.greeted()
	c.send("a LOGIN alice " + secretWord + "\r\n")
	c.want("a NO [LIMIT]")
	c.login("bob")
	if e, _ := r.table.Lookup(time.Now(), "alice"); e.Sessions != 2 {
		t.Errorf("%d sessions of alice in the table", e.Sessions)
	}
}

// Sessions at a peer that was found dead count no more, though the table has them
// yet: their clients come back through this one.
func TestUserLimitBehindDeadPeer(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d.addr()}})
	r.be.SetUserLimits(UserLimits{MaxUserSessions: 2})
	now := time.Now()
	stamp := uint64(now.UnixMilli()) << 16
	_, err := r.table.MergeUpdate(now, sticktable.Update{
		Key: "alice", Server: "s1", Time: stamp, Writer: "lb2", LastUsed: now.UnixMilli(),
		Slots: []sticktable.Slot{{Peer: "lb2", Count: 2, Version: stamp + 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var dead atomic.Bool
	r.e.SetAlive(func(peer string) bool { return peer != "lb2" || !dead.Load() })
	c := r.greeted()
	c.send("a LOGIN alice " + secretWord + "\r\n")
	c.want("a NO [LIMIT]")
	dead.Store(true)
	c.login("alice")
	r.greeted().login("alice")
	c = r.greeted()
	c.send("a LOGIN alice " + secretWord + "\r\n")
	c.want("a NO [LIMIT]")
	r.table.Void(now, "lb2") // the rig wants no session at its end
}

// A waiting client that leaves is not counted any longer.
func TestUserLimitOfWaiting(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d.addr()}})
	r.be.SetUserLimits(UserLimits{MaxUserSessions: 2})
	r.queues(1, patience, nil)
	first := r.greeted()
	first.login("alice")
	second := r.waiting("alice")
	_ = second.Close()
	r.eventually("one is counted", func() bool {
		all, _ := r.e.UserSessionsNow(time.Now(), r.be, "alice", netip.Addr{})
		return all == 1
	})
}

// len is how many numbers are kept.
func (u *userCounts) len() (n int) {
	for i := range u.shards {
		s := &u.shards[i]
		s.mu.Lock()
		n += len(s.n)
		s.mu.Unlock()
	}
	return n
}

func TestUserCounts(t *testing.T) {
	u := newUserCounts()
	here, there := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				u.both(3, "alice", here, 1)
				u.both(3, "alice", there, 1)
				u.both(4, "alice", netip.Addr{}, 1)
			}
		})
	}
	wg.Wait()
	if all, n := u.both(3, "alice", here, 0); all != 1600 || n != 800 {
		t.Errorf("%d of alice, %d from here, want 1600 and 800", all, n)
	}
	if all, n := u.both(4, "alice", netip.Addr{}, 0); all != 800 || n != 800 {
		t.Errorf("in another backend %d, %d without an address, want 800", all, n)
	}
	for range 800 {
		u.both(3, "alice", here, -1)
		u.both(3, "alice", there, -1)
		u.both(4, "alice", netip.Addr{}, -1)
	}
	if u.len() != 0 {
		t.Errorf("%d numbers are kept of nothing", u.len())
	}
}

package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var mail1 = target{"mail", "s1"}

// vote has a node say what it finds s1 to be.
func (s *simNode) vote(up bool) { s.c.Vote(s.m.now, mail1.backend, mail1.server, up) }

func (m *mesh) wantVerdict(up bool, nodes ...int) {
	m.t.Helper()
	for _, n := range nodes {
		s := m.nodes[n]
		if got, told := s.health[mail1]; !told || got != up || s.c.Votes("mail", "s1").Up != up {
			m.t.Fatalf("%s: verdict %v, told %v, want %v; votes %+v", s.name, got, told, up, s.c.Votes("mail", "s1"))
		}
	}
}

func TestVerdictIsTheMajoritys(t *testing.T) {
	for votes, want := range map[string]bool{ // u up, d down, - no vote
		"u": true, "d": false,
		"ud": true, "dd": false, "d-": false, "u-": true,
		"udd": false, "uud": true, "dd-": false, "ud-": true, "--d": false,
		"uudd": true, "uddd": false, "dd--": false, "ud--": true,
		"uuddd": false, "uuudd": true, "uudd-": true, "udd--": false,
	} {
		m := newMesh(t, 1, len(votes))
		all := make([]int, len(votes))
		for n, v := range votes {
			all[n] = n
			if v != '-' {
				m.nodes[n].vote(v == 'u')
			}
		}
		m.flow()
		m.wantVerdict(want, all...)
		if n := len(m.nodes[0].c.Votes("mail", "s1").Peers); n != len(votes)-strings.Count(votes, "-") {
			t.Errorf("%q: %d votes listed", votes, n)
		}
	}
}

// Votes of the dead do not count, those that were taken back neither, and who
// comes back with another opinion is heard.
func TestVotersComeAndGo(t *testing.T) {
	m := newMesh(t, 1, 3)
	for n, up := range []bool{true, false, false} {
		m.nodes[n].vote(up)
	}
	m.flow()
	m.wantVerdict(false, 0, 1, 2)
	m.cut = map[int]bool{2: true}
	m.members()
	m.wantVerdict(true, 0, 1)
	m.wantVerdict(false, 2) // it is alone: a minority keeps what was
	if v := m.nodes[0].c.Votes("mail", "s1"); v.Peers[2] != (PeerVote{Peer: "lb3"}) {
		t.Errorf("votes %+v, want that of lb3 not alive", v)
	}
	m.cut = nil
	m.members()
	m.pass(settleTime)
	m.flow()
	m.wantVerdict(false, 0, 1, 2)
	m.nodes[2].c.Abstain(m.now, "mail", "s1")
	m.flow()
	m.wantVerdict(true, 0, 1, 2)
	for n, want := range []int{0, 0, 1} {
		if got := m.nodes[n].c.VotedElsewhere(); len(got) != want || want == 1 && !slices.Equal(got[0].Peers, []string{"lb1", "lb2"}) {
			t.Errorf("lb%d knows %+v as voted on elsewhere", n+1, got)
		}
	}
	// Started anew, lb2 does not know what it said before, and the others
	// forget it too as soon as it hears that they remember.
	m.boot(1, nil)
	m.members()
	m.repair(0, 1)
	m.pass(tickEvery)
	m.flow()
	if v := m.nodes[0].c.Votes("mail", "s1"); len(v.Peers) != 1 || !v.Up {
		t.Errorf("votes %+v, want that of lb1 alone", v)
	}
}

// A cut-off side finds others dead one by one and servers out of reach: its
// verdicts stay as they were, before it is frozen and after.
func TestCutOffSideMovesNobody(t *testing.T) {
	m := newMesh(t, 1, 5)
	for _, s := range m.nodes {
		s.vote(true)
	}
	m.flow()
	everyone := []string{"lb1", "lb2", "lb3", "lb4", "lb5"}
	cut := []*simNode{m.nodes[0], m.nodes[1]}
	m.cut = map[int]bool{0: true, 1: true}
	for _, s := range cut {
		s.vote(false)
	}
	m.flow()
	for alive := 4; alive >= 2; alive-- {
		for _, s := range cut {
			s.c.SetMembers(m.now, everyone[:alive], everyone)
		}
		m.pass(settleTime / 2)
		m.wantVerdict(true, 0, 1)
	}
	m.pass(time.Minute)
	m.wantVerdict(true, 0, 1)
	if v := cut[0].c.Votes("mail", "s1"); !v.Differs || v.Peers[0].Up {
		t.Errorf("votes %+v, want the difference shown", v)
	}
	if _, frozen := cut[0].c.Frozen(); !frozen {
		t.Error("not frozen")
	}
	// Back again, and the server is really down.
	m.nodes[2].vote(false)
	m.cut = nil
	m.members()
	m.pass(settleTime)
	m.flow()
	m.wantVerdict(false, 0, 1, 2, 3, 4)
}

func TestFirstVerdictComesToAMinorityToo(t *testing.T) {
	m := newMesh(t, 1, 2)
	m.cut = map[int]bool{0: true}
	m.members()
	m.nodes[0].vote(false)
	m.wantVerdict(false, 0)
	m.nodes[0].vote(true)
	m.wantVerdict(false, 0)
}

func (s *simNode) healthEvents() (texts []string) {
	for _, e := range s.c.Events(0) {
		if e.Kind == EventHealth {
			texts = append(texts, e.What)
		}
	}
	return texts
}

func TestDisagreementIsToldOnce(t *testing.T) {
	m := newMesh(t, 1, 3)
	for _, s := range m.nodes {
		s.vote(true)
	}
	m.flow()
	s := m.nodes[0]
	s.vote(false)
	m.pass(disagreeAfter - time.Millisecond)
	if got := s.healthEvents(); len(got) > 0 {
		t.Fatalf("events %q, want none yet: the others may follow", got)
	}
	for range 5 {
		m.pass(tickEvery)
	}
	want := []string{"this peer alone cannot reach mail/s1"}
	if got := s.healthEvents(); !slices.Equal(got, want) {
		t.Fatalf("events %q, want %q", got, want)
	}
	s.vote(true)
	s.vote(false)
	m.pass(disagreeAfter)
	if got := s.healthEvents(); len(got) != 2 {
		t.Fatalf("events %q, want it told again after a change", got)
	}
	m.flow()
	m.nodes[1].vote(false)
	m.flow()
	m.pass(disagreeAfter)
	want = []string{
		"mail/s1 is DOWN: 2 of 3 peers cannot reach it",
		"this peer reaches mail/s1, but it counts as down: 2 of 3 peers cannot",
	}
	if got := m.nodes[2].healthEvents(); !slices.Equal(got, want) {
		t.Errorf("events of lb3 %q, want %q", got, want)
	}
}

// On any network all peers come to one verdict, the one their last votes give.
func TestVerdictsConverge(t *testing.T) {
	for seed := range uint64(200) {
		m := newMesh(t, seed, 2+int(seed%4))
		m.loss = 30
		for range 300 {
			m.step()
			n := m.rng.IntN(len(m.nodes))
			switch m.rng.IntN(25) {
			case 0, 1, 2:
				m.nodes[n].vote(m.rng.IntN(2) == 0)
			case 3:
				m.cut = map[int]bool{n: true}
				m.members()
			case 4:
				m.cut = nil
				m.members()
			case 5:
				m.boot(n, m.nodes[n].c.Save())
				m.members()
			case 6:
				m.nodes[n].c.Abstain(m.now, "mail", "s1")
			}
		}
		m.heal()
		m.wantSame()
		down, total := 0, 0
		for _, v := range m.nodes[0].c.Votes("mail", "s1").Peers {
			total++
			if !v.Up {
				down++
			}
		}
		for n, s := range m.nodes {
			if got, want := fmt.Sprint(s.c.Votes("mail", "s1").Peers), fmt.Sprint(m.nodes[0].c.Votes("mail", "s1").Peers); got != want {
				t.Fatalf("seed %d: votes at %s %s, at lb1 %s", seed, s.name, got, want)
			}
			if total > 0 {
				m.wantVerdict(down*2 <= total, n)
			}
		}
	}
}

// Votes are said again before they expire, and those of a peer that is gone do
// expire.
func TestVotesAreRefreshed(t *testing.T) {
	m := newMesh(t, 1, 3)
	for _, s := range m.nodes {
		s.vote(true)
	}
	m.flow()
	m.cut = map[int]bool{2: true}
	for range 8 * 60 {
		m.pass(15 * time.Second)
		m.flow()
	}
	v := m.nodes[0].c.Votes("mail", "s1")
	if len(v.Peers) != 2 || v.Peers[1].Peer != "lb2" {
		t.Errorf("votes %+v, want those of lb1 and lb2", v)
	}
}

func TestVoteIsNoNews(t *testing.T) {
	m := newMesh(t, 1, 1)
	m.nodes[0].vote(true)
	head := m.nodes[0].c.Head()
	m.nodes[0].vote(true)
	m.nodes[0].c.Vote(m.now, "", "s1", true)
	m.nodes[0].c.Abstain(m.now, "mail", "unknown")
	if got := m.nodes[0].c.Head(); got != head {
		t.Errorf("Head = %d, want %d: nothing changed", got, head)
	}
}

// A peer that dies and comes back again and again, as one that is started anew
// each time it falls, does not keep the others from finding a server down.
func TestVerdictInSpiteOfAPeerThatFlaps(t *testing.T) {
	for peers := 2; peers <= 5; peers++ {
		m := newMesh(t, 1, peers)
		flaps := peers - 1
		for _, s := range m.nodes {
			s.c.SetConfig(m.now, Config{OnMinority: Freeze, TieBreaker: "lb1"})
			s.vote(true)
		}
		m.flow()
		flap := func() {
			m.cut = map[int]bool{flaps: true}
			m.members()
			m.pass(settleTime / 4)
			m.flow()
			m.cut = nil
			m.members()
			m.pass(settleTime / 4)
			m.flow()
		}
		flap()
		for _, s := range m.nodes[:flaps] {
			s.vote(false)
		}
		for range 3 {
			flap()
		}
		m.cut = map[int]bool{flaps: true}
		m.members()
		for n := range flaps {
			m.wantVerdict(false, n)
		}
	}
}

// When the last peer takes its vote back, as no file has checks any more, a
// server that was down by verdict is not left so.
func TestVerdictEndsWithTheVotes(t *testing.T) {
	m := newMesh(t, 1, 2)
	for _, s := range m.nodes {
		s.vote(false)
	}
	m.flow()
	m.wantVerdict(false, 0, 1)
	m.nodes[0].c.Abstain(m.now, "mail", "s1")
	m.flow()
	m.wantVerdict(false, 0, 1)
	m.nodes[1].c.Abstain(m.now, "mail", "s1")
	m.flow()
	for _, s := range m.nodes {
		if !s.health[mail1] || s.c.Votes("mail", "s1").Told {
			t.Errorf("%s: up %v, votes %+v, want it up and no verdict", s.name, s.health[mail1], s.c.Votes("mail", "s1"))
		}
	}
}

// The same if the last vote was that of a peer that is gone for good.
func TestVerdictEndsWithTheDead(t *testing.T) {
	m := newMesh(t, 1, 2)
	m.nodes[1].vote(false)
	m.flow()
	m.wantVerdict(false, 0)
	m.nodes[0].c.PeerLeft(m.now, "lb2")
	m.wantVerdict(false, 0)
	for range int(voteLife/time.Minute) + 1 {
		m.now = m.now.Add(time.Minute)
		m.nodes[0].c.Tick(m.now)
	}
	if s := m.nodes[0]; !s.health[mail1] {
		t.Errorf("down an hour behind the last vote, %+v", s.c.Votes("mail", "s1"))
	}
}

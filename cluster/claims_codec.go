package cluster

import (
	"errors"
	"fmt"
	"time"

	"imaplb/wire"
)

// A message of claims is an array of
//
//	1               the format
//	incarnation     of the process that sends it
//	version         of the message; the next one has a greater
//	incarnation     of the process it is for, 0 if unknown
//	ack             the version of the other's that is here in full
//	base            the version of ours that the other holds in full
//	servers         those that changed since base, all for 0: arrays of
//	                  number of the name, and for each limit that it has
//	                  kind, bid, used, wants
//	                then the limits themselves, in that order
//
// and of what later versions may add. The limits are fewer than a kind has fields,
// so a version that does not know them skips them. It is complete: who holds base
// knows all of version then. So a message that is lost is made good by the next,
// and ack is of use only together with the rest.
const (
	claimFormat = 1
	claimFields = 7
	kindFields  = 4

	// maxTold bounds the servers of a message: MaxClaims take 75 bytes each, and
	// as many that have no limits any more 10.
	maxTold = 2 * MaxClaims
)

// ErrClaims says that a message of claims is malformed.
var ErrClaims = errors.New("cluster: malformed message of claims")

// message makes one for a peer.
func (c *Claims) message(now time.Time, p *claimPeer) []byte {
	c.version++
	p.news, p.sent, p.sentAt = false, c.version, now
	list := c.since(p.acked)
	if len(list) > maxTold {
		p.acked = 0
		list = c.since(0)
	}
	b := wire.AppendArray(nil, claimFields)
	for _, n := range [...]uint64{claimFormat, c.incarnation, c.version, p.incarnation, p.held, p.acked} {
		b = wire.AppendUint(b, n)
	}
	b = wire.AppendArray(b, len(list))
	for _, s := range list {
		b = s.append(b)
	}
	return b
}

// since are the servers that changed since a version, those with limits for 0:
// then there is nothing to take back.
func (c *Claims) since(version uint64) (list []*claimed) {
	for _, s := range c.byID {
		if s.changed > version && (s.shared || version > 0) {
			list = append(list, s)
		}
	}
	return list
}

func (s *claimed) append(b []byte) []byte {
	has := 0
	for kind := range s.claims {
		if s.claims[kind].limit > 0 {
			has++
		}
	}
	b = wire.AppendUint(wire.AppendArray(b, 1+(kindFields+1)*has), s.id)
	for kind := range s.claims {
		if cl := &s.claims[kind]; cl.limit > 0 {
			for _, n := range [...]int64{int64(kind), cl.bid, cl.told.used, cl.told.wants} {
				b = wire.AppendUint(b, uint64(n))
			}
		}
	}
	for kind := range s.claims {
		if cl := &s.claims[kind]; cl.limit > 0 {
			b = wire.AppendUint(b, uint64(cl.limit))
		}
	}
	return b
}

// claimHead is what stands before the servers.
type claimHead struct{ format, incarnation, version, to, ack, base uint64 }

// Receive takes a message that Messages made at another peer. Those of peers
// that are not known to be alive are passed over.
func (c *Claims) Receive(now time.Time, from string, b []byte) error {
	p := c.peers[from]
	if p == nil {
		return nil
	}
	r := wire.NewReader(b, ErrClaims)
	fields := r.Array(claimFields)
	var h claimHead
	for _, n := range [...]*uint64{&h.format, &h.incarnation, &h.version, &h.to, &h.ack, &h.base} {
		*n = r.Uint()
	}
	tellings := readTellings(&r)
	r.Skip(fields - claimFields)
	switch {
	case r.Err() != nil:
		return r.Err()
	case h.format != claimFormat:
		return fmt.Errorf("%w: format %d", ErrClaims, h.format)
	case h.incarnation == 0 || h.version == 0 || h.to == c.incarnation && h.ack > c.version:
		return fmt.Errorf("%w: version %d, ack %d of %d", ErrClaims, h.version, h.ack, c.version)
	}
	c.take(now, p, &h, tellings)
	return nil
}

// take takes what a message says, unless it is older than another.
func (c *Claims) take(now time.Time, p *claimPeer, h *claimHead, tellings map[uint64]*[claimKinds]telling) {
	switch {
	case h.incarnation < p.incarnation && now.Sub(p.heard) < claimMute:
		return // late
	case h.incarnation != p.incarnation: // the clock may have been set back in between
		p.reset(h.incarnation)
	}
	if h.version <= p.last {
		return
	}
	p.last, p.heard = h.version, now
	if h.base > p.held {
		p.news = true // it is to hear that what it takes for known is not
		return
	}
	if h.base == 0 {
		clear(p.tellings)
	}
	for id, t := range tellings {
		if *t == ([claimKinds]telling{}) {
			delete(p.tellings, id)
		} else if len(p.tellings) < maxTold || p.tellings[id] != nil {
			p.tellings[id] = t
		}
	}
	p.news = p.news || len(tellings) > 0 || p.held == 0
	p.held = h.version
	p.acked = 0
	if h.to == c.incarnation && h.ack >= c.forgot {
		p.acked = h.ack
	}
}

// readTellings reads the servers of a message.
func readTellings(r *wire.Reader) map[uint64]*[claimKinds]telling {
	n := r.Array(0)
	if n > maxTold {
		r.Fail("%d servers, at most %d", n, maxTold)
		return nil
	}
	list := map[uint64]*[claimKinds]telling{}
	for ; n > 0 && r.Err() == nil; n-- {
		id, t := readTelling(r)
		list[id] = t
	}
	return list
}

// readTelling reads one server.
func readTelling(r *wire.Reader) (id uint64, list *[claimKinds]telling) {
	fields := r.Array(1) - 1
	var of [claimKinds + 1]telling // the last is for kinds of later versions
	kinds := make([]uint64, 0, claimKinds)
	id = r.Uint()
	for ; fields >= kindFields && r.Err() == nil; fields -= kindFields {
		kind := min(r.Uint(), uint64(claimKinds))
		of[kind] = telling{told{readClaim(r), readClaim(r), readClaim(r)}, 0, true}
		kinds = append(kinds, kind)
	}
	if fields == len(kinds) { // else of an earlier version
		for _, kind := range kinds {
			of[kind].limit = readClaim(r)
		}
		fields = 0
	}
	r.Skip(fields)
	list = new([claimKinds]telling)
	copy(list[:], of[:])
	return id, list
}

func readClaim(r *wire.Reader) int64 {
	n := r.Uint()
	if n > maxClaim {
		r.Fail("claim of %d, at most %d", n, maxClaim)
	}
	return int64(min(n, maxClaim))
}

package cluster

// minPart is the part of a limit that a peer keeps whatever the others want.
const minPart = 64

// floor is what each of so many peers keeps of a limit, so that the first
// client of an idle one need not wait: a 64th of it, at least 1 where there is
// enough for all.
func floor(limit int64, peers int) int64 {
	return min(max(1, limit/minPart), limit/int64(peers))
}

// splitting shares out one limit. It is scratch space, used again and again.
type splitting struct {
	least, wants []int64 // of each peer, by name
	parts        []int64 // what split makes of them
}

func (s *splitting) reset() {
	s.least, s.wants, s.parts = s.least[:0], s.wants[:0], s.parts[:0]
}

func (s *splitting) add(least, wants int64) {
	s.least, s.wants, s.parts = append(s.least, least), append(s.wants, max(least, wants)), append(s.parts, 0)
}

// split gives each its least, and of the rest what it wants, as far as that
// goes: nobody gets more while another who wants it has less (max-min). What
// nobody wants of spare, which is limit or less, is dealt out evenly on top. What
// does not come out even goes to those who want most, or, if they want more than
// limit, from turn on. It reports whether they want more than spare.
func (s *splitting) split(limit, spare int64, turn int) (crowded bool) {
	least, wants := int64(0), int64(0)
	for i := range s.parts {
		least += s.least[i]
		wants += s.wants[i]
	}
	switch {
	case least >= limit:
		copy(s.parts, s.least)
	case wants <= limit:
		s.spread(max(0, spare-wants))
	default:
		s.level(limit, turn)
	}
	return wants > spare
}

// spread deals out what is left over.
func (s *splitting) spread(spare int64) {
	n := int64(len(s.parts))
	for i := range s.parts {
		s.parts[i] = s.wants[i] + spare/n
	}
	for range spare % n {
		most := -1
		for i := range s.parts {
			if s.parts[i] == s.wants[i]+spare/n && (most < 0 || s.wants[i] > s.wants[most]) {
				most = i
			}
		}
		s.parts[most]++
	}
}

// level finds the height up to which the wants can be filled.
func (s *splitting) level(limit int64, turn int) {
	low, high := int64(0), limit // at low it is not too much, at high+1 it is
	for low < high {
		if mid := low + (high-low+1)/2; s.sum(mid) <= limit {
			low = mid
		} else {
			high = mid - 1
		}
	}
	rest := limit - s.sum(low)
	for i := range s.parts {
		s.parts[i] = s.at(i, low)
	}
	for i := range s.parts {
		if i = (i + turn) % len(s.parts); rest > 0 && s.parts[i] == low && s.wants[i] > low {
			s.parts[i]++
			rest--
		}
	}
}

// at is what peer i gets at a height.
func (s *splitting) at(i int, height int64) int64 {
	return max(s.least[i], min(s.wants[i], height))
}

func (s *splitting) sum(height int64) (n int64) {
	for i := range s.parts {
		n += s.at(i, height)
	}
	return n
}

package cluster

// journalLen is the number of positions a journal holds. Who is further behind
// is repaired by digests.
const journalLen = 1 << 12

// journal is a ring of the keys this peer changed, in order. It begins at a
// position that no run before has reached, so that a reader who knows a
// position of such a run is told that it is not there. Owned by a store.
type journal struct {
	keys  []string // grows up to journalLen
	begin uint64   // first position of this run
	head  uint64   // behind the newest
}

// add appends a key and returns its position.
func (j *journal) add(key string) uint64 {
	if len(j.keys) < journalLen {
		j.keys = append(j.keys, key)
	} else {
		j.keys[(j.head-j.begin)%journalLen] = key
	}
	j.head++
	return j.head - 1
}

// holds reports whether a reader can go on from pos.
func (j *journal) holds(pos uint64) bool {
	return pos >= j.begin && pos <= j.head && j.head-pos <= journalLen
}

func (j *journal) at(pos uint64) string { return j.keys[(pos-j.begin)%journalLen] }

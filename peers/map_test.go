package peers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"time"
)

const mapParts = 4

// A mapState is the smallest State with all the trimmings: a map of numbers
// where the greater value wins. It is shared: any goroutine may call any method.
type mapState struct {
	name string

	mu      sync.Mutex // guards the fields below
	m       map[string]uint64
	journal []string // keys; position is the index
	first   uint64   // positions before it are forgotten
	ring    int
	wake    func()
	merged  func(key string)
	fail    bool
}

func newMap(name string) *mapState {
	return &mapState{name: name, m: map[string]uint64{}, ring: 1 << 20}
}

func keyBucket(key string) int {
	h := fnv.New32a()
	h.Write([]byte(key))
	return int(h.Sum32() % (mapParts * BucketsPerPart))
}

// Set is a change of this peer.
func (s *mapState) Set(key string, v uint64) {
	s.mu.Lock()
	s.m[key] = v
	s.journal = append(s.journal, key)
	s.first = max(s.first, uint64(max(0, len(s.journal)-s.ring)))
	wake := s.wake
	s.mu.Unlock()
	if wake != nil {
		wake()
	}
}

func (s *mapState) Get(key string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[key]
}

func (s *mapState) Copy() map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.m)
}

func (s *mapState) Name() string { return s.name }

func (s *mapState) Head() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(len(s.journal))
}

func (s *mapState) entry(dst []byte, key string) []byte {
	dst = append(dst, byte(len(key)))
	dst = append(dst, key...)
	return binary.BigEndian.AppendUint64(dst, s.m[key])
}

func (s *mapState) Pull(dst []byte, pos uint64, limit int) ([]byte, uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pos < s.first || pos > uint64(len(s.journal)) {
		return dst, pos, false
	}
	for start := len(dst); pos < uint64(len(s.journal)) && len(dst)-start < limit; pos++ {
		dst = s.entry(dst, s.journal[pos])
	}
	return dst, pos, true
}

func (s *mapState) Digests(dst []uint64) []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := len(dst)
	dst = append(dst, make([]uint64, mapParts*BucketsPerPart)...)
	for k, v := range s.m {
		h := fnv.New64a()
		fmt.Fprint(h, k, v)
		dst[at+keyBucket(k)] ^= h.Sum64()
	}
	return dst
}

func (s *mapState) Part(dst []byte, part int, mask uint16, cursor uint32, limit int) ([]byte, uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := slices.Sorted(maps.Keys(s.m))
	start := len(dst)
	for i := int(cursor); i < len(keys); i++ {
		b := keyBucket(keys[i])
		if b/BucketsPerPart != part || mask>>(b%BucketsPerPart)&1 == 0 {
			continue
		}
		if len(dst)-start >= limit {
			return dst, uint32(i)
		}
		dst = s.entry(dst, keys[i])
	}
	return dst, 0
}

func (s *mapState) Merge(_ time.Time, _ string, b []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail {
		return 0, errors.New("will not")
	}
	for len(b) > 0 {
		k := int(b[0])
		if len(b) < 1+k+8 {
			return n, errors.New("short entry")
		}
		key, v := string(b[1:1+k]), binary.BigEndian.Uint64(b[1+k:])
		b = b[1+k+8:]
		s.m[key] = max(s.m[key], v)
		n++
		if s.merged != nil {
			s.merged(key)
		}
	}
	return n, nil
}

func (s *mapState) Watch(wake func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wake = wake
}

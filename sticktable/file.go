package sticktable

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"
)

// A saved table is fileMagic and then blocks: the length of the payload and
// its checksum (CRC-32C), 4 bytes each, big endian, and the payload, a message
// of updates without slots. The last block holds the number of updates, 8
// bytes, instead: a file without it was cut short.
const (
	fileMagic = "imaplb stick table 1\n"
	maxBlock  = 1 << 19 // bytes; rangeStep updates of the greatest size take less
	lastBlock = 1 << 31 // bit of the length that marks the last block
)

// ErrFile says that what Load was given is no saved table, or not all of it,
// or not as it was written.
var ErrFile = errors.New("saved table is damaged")

// Save writes all entries that have not expired to w. Sessions are not saved:
// they end with the process. The table may be in use; entries that change
// meanwhile are saved as they are when they are met.
func (t *Table) Save(now time.Time, w io.Writer) error {
	out := bufio.NewWriter(w)
	total := uint64(0)
	var block []byte
	write := func(mark uint32, payload []byte) {
		var head [8]byte
		binary.BigEndian.PutUint32(head[:], uint32(len(payload))|mark)
		binary.BigEndian.PutUint32(head[4:], checksum(payload))
		out.Write(head[:]) // bufio keeps the first error for Flush
		out.Write(payload)
	}
	out.WriteString(fileMagic)
	updates := make([]Update, 0, rangeStep)
	for i := range t.shards {
		for from, more := uint32(1), true; more; from += rangeStep {
			updates, more = t.assignments(&t.shards[i], from, now, updates[:0])
			if len(updates) > 0 {
				block = AppendUpdates(block[:0], updates)
				write(0, block)
				total += uint64(len(updates))
			}
		}
	}
	write(lastBlock, binary.BigEndian.AppendUint64(nil, total))
	if err := out.Flush(); err != nil {
		return fmt.Errorf("sticktable: save %q: %w", t.name, err)
	}
	return nil
}

// assignments appends what is to be saved of the records from that number on,
// and reports whether there are higher ones. An entry in use counts as used now.
func (t *Table) assignments(sh *shard, from uint32, now time.Time, dst []Update) (_ []Update, more bool) {
	more = t.living(sh, from, now, func(sh *shard, id uint32) {
		if sh.at(id).stamp == 0 {
			return // it has counters alone
		}
		u := t.assignment(sh.at(id))
		if !sh.linked(id) {
			u.LastUsed = now.UnixMilli()
		}
		dst = append(dst, u)
	})
	return dst, more
}

// Load fills an empty table with what Save wrote and tells how many entries it
// took: expired ones stay behind, and the oldest if there are too many. If the
// file is damaged or cut short nothing is loaded. No other method may be
// called meanwhile: a table is loaded before it is used.
func (t *Table) Load(now time.Time, r io.Reader) (n int, err error) {
	if t.Len() > 0 {
		return 0, fmt.Errorf("sticktable: load %q: table is not empty", t.name)
	}
	fresh := New(t.name, Config{Key: t.key, Size: t.Size(), Expire: t.Expire()}, t.self)
	fresh.clock.observe(t.clock.last.Load())
	if err := fresh.read(now, bufio.NewReader(r)); err != nil {
		return 0, fmt.Errorf("sticktable: load %q: %w", t.name, err)
	}
	for i := range fresh.shards {
		from, to := &fresh.shards[i], &t.shards[i]
		from.sortIdle()
		to.index, to.chunks, to.top, to.free, to.live = from.index, from.chunks, from.top, from.free, from.live
		to.head, to.tail = from.head, from.tail
		to.publish()
	}
	t.seed, t.servers, t.peers = fresh.seed, fresh.servers, fresh.peers
	t.clock.observe(fresh.clock.last.Load())
	t.used.Store(fresh.used.Load())
	t.evicted.Add(fresh.Evicted())
	return t.Len(), nil
}

func (t *Table) read(now time.Time, in *bufio.Reader) error {
	magic := make([]byte, len(fileMagic))
	if _, err := io.ReadFull(in, magic); err != nil || string(magic) != fileMagic {
		return fmt.Errorf("%w: it does not begin as one", ErrFile)
	}
	total := uint64(0)
	for {
		last, payload, err := readBlock(in)
		if err != nil {
			return err
		}
		if last {
			return readEnd(in, payload, total)
		}
		updates, err := DecodeUpdates(payload)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFile, err)
		}
		total += uint64(len(updates))
		for _, u := range updates {
			if err := t.restore(now, u); err != nil {
				return fmt.Errorf("%w: %w", ErrFile, err)
			}
		}
	}
}

func readBlock(in *bufio.Reader) (last bool, payload []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return false, nil, fmt.Errorf("%w: it is cut short", ErrFile)
	}
	n := binary.BigEndian.Uint32(head[:])
	last, n = n&lastBlock != 0, n&^lastBlock
	if n > maxBlock {
		return false, nil, fmt.Errorf("%w: block of %d bytes", ErrFile, n)
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(in, payload); err != nil {
		return false, nil, fmt.Errorf("%w: it is cut short", ErrFile)
	}
	if checksum(payload) != binary.BigEndian.Uint32(head[4:]) {
		return false, nil, fmt.Errorf("%w: checksum does not fit", ErrFile)
	}
	return last, payload, nil
}

func readEnd(in *bufio.Reader, payload []byte, total uint64) error {
	if len(payload) != 8 || binary.BigEndian.Uint64(payload) != total {
		return fmt.Errorf("%w: it does not hold the %d entries it should", ErrFile, total)
	}
	if _, err := in.ReadByte(); err != io.EOF {
		return fmt.Errorf("%w: something follows its end", ErrFile)
	}
	return nil
}

// restore puts one saved entry into a table nobody else uses yet, without
// sessions: the floor that Replicate sets tells the peers that those of the run
// before are gone.
func (t *Table) restore(now time.Time, u Update) error {
	srv, ok := t.servers.id(u.Server)
	writer, ok2 := t.peers.id(u.Writer)
	if !ok || !ok2 {
		return ErrName
	}
	if !validKey(u.Key) {
		return ErrKey
	}
	if u.Time == 0 || u.LastUsed < 0 {
		return ErrStamp
	}
	if !possible(u.Time, now) {
		// The clock was wrong then or is now: what peers would refuse begins anew.
		u.Time, writer = t.clock.next(now), selfID
	}
	t.clock.observe(u.Time)
	if u.LastUsed = min(u.LastUsed, now.UnixMilli()); u.LastUsed+t.expire.Load() <= now.UnixMilli() {
		return nil
	}
	sh, id := t.open(u.Key, anyCost)
	defer t.unlock(sh)
	if id == 0 {
		return nil
	}
	r := sh.at(id)
	r.stamp, r.writer, r.server = u.Time, writer, srv
	r.lastUsed = u.LastUsed
	return nil
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

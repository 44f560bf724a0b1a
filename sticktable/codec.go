package sticktable

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// A message is msgpack: an array of the version and an array of updates, each
// an array of its fields in the order below. Fields are only ever added at the
// end of an array; a reader passes over those it does not know. A message
// whose meaning changes gets another version.
const (
	codecVersion = 1

	// MaxMessage is the longest message, in bytes.
	MaxMessage = 1 << 20
	// MaxUpdates is the most updates in a message.
	MaxUpdates = 8192

	updateFields = 6 // key, server, time, writer, lastUsed, slots
	slotFields   = 3 // peer, count, version
)

// ErrMessage says that bytes are no message.
var ErrMessage = errors.New("sticktable: malformed message")

// AppendUpdates appends the message of at most MaxUpdates updates to dst. It
// is the caller's business that it stays below MaxMessage: an update without
// slots takes its strings and at most 40 bytes more.
func AppendUpdates(dst []byte, updates []Update) []byte {
	buf := bytes.NewBuffer(dst)
	enc := msgpack.GetEncoder()
	defer msgpack.PutEncoder(enc)
	enc.Reset(buf)
	// A write to a bytes.Buffer does not fail, so neither do these.
	_ = enc.EncodeArrayLen(2)
	_ = enc.EncodeUint(codecVersion)
	_ = enc.EncodeArrayLen(len(updates))
	for i := range updates {
		encodeUpdate(enc, &updates[i])
	}
	return buf.Bytes()
}

func encodeUpdate(enc *msgpack.Encoder, u *Update) {
	_ = enc.EncodeArrayLen(updateFields)
	_ = enc.EncodeString(u.Key)
	_ = enc.EncodeString(u.Server)
	_ = enc.EncodeUint(u.Time)
	_ = enc.EncodeString(u.Writer)
	_ = enc.EncodeInt(u.LastUsed)
	_ = enc.EncodeArrayLen(len(u.Slots))
	for _, s := range u.Slots {
		_ = enc.EncodeArrayLen(slotFields)
		_ = enc.EncodeString(s.Peer)
		_ = enc.EncodeUint(uint64(s.Count))
		_ = enc.EncodeUint(s.Version)
	}
}

// DecodeUpdates reads a message, of at most MaxMessage bytes; nothing of the
// result aliases b. What the updates say is not checked: MergeUpdate does that.
func DecodeUpdates(b []byte) ([]Update, error) {
	if len(b) > MaxMessage {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrMessage, len(b), MaxMessage)
	}
	in := bytes.NewReader(b)
	d := decoder{dec: msgpack.NewDecoder(in), in: in}
	fields := d.array(2)
	if v := d.uint(); d.err == nil && v != codecVersion {
		return nil, fmt.Errorf("%w: version %d is not known", ErrMessage, v)
	}
	n := d.array(0)
	if n > MaxUpdates {
		return nil, fmt.Errorf("%w: %d updates, at most %d", ErrMessage, n, MaxUpdates)
	}
	var updates []Update
	for range n {
		u := d.update()
		if d.err != nil {
			return nil, d.err
		}
		updates = append(updates, u)
	}
	d.skip(fields - 2)
	if d.err == nil && in.Len() > 0 {
		d.err = fmt.Errorf("%w: %d bytes behind its end", ErrMessage, in.Len())
	}
	return updates, d.err
}

// decoder reads fields; after the first error it reads nothing more.
type decoder struct {
	dec *msgpack.Decoder
	in  *bytes.Reader
	err error
}

func (d *decoder) update() (u Update) {
	fields := d.array(updateFields)
	u.Key = d.string(MaxKey)
	u.Server = d.string(MaxName)
	u.Time = d.uint()
	u.Writer = d.string(MaxName)
	u.LastUsed = d.int()
	slots := d.array(0)
	if slots > maxSlots {
		d.fail(fmt.Errorf("%d slots, at most %d", slots, maxSlots))
	}
	for i := 0; i < slots && d.err == nil; i++ {
		u.Slots = append(u.Slots, d.slot())
	}
	d.skip(fields - updateFields)
	return u
}

func (d *decoder) slot() (s Slot) {
	fields := d.array(slotFields)
	s.Peer = d.string(MaxName)
	count := d.uint()
	if s.Count = uint32(count); uint64(s.Count) != count {
		d.fail(fmt.Errorf("%d sessions", count))
	}
	s.Version = d.uint()
	d.skip(fields - slotFields)
	return s
}

func (d *decoder) fail(err error) {
	if d.err == nil && err != nil {
		d.err = fmt.Errorf("%w: %w", ErrMessage, err)
	}
}

// array reads the length of an array of at least so many elements. Each takes
// a byte or more, so it cannot promise more than is there.
func (d *decoder) array(least int) int {
	if d.err != nil {
		return 0
	}
	n, err := d.dec.DecodeArrayLen()
	switch {
	case err != nil:
		d.fail(err)
	case n < least || n > d.in.Len():
		d.fail(fmt.Errorf("array of %d elements", n))
	}
	if d.err != nil {
		return 0
	}
	return n
}

func (d *decoder) string(limit int) string {
	if d.err != nil {
		return ""
	}
	n, err := d.dec.DecodeBytesLen()
	if err == nil && (n < 0 || n > limit) {
		err = fmt.Errorf("string of %d bytes, at most %d", n, limit)
	}
	if err != nil {
		d.fail(err)
		return ""
	}
	b := make([]byte, n)
	d.fail(d.dec.ReadFull(b))
	return string(b)
}

func (d *decoder) uint() uint64 {
	d.number()
	if d.err != nil {
		return 0
	}
	v, err := d.dec.DecodeUint64()
	d.fail(err)
	return v
}

func (d *decoder) int() int64 {
	d.number()
	if d.err != nil {
		return 0
	}
	v, err := d.dec.DecodeInt64()
	d.fail(err)
	return v
}

// number fails unless an integer comes next: the library would take a float or
// a nil for one.
func (d *decoder) number() {
	if d.err != nil {
		return
	}
	c, err := d.dec.PeekCode()
	if err == nil && !msgpcode.IsFixedNum(c) && (c < msgpcode.Uint8 || c > msgpcode.Int64) {
		err = fmt.Errorf("no number but code %#x", c)
	}
	d.fail(err)
}

// skip passes over fields that this version does not know.
func (d *decoder) skip(n int) {
	for i := 0; i < n && d.err == nil; i++ {
		d.fail(d.dec.Skip())
	}
}

package peers

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/hashicorp/memberlist"
)

// Bounds of a file of keys.
const (
	MaxKeys     = 16
	maxKeysFile = 64 << 10 // bytes
)

// Ring holds the keys of the group: the first encrypts and proves, all decrypt
// and are accepted. It is shared: any goroutine may call any method.
type Ring struct {
	members *memberlist.Keyring // nil without keys
	changed func()              // called after keys were changed; nil for nobody, fixed before that

	mu   sync.Mutex // guards keys; held when members is changed, too
	keys [][]byte   // never changed in place
}

// Key tells a key without showing it.
type Key struct {
	Fingerprint string // the first 8 hexadecimal digits of its SHA-256
	Encrypts    bool
}

// NewRing returns the ring of these keys, of 16, 24 or 32 bytes each. None is
// for tests and trusted networks: it cannot be given keys later.
func NewRing(keys [][]byte) (*Ring, error) {
	if len(keys) == 0 {
		return &Ring{}, nil
	}
	members, err := memberlist.NewKeyring(keys, keys[0])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return &Ring{members: members, keys: slices.Clone(keys)}, nil
}

// LoadKeys reads a file of keys; see ParseKeys.
func LoadKeys(path string) ([][]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeysFile+1))
	if err != nil {
		return nil, fmt.Errorf("%w: reading %s: %w", ErrKey, path, err)
	}
	keys, err := ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%w: in %s", err, path)
	}
	return keys, nil
}

// ParseKeys reads keys, base64 of 16, 24 or 32 bytes, one a line. Empty lines
// and what follows a # are passed over. An error names the line, not the key.
func ParseKeys(text []byte) (keys [][]byte, err error) {
	if len(text) > maxKeysFile {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrKey, maxKeysFile)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line, _, _ := bytes.Cut(lines.Bytes(), []byte("#"))
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		key, err := parseKey(string(line))
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w, line %d", err, n)
		case len(keys) >= MaxKeys:
			return nil, fmt.Errorf("%w: line %d: more than %d keys", ErrKey, n, MaxKeys)
		case !contains(keys, key):
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 || lines.Err() != nil {
		return nil, fmt.Errorf("%w: no key in it", ErrKey)
	}
	return keys, nil
}

func parseKey(text string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || memberlist.ValidateKey(key) != nil {
		return nil, fmt.Errorf("%w: not base64 of 16, 24 or 32 bytes", ErrKey)
	}
	return key, nil
}

func contains(keys [][]byte, key []byte) bool {
	return slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) })
}

func fingerprint(key []byte) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:4])
}

// Keys lists the ring; the key that encrypts comes first.
func (r *Ring) Keys() (list []Key) {
	for i, k := range r.all() {
		list = append(list, Key{Fingerprint: fingerprint(k), Encrypts: i == 0})
	}
	return list
}

// all has the keys, the first encrypts. It must not be changed.
func (r *Ring) all() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys
}

// change changes the keys and tells of it.
func (r *Ring) change(f func() error) error {
	r.mu.Lock()
	err := f()
	r.mu.Unlock()
	if err == nil && r.changed != nil {
		r.changed()
	}
	return err
}

// Add takes a key, in base64, that decrypts from now on.
func (r *Ring) Add(text string) (k Key, err error) {
	key, err := parseKey(text)
	if err != nil {
		return Key{}, err
	}
	k = Key{Fingerprint: fingerprint(key)}
	err = r.change(func() error {
		switch {
		case contains(r.keys, key):
			k.Encrypts = bytes.Equal(r.keys[0], key)
			return nil
		case len(r.keys) >= MaxKeys:
			return fmt.Errorf("%w: the ring has %d keys, no more fit", ErrKey, MaxKeys)
		}
		return r.set(append(slices.Clone(r.keys), key))
	})
	if err != nil {
		return Key{}, err
	}
	return k, nil
}

// Use makes the key with this fingerprint the one that encrypts. All peers
// should have it by then.
func (r *Ring) Use(print string) error {
	return r.change(func() error {
		i, err := r.find(print)
		if err != nil {
			return err
		}
		keys := slices.Delete(slices.Clone(r.keys), i, i+1)
		return r.set(slices.Insert(keys, 0, r.keys[i]))
	})
}

// Remove takes out the key with this fingerprint, but not the one that encrypts.
func (r *Ring) Remove(print string) error {
	return r.change(func() error {
		i, err := r.find(print)
		if err != nil {
			return err
		}
		if i == 0 {
			return fmt.Errorf("%w: %s encrypts; use another first", ErrKey, print)
		}
		return r.set(slices.Delete(slices.Clone(r.keys), i, i+1))
	})
}

// find returns the index of a fingerprint. r.mu is held.
func (r *Ring) find(print string) (int, error) {
	i := slices.IndexFunc(r.keys, func(k []byte) bool { return fingerprint(k) == print })
	if i < 0 {
		return 0, fmt.Errorf("%w: none has the fingerprint %s", ErrKey, print)
	}
	return i, nil
}

// set makes both rings hold keys, in order. r.mu is held.
func (r *Ring) set(keys [][]byte) error {
	if r.members == nil {
		return fmt.Errorf("%w: this process was started without one", ErrKey)
	}
	for _, k := range keys {
		if err := r.members.AddKey(k); err != nil {
			return fmt.Errorf("%w: %w", ErrKey, err)
		}
	}
	// RemoveKey moves what follows the key within a slice that others may be
	// reading. Keys that go are brought to the end first: each UseKey makes a
	// new slice with the key in front.
	for _, k := range slices.Backward(keys) {
		if err := r.members.UseKey(k); err != nil {
			return fmt.Errorf("%w: %w", ErrKey, err)
		}
	}
	for _, k := range slices.Backward(r.members.GetKeys()) {
		if contains(keys, k) {
			continue
		}
		if err := r.members.RemoveKey(k); err != nil {
			return fmt.Errorf("%w: %w", ErrKey, err)
		}
	}
	r.keys = slices.Clone(keys)
	return nil
}

package peers

import (
	"crypto/hkdf"
	"crypto/sha256"
)

// Derive makes a secret of each key of the ring for some other purpose, that of
// the key which encrypts first; all peers with the same ring get the same. It
// tells nothing of the key. RFC 5869.
func (r *Ring) Derive(purpose string) (secrets [][32]byte) {
	for _, k := range r.all() {
		if b, err := hkdf.Key(sha256.New, k, nil, "imaplb "+purpose, 32); err == nil { // it fails for lengths over 8160 only
			secrets = append(secrets, [32]byte(b))
		}
	}
	return secrets
}

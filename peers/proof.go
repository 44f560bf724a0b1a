package peers

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"imaplb/wire"
)

// The two sides of a stream introduce themselves, the dialer first:
//
//	dialer ─[name, address, cluster, name wanted, proof]─▶ acceptor
//	       ◀─[verdict, name, address, proof]──────────────
//
// A proof is the HMAC of all that with a key of the ring, and of keying
// material that only the two ends of this connection have.

const (
	maxIntro    = 2048 // bytes of an introduction
	maxAddress  = 255
	keyingBytes = 32
	keyingLabel = "EXPORTER-imaplb-peers-1"
)

// Verdicts of the acceptor.
const (
	verdictWelcome = iota
	verdictKey     // no key of ours made the proof
	verdictName    // we are not whom the dialer wanted
	verdictClash   // the dialer's name is that of another process
)

// Reasons why a stream is refused.
var (
	errWrongKey  = errors.New("the peer holds no key of ours, or is of another cluster")
	errWrongName = errors.New("another peer answers there")
	errClash     = errors.New("its name is that of another process")
)

// verdicts is indexed by verdict.
var verdicts = []error{verdictWelcome: nil, verdictKey: errWrongKey, verdictName: errWrongName, verdictClash: errClash}

// intro is who is at one end of a stream.
type intro struct {
	name    string
	address string // advertised
}

// A proof is made and checked over one connection. Immutable.
type proof struct {
	ring    *Ring
	cluster string
	keying  []byte
}

func newProof(conn *tls.Conn, ring *Ring, cluster string) (*proof, error) {
	state := conn.ConnectionState()
	keying, err := state.ExportKeyingMaterial(keyingLabel, nil, keyingBytes)
	if err != nil {
		return nil, fmt.Errorf("keying material: %w", err)
	}
	return &proof{ring, cluster, keying}, nil
}

// mac proves what an end says of itself to the end called to.
func (p *proof) mac(key []byte, role string, who intro, to string) []byte {
	m := hmac.New(sha256.New, key)
	for _, s := range []string{keyingLabel, role, p.cluster, who.name, who.address, to, string(p.keying)} {
		var size [4]byte
		binary.BigEndian.PutUint32(size[:], uint32(len(s)))
		m.Write(size[:])
		m.Write([]byte(s))
	}
	return m.Sum(nil)
}

// keys are those of the ring; without any, one that everybody has.
func (p *proof) keys() [][]byte {
	if keys := p.ring.all(); len(keys) > 0 {
		return keys
	}
	return [][]byte{nil}
}

func (p *proof) make(role string, who intro, to string) []byte {
	return p.mac(p.keys()[0], role, who, to)
}

func (p *proof) holds(mac []byte, role string, who intro, to string) bool {
	ok := false
	for _, key := range p.keys() {
		ok = hmac.Equal(mac, p.mac(key, role, who, to)) || ok
	}
	return ok
}

// introduce is the dialer's side: it returns whom it met, if that is wanted, and
// his proof.
func (p *proof) introduce(conn io.ReadWriter, self intro, wanted string) (intro, []byte, error) {
	b := wire.AppendString(wire.AppendArray(make([]byte, 2, 256), 4), self.name)
	b = wire.AppendString(wire.AppendString(b, self.address), wanted)
	b = wire.AppendBin(b, p.make("dialer", self, wanted))
	if err := writeIntro(conn, b); err != nil {
		return intro{}, nil, err
	}
	r, err := readIntro(conn)
	if err != nil {
		return intro{}, nil, err
	}
	fields := r.Array(1)
	if v := r.Uint(); r.Err() == nil && v != verdictWelcome {
		return intro{}, nil, verdicts[min(v, uint64(len(verdicts)-1))]
	}
	other := intro{string(r.Bytes(MaxName)), string(r.Bytes(maxAddress))}
	mac := r.Bytes(sha256.Size)
	switch {
	case fields < 4 || r.Err() != nil:
		return intro{}, nil, fmt.Errorf("introduction: %w", errFrame)
	case !p.holds(mac, "acceptor", other, self.name):
		return intro{}, nil, errWrongKey
	case other.name != wanted:
		return intro{}, nil, errWrongName
	}
	return other, mac, nil
}

// receive is the acceptor's side: it returns who dialed, and his proof. admit may
// refuse him.
func (p *proof) receive(conn io.ReadWriter, self intro, admit func(intro) error) (intro, []byte, error) {
	r, err := readIntro(conn)
	if err != nil {
		return intro{}, nil, err
	}
	r.Array(4)
	other := intro{string(r.Bytes(MaxName)), string(r.Bytes(maxAddress))}
	wanted, mac := string(r.Bytes(MaxName)), r.Bytes(sha256.Size)
	verdict := verdictWelcome
	switch {
	case r.Err() != nil || other.name == "":
		return intro{}, nil, fmt.Errorf("introduction: %w", errFrame)
	case !p.holds(mac, "dialer", other, wanted):
		verdict = verdictKey
		other.name = "" // anybody may say anything
	case wanted != self.name:
		verdict = verdictName
	case admit(other) != nil:
		verdict = verdictClash
	}
	if verdict != verdictWelcome {
		b := wire.AppendUint(wire.AppendArray(make([]byte, 2, 8), 1), uint64(verdict))
		return other, nil, errors.Join(verdicts[verdict], writeIntro(conn, b))
	}
	b := wire.AppendUint(wire.AppendArray(make([]byte, 2, 256), 4), verdictWelcome)
	b = wire.AppendString(wire.AppendString(b, self.name), self.address)
	b = wire.AppendBin(b, p.make("acceptor", self, other.name))
	return other, mac, writeIntro(conn, b)
}

// writeIntro sends b, whose first two bytes are room for its length.
func writeIntro(w io.Writer, b []byte) error {
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	_, err := w.Write(b)
	return err
}

func readIntro(conn io.Reader) (*wire.Reader, error) {
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint16(size[:])
	if n > maxIntro {
		return nil, fmt.Errorf("introduction of %d bytes, at most %d", n, maxIntro)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(conn, b)
	r := wire.NewReader(b, errFrame)
	return &r, err
}

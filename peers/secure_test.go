package peers

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func keyFile(t testing.TB, keys ...[]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	var text []byte
	for _, k := range keys {
		text = append(base64.StdEncoding.AppendEncode(text, k), '\n')
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWrongKeyIsRefused(t *testing.T) {
	cfg := testConfig("a")
	cfg.KeyFile = keyFile(t, key(1))
	a := start(t, cfg)
	cfg = testConfig("b", a)
	cfg.KeyFile = keyFile(t, key(2))
	b := start(t, cfg)
	if l := b.Learn(t.Context(), time.Second); l.How != HowAlone {
		t.Errorf("with a wrong key: %+v, want alone", l)
	}
	a.sees(t, PeerRefused, "", 1)
	if a.Totals().WrongKey == 0 || !strings.Contains(b.logs.String(), "joining a peer failed") {
		t.Error("nobody said so")
	}
	// Past memberlist, straight to the stream.
	p := &peer{name: "a", remote: NewRemote("a")}
	if err := b.connect(p, a.self.address); !errors.Is(err, errWrongKey) {
		t.Errorf("a stream with a wrong key = %v, want %v", err, errWrongKey)
	}
	a.sees(t, PeerRefused, "", 1)
	b.sees(t, PeerRefused, "a", 1)
	if n := len(a.Peers()); n != 0 {
		t.Errorf("a knows %d peers", n)
	}
	for _, n := range []*node{a, b} {
		for _, k := range [][]byte{key(1), key(2)} {
			if strings.Contains(n.logs.String(), base64.StdEncoding.EncodeToString(k)) {
				t.Error("a key stands in the log")
			}
		}
	}
}

func TestAnotherClusterIsRefused(t *testing.T) {
	a := start(t, testConfig("a"))
	cfg := testConfig("b", a)
	cfg.Cluster = "another"
	b := start(t, cfg)
	p := &peer{name: "a", remote: NewRemote("a")}
	if err := b.connect(p, a.self.address); !errors.Is(err, errWrongKey) {
		t.Errorf("a stream to another cluster = %v", err)
	}
	if len(a.Peers()) != 0 || len(b.Peers()) != 0 {
		t.Error("two clusters have met")
	}
}

func TestKeyRotation(t *testing.T) {
	var nodes []*node
	for _, name := range []string{"a", "b", "c"} {
		cfg := testConfig(name)
		if len(nodes) > 0 {
			cfg.Join = []string{nodes[0].self.address}
		}
		cfg.KeyFile = keyFile(t, key(1))
		nodes = append(nodes, start(t, cfg))
	}
	mesh(t, 1, nodes...)
	fresh := base64.StdEncoding.EncodeToString(key(2))
	for _, step := range []func(r *Ring) error{
		func(r *Ring) error { _, err := r.Add(fresh); return err },
		func(r *Ring) error { return r.Use(fingerprint(key(2))) },
		func(r *Ring) error { return r.Remove(fingerprint(key(1))) },
	} {
		for _, n := range nodes {
			if err := step(n.Keys()); err != nil {
				t.Fatal(err)
			}
		}
		nodes[0].m.Set("x", nodes[0].m.Get("x")+1)
		nodes[2].holds(t, "x", nodes[0].m.Get("x"))
	}
	cfg := testConfig("d", nodes[1])
	cfg.KeyFile = keyFile(t, key(2))
	mesh(t, 1, append(nodes, start(t, cfg))...)
	for _, n := range nodes {
		for _, other := range []string{"a", "b", "c"} {
			if n.count(PeerDown, other)+n.count(PeerDead, other) != 0 {
				t.Errorf("%s lost %s", n.cfg.Name, other)
			}
		}
	}
}

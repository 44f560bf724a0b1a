package sticktable

import "testing"

func TestKinds(t *testing.T) {
	for kind, want := range map[string][3]bool{"user": {true}, "domain": {true}, "src": {1: true}, "sni": {2: true}} {
		x := New("t", Config{Key: kind, Size: 1}, "lb")
		if got := [3]bool{x.ByUser(), x.BySource(), x.BySNI()}; got != want {
			t.Errorf("%s is by user, source, SNI: %v, want %v", kind, got, want)
		}
	}
}

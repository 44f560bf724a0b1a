package main

import (
	"slices"
	"testing"

	"imaplb/peers"
)

func TestParseKnown(t *testing.T) {
	for text, want := range map[string][]peers.Known{
		"":                              nil,
		"10.0.0.1:7946 lb1\n":           {{Name: "lb1", Addr: "10.0.0.1:7946"}},
		"a b c\n[::1]:1 lb2":            {{Name: "b c", Addr: "a"}, {Name: "lb2", Addr: "[::1]:1"}},
		"\n\x00\nhalf\n 10.0.0.1:7946 ": {{Name: "10.0.0.1:7946 ", Addr: ""}},
	} {
		if got := parseKnown(text); !slices.Equal(got, want) {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
}

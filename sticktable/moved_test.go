package sticktable

import (
	"slices"
	"testing"
	"time"
)

// TestOnMovedHearsOfEveryWay: a key that has sessions here is moved by a blob,
// or by a single update, which is how the end of an operator's move comes to a
// peer that did not hear of its beginning.
func TestOnMovedHearsOfEveryWay(t *testing.T) {
	t.Parallel()
	for name, move := range map[string]func(here, there *Table) error{
		"blob": func(here, there *Table) error {
			b, _, _ := there.Pull(nil, there.Head()-1, askedBlob)
			_, err := here.Merge(start.Add(time.Second), "lb2", b)
			return err
		},
		"update": func(here, there *Table) error {
			u, _ := there.Update("u1")
			_, err := here.MergeUpdate(start.Add(time.Second), u)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			here, there := New("users", DefaultConfig(), "lb1"), New("users", DefaultConfig(), "lb2")
			here.Replicate(start)
			there.Replicate(start)
			var heard []string
			here.OnMoved(func(key, from, to string) { heard = append(heard, key+" "+from+" "+to) })
			if _, ok := here.Enter(start, "u1", "s1"); !ok {
				t.Fatal("no session")
			}
			if err := there.Set(start.Add(time.Second), "u1", "s2"); err != nil {
				t.Fatal(err)
			}
			for range 2 { // what comes twice moves once
				if err := move(here, there); err != nil {
					t.Fatal(err)
				}
			}
			if want := []string{"u1 s1 s2"}; !slices.Equal(heard, want) {
				t.Errorf("heard %q, want %q", heard, want)
			}
		})
	}
}

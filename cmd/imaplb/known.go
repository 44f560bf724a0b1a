package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"imaplb/peers"
)

// A process that is started while it is cut off must not take itself for the
// whole cluster. So the peers it waits for are kept in a file of state_dir: a
// line "ADDRESS NAME" each.

// maxKnown bounds the file, in bytes: names of 255 bytes, and their addresses.
const maxKnown = peers.MaxPeers * 512

func (n *node) knownPath() string { return filepath.Join(n.stateDir, "peers") }

// loadKnown reads the peers that were known when the process ended.
func (n *node) loadKnown() []peers.Known {
	if n.stateDir == "" {
		return nil
	}
	f, err := os.Open(n.knownPath())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var b []byte
	if err == nil {
		defer f.Close() //nolint:errcheck // it was only read
		b, err = io.ReadAll(io.LimitReader(f, maxKnown))
	}
	if err != nil {
		n.log.Error("known peers not loaded", "err", err)
		return nil
	}
	n.mesh.known = parseKnown(string(b))
	return n.mesh.known
}

// parseKnown passes over what is no peer; the group looks at names and
// addresses itself.
func parseKnown(text string) (list []peers.Known) {
	for line := range strings.Lines(text) {
		addr, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if ok && len(list) < peers.MaxPeers {
			list = append(list, peers.Known{Name: name, Addr: addr})
		}
	}
	return list
}

// saveKnown writes the file anew if the peers are others. It is called by the
// goroutine that tells of peers alone.
func (n *node) saveKnown() {
	list := n.mesh.group.Load().Remember()
	if n.stateDir == "" || slices.Equal(list, n.mesh.known) {
		return
	}
	err := writeWhole(n.knownPath(), func(w io.Writer) error {
		for _, k := range list {
			if _, err := fmt.Fprintf(w, "%s %s\n", k.Addr, k.Name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		n.log.Error("known peers not saved", "err", err)
		return
	}
	n.mesh.known = list
}

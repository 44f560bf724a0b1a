package tests

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// layers has every folder of the program; a package imports only from layers
// above its own in this list. A folder that is not in it fails the test, so
// that none slips in undrawn.
var layers = [][]string{
	{"wire"},
	{"imap", "sticktable", "auth", "loop", "peers", "proxyproto", "resolver"},
	{"health", "hook", "balancer", "cluster", "session", "upstream", "relay"},
	{"frontend"},
	{"stats"},
	{"conf"},
	{"cmd/imaplb"},
}

// owners are the only packages that may import a library of others.
var owners = map[string][]string{
	"github.com/panjf2000/gnet/v2":      {"loop"},
	"github.com/BurntSushi/toml":        {"conf"},
	"github.com/spf13/cobra":            {"cmd/imaplb"},
	"github.com/vmihailenco/msgpack/v5": {"sticktable"},
	"github.com/hashicorp/memberlist":   {"peers"},
	"github.com/cespare/xxhash/v2":      {"balancer", "cluster", "sticktable"},
	"github.com/emersion/go-imap/v2":    {"cmd/imaplb"}, // the servers of the demo
	"github.com/emersion/go-sasl":       {"cmd/imaplb"},
	"golang.org/x/net":                  {"resolver"},
	"golang.org/x/sys":                  {"loop", "conf", "cmd/imaplb"},
	"github.com/pires/go-proxyproto":    {"proxyproto", "resolver"},
	"github.com/rogpeppe/go-internal":   {},
}

func TestLayering(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "imaplb/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		name := strings.TrimPrefix(fields[0], "imaplb/")
		if name == "tests" || strings.HasPrefix(name, "tests/") {
			checkOutside(t, name, fields[1:])
			continue
		}
		rank := rankOf(name)
		if rank < 0 {
			t.Errorf("package %s is in no layer", name)
		}
		for _, imported := range fields[1:] {
			checkImport(t, name, rank, imported)
		}
	}
}

// checkImport judges one import of a package of the program.
func checkImport(t *testing.T, name string, rank int, imported string) {
	t.Helper()
	if ours, ok := strings.CutPrefix(imported, "imaplb/"); ok {
		if rankOf(ours) >= rank {
			t.Errorf("%s imports %s, which is not below it", name, ours)
		}
		return
	}
	if !strings.Contains(strings.SplitN(imported, "/", 2)[0], ".") {
		return // the standard library
	}
	for library, may := range owners {
		if imported == library || strings.HasPrefix(imported, library+"/") {
			if !slices.Contains(may, name) {
				t.Errorf("%s imports %s, which is for %v alone", name, imported, may)
			}
			return
		}
	}
	t.Errorf("%s imports %s, which has no owner", name, imported)
}

// checkOutside: the black-box tests import nothing of the program.
func checkOutside(t *testing.T, name string, imports []string) {
	t.Helper()
	for _, imported := range imports {
		if strings.HasPrefix(imported, "imaplb/") && !strings.HasPrefix(imported, "imaplb/tests/") {
			t.Errorf("%s imports %s: the tests see imaplb from outside", name, imported)
		}
	}
}

// rankOf is the layer of a package, -1 for none.
func rankOf(name string) int {
	return slices.IndexFunc(layers, func(l []string) bool { return slices.Contains(l, name) })
}

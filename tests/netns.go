package tests

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// place is where a program runs: a network namespace, and its address in it.
// The zero place is that of the tests, and 127.0.0.1.
type place struct{ netns, host string }

// command is a command that runs there.
func (p place) command(args ...string) *exec.Cmd {
	if p.netns != "" {
		args = append([]string{"ip", "netns", "exec", p.netns}, args...)
	}
	return exec.Command(args[0], args[1:]...)
}

// address is a free port of the place.
func (p place) address(t testing.TB) string {
	t.Helper()
	addr := freeAddr(t)
	if p.host != "" {
		addr = strings.Replace(addr, "127.0.0.1", p.host, 1)
	}
	return addr
}

// network is some hosts with two networks, in namespaces whose names begin
// with imaplb- and the process: "mail", where the tests are as well, and
// "peers". The switches of both are in one more namespace, "hub". Owned by the
// goroutine of its test.
type network struct {
	t      testing.TB
	prefix string
	number int // 10.77.number.0/24 is mail, 10.77.number+1.0/24 peers
}

// The hosts' numbers in both networks begin here; the tests are the last one.
const (
	lbHost      = 11
	dovecotHost = 21
	testsHost   = 254
)

// newNetwork makes the hub, and removes everything at the end of the test.
func newNetwork(t testing.TB) *network {
	t.Helper()
	need(t, "ip")
	n := &network{t: t, prefix: fmt.Sprintf("imaplb-%d-", os.Getpid())}
	n.removeStale()
	n.number = freeNetwork(t)
	t.Cleanup(func() { n.remove(n.prefix) })
	n.sh(`
		ip netns add {}hub
		ip -n {}hub link add mail up type bridge
		ip -n {}hub link add peers up type bridge
		ip link add %[1]s type veth peer name tests netns {}hub
		ip -n {}hub link set tests master mail up
		ip addr add %[2]s/24 dev %[1]s
		ip link set %[1]s up`, fmt.Sprintf("imap%d", os.Getpid()), n.addr("mail", testsHost))
	return n
}

// freeNetwork finds two networks that are in nobody's use here.
func freeNetwork(t testing.TB) int {
	t.Helper()
	out, err := exec.Command("ip", "-4", "route", "show", "table", "all").CombinedOutput()
	if err != nil {
		t.Fatalf("ip route: %v: %s", err, out)
	}
	const pairs = 127
	for i := range pairs {
		number := (os.Getpid() + i) % pairs * 2
		if !strings.Contains(string(out), fmt.Sprintf("10.77.%d.", number)) {
			return number
		}
	}
	t.Fatal("no network of 10.77.0.0/16 is free")
	return 0
}

func (n *network) addr(network string, host int) string {
	number := n.number
	if network == "peers" {
		number++
	}
	return fmt.Sprintf("10.77.%d.%d", number, host)
}

// sh runs lines of a shell; {} stands for what the names of namespaces begin
// with.
func (n *network) sh(script string, args ...any) {
	n.t.Helper()
	script = "set -e\n" + strings.ReplaceAll(fmt.Sprintf(script, args...), "{}", n.prefix)
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		n.t.Fatalf("%s: %v: %s", script, err, out)
	}
}

// add makes a host on these networks; its place is the address on the mail's.
func (n *network) add(name string, host int, networks ...string) place {
	n.t.Helper()
	n.sh(`
		ip netns add {}%[1]s
		ip -n {}%[1]s link set lo up`, name)
	for _, network := range networks {
		n.sh(`
		ip -n {}%[1]s link add %[2]s type veth peer name %[1]s-%[2]s netns {}hub
		ip -n {}hub link set %[1]s-%[2]s master %[2]s up
		ip -n {}%[1]s addr add %[3]s/24 dev %[2]s
		ip -n {}%[1]s link set %[2]s up`, name, network, n.addr(network, host))
	}
	return place{netns: n.prefix + name, host: n.addr("mail", host)}
}

// cable takes the cable of a host to a network out of the switch, or puts it
// back.
func (n *network) cable(name, network, state string) {
	n.t.Helper()
	n.sh("ip -n {}hub link set %s-%s %s", name, network, state)
}

// block has a host send nothing to an address any more. To the other one it
// looks dead.
func (n *network) block(name, addr string) {
	n.t.Helper()
	n.sh("ip -n {}%s route replace blackhole %s/32", name, addr)
}

// unblock ends block.
func (n *network) unblock(name, addr string) {
	n.t.Helper()
	n.sh("ip -n {}%s route del blackhole %s/32", name, addr)
}

// remove deletes the namespaces with that prefix; with them go their links.
func (n *network) remove(prefix string) {
	for _, name := range namespaces() {
		if strings.HasPrefix(name, prefix) {
			if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
				n.t.Errorf("ip netns del %s: %v: %s", name, err, out)
			}
		}
	}
}

// removeStale removes what is left of tests that were killed.
func (n *network) removeStale() {
	for _, name := range namespaces() {
		m := regexp.MustCompile(`^imaplb-(\d+)-`).FindStringSubmatch(name)
		if m == nil {
			continue
		}
		if _, err := os.Stat("/proc/" + m[1]); errors.Is(err, os.ErrNotExist) {
			n.remove(m[0])
		}
	}
}

func namespaces() (names []string) {
	entries, err := os.ReadDir("/run/netns")
	if err != nil {
		return nil // there was never one
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

package tests

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// unshared tells a run of the tests that it is the one inside.
const unshared = "IMAPLB_TESTS_UNSHARED"

// asRoot tells whether the test may go on: its process may make network
// namespaces. Who is not root has the test run once more, by a process that is
// alone in namespaces where it may; root's tests never skip.
func asRoot(t *testing.T) bool {
	t.Helper()
	switch {
	case os.Getenv(unshared) != "":
		settleIn(t)
		return true
	case os.Getuid() == 0:
		return true
	}
	need(t, "unshare", "ip")
	alone := []string{"-Unm", "--map-current-user", "--keep-caps"}
	if out, err := exec.Command("unshare", append(alone, "true")...).CombinedOutput(); err != nil {
		t.Skipf("NOT TESTED: %s is not root, and this system gives it no namespaces: %v: %s", userName(), err, out)
	}
	program, err := shared.program()
	if err != nil {
		t.Fatal(err)
	}
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", append(alone, self, "-test.run=^"+t.Name()+"$", "-test.v")...)
	cmd.Env = append(os.Environ(), unshared+"=1", "IMAPLB_PROGRAM="+program)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	out, err := cmd.CombinedOutput()
	t.Logf("%s\n%s", strings.Join(cmd.Args, " "), out)
	if err != nil {
		t.Errorf("the run inside ended with %v", err)
	}
	return false
}

// settleIn makes new namespaces fit to be worked in.
func settleIn(t *testing.T) {
	t.Helper()
	// The names of network namespaces lie there, in a directory that is root's.
	if err := syscall.Mount("tmpfs", "/run", "tmpfs", 0, "mode=0755"); err != nil {
		t.Fatalf("mount /run: %v", err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("ip link: %v: %s", err, out)
	}
}

func userName() string {
	u, err := user.Current()
	if err != nil {
		return "the user of the tests"
	}
	return u.Username
}

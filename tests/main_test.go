package tests

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	// Debian puts dovecot where only root looks for programs.
	err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	if err == nil {
		// A program with the race detector sleeps for a second when it ends, to
		// let a last report be written.
		err = os.Setenv("GORACE", "atexit_sleep_ms=100 "+os.Getenv("GORACE"))
	}
	if err == nil {
		shared, err = newSuite()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	shared.close()
	os.Exit(code)
}

package tests

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	s, err := newSuite()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	shared = s
	code := m.Run()
	s.close()
	os.Exit(code)
}

package main

import (
	"os"
	"runtime"
)

// spareProcessor lets Go run one goroutine more at a time than there are
// loops. A loop that waits for its events keeps its place in Go's scheduler for
// 10 ms as long as another is free. Else the place is taken away within
// microseconds, a thread is woken to look for work that is not there, and the
// loop has to ask for a place when its events come. What the administrator has
// set holds.
//
// It is called behind the making of the engine, which counts the processors to
// bound the handshakes that compute at once.
func spareProcessor(loops int) {
	if os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) <= loops {
		runtime.GOMAXPROCS(loops + 1)
	}
}
